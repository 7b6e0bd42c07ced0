"""Train a model and pack it with all that serving needs."""
