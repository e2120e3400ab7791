"""The tables of an experiment's measures, as notebooks read them: an empty selection is an error and never an empty figure."""

from pathlib import Path

import pandas as pd

from selectimprove.errors import ParamsError

SHOWN = 6
"""Values of a column that an error names."""


def read_measures(folder: str, name: str, rows: str | None = None) -> pd.DataFrame:
    """Read a table of an experiment's measures.

    Parameters
    ----------
    folder : str
        The folder of the measures.
    name : str
        Of the table, as `selectimprove.stages.measures` lists them.
    rows : str, optional
        The rows that count, as in `pandas.DataFrame.query`.

    Raises
    ------
    ParamsError
        If the table has no rows, or none that count.
    """
    table = pd.read_parquet(Path(folder) / f"{name}.parquet")
    if table.empty:
        raise ParamsError(f"{name}.parquet of this experiment is empty")
    return select(table, rows, f"{name}.parquet") if rows else table


def select(table: pd.DataFrame, rows: str, name: str) -> pd.DataFrame:
    """Select rows.

    Parameters
    ----------
    table : pandas.DataFrame
    rows : str
        As in `pandas.DataFrame.query`.
    name : str
        What an error calls the table.

    Raises
    ------
    ParamsError
        If none is left, with the values that the columns have.
    """
    found = table.query(rows)
    if found.empty:
        columns = [column for column in table if str(column) in rows]
        values = "; ".join(f"{column}: {', '.join(map(str, table[column].unique()[:SHOWN]))}" for column in columns)
        raise ParamsError(f"{name} has no row with {rows}; it has {values or 'no rows'}")
    return found
