"""Search for the parameters that suit a table."""
