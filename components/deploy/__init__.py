"""Bring a registered version up as a candidate, beside what serves."""
