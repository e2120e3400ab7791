"""Commands beside the DAG, each a module with a function `run` and the arguments that it takes; `selectimprove --help` lists them."""
