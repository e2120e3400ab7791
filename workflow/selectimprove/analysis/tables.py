"""Tables that notebooks read: the measures of an experiment, and the numbers of the paper (arXiv:2606.13125v1)."""

from pathlib import Path

import pandas as pd

from selectimprove.errors import ParamsError

_CELLS = {
    ("B", "sft"): (24.5, 38.9, 11.9),
    ("B", "rl_2_5"): (18.4, 25.6, 10.1),
    ("B", "rl_6_9"): (50.8, 96.0, 11.6),
    ("F", "sft"): (57.0, 10.7, 97.1),
    ("F", "rl_2_5"): (48.0, 9.3, 91.7),
    ("F", "rl_6_9"): (58.3, 11.0, 99.3),
    ("FB", "sft"): (47.0, 27.1, 64.3),
    ("FB", "rl_2_5"): (60.0, 32.2, 91.5),
    ("FB", "rl_6_9"): (95.7, 94.1, 97.1),
}
TABLE_1 = {
    (sft, training, problem_type): value
    for (sft, training), values in _CELLS.items()
    for problem_type, value in zip(("all", "inversion", "evaluation"), values, strict=True)
}
"""pass@1 in percent on 6–9 steps in GF(11), by (SFT mix, training, problem type)."""

SFT_LEARNING_RATE = {
    ("B", 1e-4): 0.0856, ("B", 2e-4): 0.0859, ("B", 5e-4): 0.0863,
    ("F", 1e-4): 0.0857, ("F", 2e-4): 0.0858, ("F", 5e-4): 0.0862,
    ("FB", 1e-4): 0.0879, ("FB", 2e-4): 0.0879, ("FB", 5e-4): 0.0884,
}  # fmt: skip
"""Validation cross-entropy after SFT, by (SFT mix, learning rate), from the appendix."""

RL_SETTINGS = {
    (8, 0.05): {"B": 53, "F": 60, "FB": 97},
    (8, 0.1): {"B": 53, "F": 58, "FB": 96},
    (16, 0.05): {"B": 58, "F": 51, "FB": 98},
    (16, 0.1): {"B": 53, "F": 52, "FB": 97},
}
"""Final pass@1 in percent at learning rate 1e-5, by (group size, beta), from the appendix."""


def read_measures(folder: str, name: str, rows: str | None = None) -> pd.DataFrame:
    """Read a table of an experiment's measures (see `selectimprove.stages.measures`), or some of its rows.

    Raises ParamsError if there are none, because the figure would be empty.
    """
    table = pd.read_parquet(Path(folder) / f"{name}.parquet")
    if table.empty:
        raise ParamsError(f"{name}.parquet of this experiment is empty")
    return select(table, rows, f"{name}.parquet") if rows else table


def select(table: pd.DataFrame, rows: str, name: str) -> pd.DataFrame:
    """Select rows with `pandas.DataFrame.query`; if there are none, the error lists the values of table `name`."""
    found = table.query(rows)
    if found.empty:
        columns = [column for column in table if str(column) in rows]
        values = "; ".join(f"{column}: {', '.join(map(str, table[column].unique()[:6]))}" for column in columns)
        raise ParamsError(f"{name} has no row with {rows}; it has {values or 'no rows'}")
    return found
