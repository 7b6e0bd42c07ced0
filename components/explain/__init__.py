"""Explain: what moves a model's answers, by exact TreeSHAP."""
