"""Promote a proven candidate, or roll back."""
