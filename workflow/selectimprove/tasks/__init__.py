"""Tasks: the problems that a model is asked and how responses are written, rewarded and labeled; see `interface`."""
