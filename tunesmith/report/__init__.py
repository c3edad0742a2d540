"""The run folder, told to people: one HTML page, a model card, a few lines for the terminal."""
