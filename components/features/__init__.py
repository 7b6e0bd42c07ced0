"""Fit the feature plan on the training rows."""
