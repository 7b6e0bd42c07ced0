"""Shipway's steps: one folder each, `component.py` its KFP face and `logic.py` its work."""

__version__ = "0.1.0"
