"""Tables of generations for `splitting`: reading them, and refusing a mistake in one line.

A table has a row per generation with `problem_id`, `strategy`, `correct`, optionally `sample`, and columns that divide
the problems into strata. Errors name the file, the row (the first below a header is row 1) and the column.
"""

import json
import re
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from selectimprove.config.loading import read_yaml
from selectimprove.errors import ParamsError

TRUTH = {True: True, False: False, "true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
OTHER = "other"
"""The strategy of a completion that no pattern matches."""


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a Parquet, CSV or JSON-lines file; all values of a CSV file are text."""
    path = Path(path)
    readers = {".parquet": pd.read_parquet, ".csv": _read_csv, ".jsonl": _read_json_lines, ".ndjson": _read_json_lines}
    if path.suffix not in readers:
        raise ParamsError(f"{path}: the suffix should be one of {', '.join(readers)}")
    if not path.is_file():
        raise ParamsError(f"{path}: no such file")
    try:
        return readers[path.suffix](path)
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        reason = " ".join(str(error).split())
        raise ParamsError(f"{path}: cannot be read as {path.suffix[1:]}: {reason}") from None


def _read_csv(path: Path) -> pd.DataFrame:
    with warnings.catch_warnings():
        # pandas cuts rows that are longer than the header, and only warns.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig")


def _read_json_lines(path: Path) -> pd.DataFrame:
    rows = []
    # Not `splitlines`: strings in JSON may hold other line separators than "\n".
    lines = filter(str.strip, path.read_text(encoding="utf-8").split("\n"))
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"row {number}: {error}") from None
        if not isinstance(rows[-1], dict):
            raise ValueError(f'row {number}: expected an object such as {{"problem_id": 1}}, found {line}')
    return pd.DataFrame(rows)


def read_patterns(path: str | Path) -> dict[str, re.Pattern]:
    """Read a YAML file with a regular expression for each strategy."""
    file, patterns = read_yaml(Path(path), str(path)), {}
    if not file.content:
        raise ParamsError(f"{path}: expected a name and a regular expression per strategy, such as  retry: (?i)wait")
    for name, pattern in file.content.items():
        place = f"{file.place(name)}: {name}"
        if not isinstance(pattern, str):
            raise ParamsError(f"{place}: expected a regular expression, found {pattern!r}; put it in quotes")
        if controls := [char for char in pattern if unicodedata.category(char) == "Cc" and char not in "\t\n\r"]:
            raise ParamsError(
                f"{place}: {pattern!r} holds the control character {controls[0]!r}; put the pattern in single quotes, "
                r"because YAML reads \b in double quotes as a backspace"
            )
        try:
            patterns[name] = re.compile(pattern)
        except re.error as error:
            raise ParamsError(f"{place}: {pattern!r} is not a regular expression: {error}") from None
    return patterns


class _Table:
    """A table, its name in errors, and its rows counted from 1."""

    def __init__(self, table: pd.DataFrame, name: str, columns: Sequence[str]):
        if table.empty:
            raise ParamsError(f"{name}: no rows")
        for column in columns:
            if list(table.columns).count(column) != 1:
                there = "is missing" if column not in table else "is there more than once"
                hint = "; --strategies names them by patterns" if column == "strategy" else ""
                known = ", ".join(map(str, table.columns))
                raise ParamsError(f"{name}: column {column} {there}{hint}; columns are {known}")
        self.rows, self.name = table.set_axis(pd.RangeIndex(1, len(table) + 1)), name

    def text(self, column: str) -> pd.Series:
        """Write values as text, whole numbers without a point: the 7 of one file is the 7 of another."""

        def write(value: object) -> str:
            return str(int(value) if isinstance(value, float) and value.is_integer() else value)

        return self._values(column).map(write).astype(object)

    def truth(self, column: str) -> pd.Series:
        values = self._values(column)
        truths = values.map(lambda value: TRUTH.get(value.strip().lower() if isinstance(value, str) else value))
        wrong = truths.isna()
        _refuse(self.name, column, wrong, lambda row: f"expected true, false, 1 or 0, found {values[row]!r}")
        return truths.astype(bool)

    def _values(self, column: str) -> pd.Series:
        """Return a column that has one value in each row."""
        values = self.rows[column].astype(object)
        unfit = values.map(lambda value: isinstance(value, list | dict | np.ndarray))
        _refuse(self.name, column, unfit, lambda row: f"expected one value, found {values[row]!r}")
        missing = values.isna()
        if column != "completion":
            # A completion may be empty.
            missing |= values.map(lambda value: isinstance(value, str) and not value.strip())
        _refuse(self.name, column, missing, lambda row: "is missing")
        return values

    def refuse_duplicates(self, keys: pd.DataFrame) -> None:
        """Refuse two rows with the same sample of a problem."""
        if "sample" not in self.rows:
            return
        keys = keys.assign(sample=self.text("sample"))

        def describe(row: int) -> str:
            first = (keys == keys.loc[row]).all(axis="columns").idxmax()
            return f"problem {keys['problem_id'][row]} has sample {keys['sample'][row]} in row {first} too"

        _refuse(self.name, "sample", keys.duplicated(), describe)


def _refuse(name: str, column: str, wrong: pd.Series, describe: Callable[[int], str]) -> None:
    """Refuse a table if any of its rows is wrong, with the first such row."""
    if wrong.any():
        row = wrong.idxmax()
        raise ParamsError(f"{name}: row {row}, column {column}: {describe(row)}")


def _refuse_unknown(table: pd.DataFrame, name: str, problems: pd.Series | pd.Index, where: str) -> None:
    ids = table["problem_id"]
    _refuse(name, "problem_id", ~ids.isin(problems), lambda row: f"problem {ids[row]} is not in {where}")


def _refuse_change(table: pd.DataFrame, name: str, column: str, known: pd.Series, where: str) -> None:
    ids, values = table["problem_id"], table[column]

    def describe(row: int) -> str:
        return f"problem {ids[row]} is {values[row]!r} here and {known[row]!r} {where}"

    _refuse(name, column, values != known, describe)


def check_generations(
    name: str, table: pd.DataFrame, strata: Sequence[str], patterns: dict[str, re.Pattern] | None
) -> pd.DataFrame:
    """Check a table of generations; return it with `correct` as bool, all else as text, and rows counted from 1.

    With patterns, the strategy is the first whose pattern is found in `completion`, or `OTHER`.
    """
    source = "strategy" if patterns is None else "completion"
    given = _Table(table, name, ["problem_id", source, "correct", *strata])
    for column in strata:
        if column in ("problem_id", "strategy", "correct", "completion", "sample"):
            raise ParamsError(f"{name}: --by {column}: says nothing of a problem; use a property such as its type")
    checked = pd.DataFrame({column: given.text(column) for column in ["problem_id", source, *strata]})
    if patterns is not None:
        checked["strategy"] = [
            next((strategy for strategy, pattern in patterns.items() if pattern.search(text)), OTHER)
            for text in checked.pop("completion")
        ]
    checked["correct"] = given.truth("correct")
    given.refuse_duplicates(checked[["problem_id"]])
    for column in strata:
        first = checked.groupby("problem_id")[column].transform("first")
        _refuse_change(checked, name, column, first, "in a row above")
    return checked


def check_told(
    names: Sequence[str], tables: Sequence[pd.DataFrame | None], generations: Sequence[pd.DataFrame]
) -> list[pd.DataFrame]:
    """Check the tables, before and after, of generations that were told a strategy; rows without one are left out.

    The names are those of the generations and of these tables. Generations must have the problems and the strategies.
    """
    taken = sorted(set().union(*(table["strategy"] for table in generations)))
    untaken = f"no generation takes this strategy; they take {', '.join(taken)}"
    checked = []
    for name, table in zip(names[2:], tables, strict=True):
        if table is None:
            raise ParamsError(f"{name}: is missing; told generations are needed before and after")
        given = _Table(table, name, ["problem_id", "greedy", "told", "correct"])
        told = given.rows["told"].astype(object)
        given.rows = given.rows[told.notna() & (told.astype(str) != "")]
        if given.rows.empty:
            raise ParamsError(f"{name}: column told: names no strategy in any row")
        rows = pd.DataFrame({column: given.text(column) for column in ("problem_id", "told")})
        rows = rows.assign(greedy=given.truth("greedy"), correct=given.truth("correct"))
        given.refuse_duplicates(rows[["problem_id", "greedy", "told"]])
        _refuse_unknown(rows, name, generations[0]["problem_id"], names[0])
        _refuse(name, "told", ~rows["told"].isin(taken), lambda row: untaken)
        checked.append(rows)
    check_same_problems(names[2:], checked, [])
    strategies, asked = (checked[0][column].unique() for column in ("told", "problem_id"))
    # The split needs no greedy rows of the second model.
    for name, table, decodings in zip(names[2:], checked, ([False, True], [False]), strict=True):
        wanted = pd.MultiIndex.from_product([asked, strategies, decodings])
        absent = ~wanted.isin(pd.MultiIndex.from_frame(table[["problem_id", "told", "greedy"]]))
        if absent.any():
            problem, strategy, greedy = wanted[absent][0]
            raise ParamsError(f"{name}: no row with problem_id {problem}, told {strategy} and greedy {greedy}")
    return checked


def check_same_problems(names: Sequence[str], tables: Sequence[pd.DataFrame], strata: Sequence[str]) -> None:
    """Refuse a problem that only one of two tables has, or that has other strata in the second."""
    (name, other_name), (first, other) = names, tables
    _refuse_unknown(first, name, other["problem_id"], other_name)
    _refuse_unknown(other, other_name, first["problem_id"], name)
    for column in strata:
        known = first.drop_duplicates("problem_id").set_index("problem_id")[column]
        _refuse_change(other, other_name, column, other["problem_id"].map(known), f"in {name}")
