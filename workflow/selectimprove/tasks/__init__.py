"""Tasks: what is asked, demonstrated, answered and labeled. `selectimprove.tasks.interface` says what a task consists of."""
