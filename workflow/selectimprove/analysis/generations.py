"""Generations of anyone's models: reading a table of them, and refusing in one line what cannot be right.

A table has a row per generation: `problem_id`, `strategy`, `correct`, and where it has them `sample` and columns that divide the problems
into strata. Errors name the file, the row (the first below a header is row 1) and the column.
"""

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

from selectimprove.config.yaml_file import read_yaml
from selectimprove.errors import ParamsError

TRUTH = {True: True, False: False, "true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
OTHER = "other"
"""The strategy of a completion that no pattern matches."""


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table by its suffix; all values of a CSV file are text.

    Raises
    ------
    ParamsError
        If there is no such file, its suffix is unknown, its content is not what the suffix says, or it has no rows.
    """
    path = Path(path)
    readers = {".parquet": pd.read_parquet, ".csv": _read_csv, ".jsonl": _read_json_lines, ".ndjson": _read_json_lines}
    if path.suffix not in readers:
        raise ParamsError(f"{path}: the suffix should be one of {', '.join(readers)}")
    if not path.is_file():
        raise ParamsError(f"{path}: no such file")
    try:
        return readers[path.suffix](path)
    except ParamsError:
        raise
    except pd.errors.EmptyDataError:
        raise ParamsError(f"{path}: empty") from None
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        reason = " ".join(str(error).split())
        raise ParamsError(f"{path}: cannot be read as {path.suffix[1:]}: {reason}") from None


def _read_csv(path: Path) -> pd.DataFrame:
    with warnings.catch_warnings():
        # Rows longer than the header are cut with a warning alone.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig")


def _read_json_lines(path: Path) -> pd.DataFrame:
    rows = []
    # Not `splitlines`: JSON may hold separators of lines other than "\n" in its strings.
    lines = filter(str.strip, path.read_text(encoding="utf-8").split("\n"))
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ParamsError(f"{path}: row {number}: not JSON: {error}") from None
        if not isinstance(rows[-1], dict):
            raise ParamsError(f'{path}: row {number}: expected an object such as {{"problem_id": 1}}, found {line}')
    return pd.DataFrame(rows)


def read_patterns(path: str | Path) -> dict[str, re.Pattern]:
    """Read a YAML file that gives for each strategy a regular expression.

    Raises
    ------
    ParamsError
        With the file, the line and the key.
    """
    file, patterns = read_yaml(Path(path), str(path)), {}
    if not file.content:
        raise ParamsError(f"{path}: expected a name and a regular expression per strategy, such as  retry: (?i)wait")
    for name, pattern in file.content.items():
        place = f"{file.place(name)}: {name}"
        if not isinstance(pattern, str):
            raise ParamsError(f"{place}: expected a regular expression, found {pattern!r}; put it in quotes")
        try:
            patterns[name] = re.compile(pattern)
        except re.error as error:
            raise ParamsError(f"{place}: {pattern!r} is not a regular expression: {error}") from None
    return patterns


def name_strategies(completions: pd.Series, patterns: dict[str, re.Pattern]) -> pd.Series:
    """Name for each completion the first strategy whose pattern is found anywhere in it, else `OTHER`."""
    named = (next((name for name, one in patterns.items() if one.search(text)), OTHER) for text in completions)
    return pd.Series(list(named), index=completions.index, dtype=object)


def check_generations(
    table: pd.DataFrame, name: str, strata: Sequence[str], patterns: dict[str, re.Pattern] | None = None
) -> pd.DataFrame:
    """Check a table of generations.

    Parameters
    ----------
    table : pandas.DataFrame
    name : str
        What errors call it.
    strata : sequence of str
        Columns that say something of the problem.
    patterns : dict of str to re.Pattern, optional
        Name the strategies by the column `completion`, whatever the table calls them.

    Returns
    -------
    pandas.DataFrame
        `problem_id`, `strategy` and the strata as text, `correct` as bool; the index counts rows from 1.

    Raises
    ------
    ParamsError
        With the file, the row and the column of the first mistake.
    """
    source = "strategy" if patterns is None else "completion"
    table = _numbered(table, name, ["problem_id", source, "correct", *strata])
    for column in strata:
        if column in ("problem_id", "strategy", "correct", "completion", "sample"):
            _refuse(name, "--by", column, "says nothing of a problem; use a property of it, such as its type")
    text = {column: _as_text(table, name, column) for column in ["problem_id", source, *strata]}
    checked = pd.DataFrame(text, index=table.index)
    if patterns is not None:
        checked["strategy"] = name_strategies(checked.pop("completion"), patterns)
    checked["correct"] = _as_bool(table, name, "correct")
    _refuse_duplicates(table, checked, name, [])
    for column in strata:
        _refuse_change(
            checked, name, column, checked.groupby("problem_id")[column].transform("first"), "in a row above"
        )
    return checked


def check_told(tables: dict[str, pd.DataFrame | None], problems: pd.Index, where: str) -> list[pd.DataFrame]:
    """Check the tables, before and after, of generations that were told a strategy; rows that were told none are left out.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        By what errors call them: `problem_id`, `greedy`, `told`, `correct`.
    problems : pandas.Index
        All that there are, in the table that is called `where`.

    Returns
    -------
    list of pandas.DataFrame
        `problem_id` and `told` as text, `greedy` and `correct` as bool.
    """
    checked = {}
    for name, table in tables.items():
        if table is None:
            raise ParamsError(f"{name}: is missing; told generations are needed before and after")
        table = _numbered(table, name, ["problem_id", "greedy", "told", "correct"])
        table = table[table["told"].fillna("").astype(str) != ""]
        if table.empty:
            raise ParamsError(f"{name}: column told: names no strategy in any row")
        text = {column: _as_text(table, name, column) for column in ("problem_id", "told")}
        truth = {column: _as_bool(table, name, column) for column in ("greedy", "correct")}
        checked[name] = pd.DataFrame(text | truth, index=table.index)
        _refuse_duplicates(table, checked[name], name, ["greedy", "told"])
        _refuse_unknown(checked[name], name, problems, where)
    check_same_problems(checked, [])
    strategies, asked = (next(iter(checked.values()))[column].unique() for column in ("told", "problem_id"))
    # What the second model does greedily is no part of the split.
    for (name, table), decodings in zip(checked.items(), ([False, True], [False]), strict=True):
        wanted = pd.MultiIndex.from_product([asked, strategies, decodings])
        absent = ~wanted.isin(pd.MultiIndex.from_frame(table[["problem_id", "told", "greedy"]]))
        if absent.any():
            problem, strategy, greedy = wanted[absent][0]
            raise ParamsError(f"{name}: no row with problem_id {problem}, told {strategy} and greedy {greedy}")
    return list(checked.values())


def check_same_problems(tables: dict[str, pd.DataFrame], strata: Sequence[str]) -> None:
    """Refuse a problem that one of two tables has and the other not, or of which they say something different."""
    (name, first), (other_name, other) = tables.items()
    _refuse_unknown(first, name, other["problem_id"], other_name)
    _refuse_unknown(other, other_name, first["problem_id"], name)
    for column in strata:
        known = first.drop_duplicates("problem_id").set_index("problem_id")[column]
        _refuse_change(other, other_name, column, other["problem_id"].map(known), f"in {name}")


def _refuse_unknown(table: pd.DataFrame, name: str, problems: pd.Series | pd.Index, where: str) -> None:
    alone = ~table["problem_id"].isin(problems)
    if alone.any():
        row = alone.idxmax()
        _refuse(name, row, "problem_id", f"problem {table['problem_id'][row]} is not in {where}")


def _refuse(name: str, row: int | str, column: str, what: str) -> NoReturn:
    place = f"row {row}, column {column}" if isinstance(row, int | np.integer) else f"{row} {column}"
    raise ParamsError(f"{name}: {place}: {what}")


def _numbered(table: pd.DataFrame, name: str, columns: list[str]) -> pd.DataFrame:
    if table.empty:
        raise ParamsError(f"{name}: no rows")
    for column in columns:
        if list(table.columns).count(column) != 1:
            there = "is missing" if column not in table else "is there more than once"
            hint = "; --strategies names them by patterns" if column == "strategy" else ""
            raise ParamsError(
                f"{name}: column {column} {there}{hint}; columns are {', '.join(map(str, table.columns))}"
            )
    return table.set_axis(pd.RangeIndex(1, len(table) + 1))


def _distinct(table: pd.DataFrame, name: str, column: str) -> tuple[np.ndarray, list]:
    """Return the number of each row's value, and the values; one that is missing is refused."""
    values = table[column].astype(object)
    unfit = values.map(lambda value: isinstance(value, list | dict | np.ndarray))
    if unfit.any():
        _refuse(name, unfit.idxmax(), column, f"expected one value, found {values[unfit.idxmax()]!r}")
    missing = values.isna() | values.map(lambda value: isinstance(value, str) and not value.strip())
    # A model may well say nothing.
    missing &= column != "completion" or values.isna()
    if missing.any():
        _refuse(name, missing.idxmax(), column, "is missing")
    numbers, distinct = pd.factorize(values)
    return numbers, list(distinct)


def _as_text(table: pd.DataFrame, name: str, column: str) -> np.ndarray:
    """Write values as text, so that the 7 of one file is the 7 of another: whole numbers have no point."""
    numbers, distinct = _distinct(table, name, column)
    whole = (int(value) if isinstance(value, float) and value.is_integer() else value for value in distinct)
    return np.array([str(value) for value in whole], dtype=object)[numbers]


def _as_bool(table: pd.DataFrame, name: str, column: str) -> np.ndarray:
    numbers, distinct = _distinct(table, name, column)
    truths = [TRUTH.get(value.strip().lower() if isinstance(value, str) else value) for value in distinct]
    if None in truths:
        at = truths.index(None)
        row = table.index[numbers == at][0]
        _refuse(name, row, column, f"expected true, false, 1 or 0, found {distinct[at]!r}")
    return np.array(truths, dtype=bool)[numbers]


def _refuse_duplicates(table: pd.DataFrame, checked: pd.DataFrame, name: str, beside: list[str]) -> None:
    if "sample" not in table:
        return
    keys = checked[["problem_id", *beside]].assign(sample=_as_text(table, name, "sample"))
    again = keys.duplicated()
    if again.any():
        row = again.idxmax()
        first = (keys == keys.loc[row]).all(axis="columns").idxmax()
        problem, sample = keys.loc[row, ["problem_id", "sample"]]
        _refuse(name, row, "sample", f"problem {problem} has sample {sample} in row {first} too")


def _refuse_change(checked: pd.DataFrame, name: str, column: str, known: pd.Series, where: str) -> None:
    differs = checked[column] != known
    if differs.any():
        row = differs.idxmax()
        problem, value = checked.loc[row, ["problem_id", column]]
        _refuse(name, row, column, f"problem {problem} is {value!r} here and {known[row]!r} {where}")
