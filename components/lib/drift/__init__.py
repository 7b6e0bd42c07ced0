"""Drift and skew between two tables: what moved, how far, and how surely."""
