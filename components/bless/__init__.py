"""Bless: the gate that decides whether a model may be registered and deployed."""
