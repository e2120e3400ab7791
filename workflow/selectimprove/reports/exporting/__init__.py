"""Models and data for people elsewhere: folders that transformers and datasets load, each with a card."""
