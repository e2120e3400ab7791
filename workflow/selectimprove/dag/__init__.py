"""The DAG: the table of stages, the plan that says which artifacts the params ask for, and what they cost."""
