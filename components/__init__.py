"""Shipway's lifecycle steps: one folder a step, `component.py` its KFP face, `logic.py` its work."""

__version__ = "0.1.0"
