"""Publishing: stable copies of figures, tables and verdicts for people, each with a record of what it was made from."""
