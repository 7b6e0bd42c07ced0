"""Read a table from where it lies and write it as a Dataset, every row accounted for."""
