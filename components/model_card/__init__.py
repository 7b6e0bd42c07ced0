"""The model card: what a run shows about its model, and what it does not."""
