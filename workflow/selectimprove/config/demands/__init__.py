"""What is asked for and may not be there: problems, and what figures and tables draw from."""
