"""Say how a run ended."""
