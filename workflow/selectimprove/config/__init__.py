"""Configuration: the types of params.yaml and of each stage's config, how they are read, and what is checked."""
