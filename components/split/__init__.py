"""Split a table in three, and look for columns that give the label away."""
