"""Prove an endpoint before it takes traffic."""
