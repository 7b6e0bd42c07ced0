"""Tell whether new rows still look like those that a model learnt from."""
