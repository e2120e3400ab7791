"""Files that people write, read strictly: YAML whose keys know their lines, and notebooks."""
