"""Evaluate: what the test rows say about a model, with intervals and slices."""
