"""Reading and checking tables of generations to split.

A table has a row per generation with `problem_id`, `strategy`, `correct`, optionally `sample`, and columns that divide
the problems into strata. A mistake is one line with the file, the row (the first below a header is row 1) and the
column.
"""

import json
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from selectimprove.config.loading import read_yaml
from selectimprove.errors import ParamsError

TRUTH = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
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
        raise ParamsError(f"{path}: cannot be read as {path.suffix[1:]}: {' '.join(str(error).split())}") from None


def _read_csv(path: Path) -> pd.DataFrame:
    with warnings.catch_warnings():
        # pandas only warns when it cuts rows that are longer than the header.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig")


def _read_json_lines(path: Path) -> pd.DataFrame:
    rows = []
    # `splitlines` would also split at other separators, which strings in JSON may hold.
    for number, line in enumerate(filter(str.strip, path.read_text(encoding="utf-8").split("\n")), 1):
        try:
            rows.append({**json.loads(line)})
            # JSON may spell half of a character, which no file can hold.
            json.dumps(rows[-1], ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"row {number}: half an emoji, {error.object[error.start]!r}; drop it") from None
        except (ValueError, TypeError) as error:
            raise ValueError(f"row {number}: expected an object: {error}") from None
    return pd.DataFrame(rows)


def read_patterns(path: str | Path) -> dict[str, re.Pattern]:
    """Read a YAML file that maps each strategy to a regular expression."""
    file, patterns = read_yaml(Path(path), str(path)), {}
    for name, pattern in file.content.items():
        place = f"{file.place(name)}: {name}"
        if not isinstance(pattern, str):
            raise ParamsError(f"{place}: expected a regular expression, found {pattern!r}; put it in quotes")
        if "\b" in pattern:
            raise ParamsError(f"{place}: {pattern!r} holds a backspace, YAML's \\b in double quotes; use single quotes")
        try:
            patterns[name] = re.compile(pattern)
        except re.error as error:
            raise ParamsError(f"{place}: {pattern!r} is not a regular expression: {error}") from None
    return patterns


def check_generations(
    names: Sequence[str],
    tables: Sequence[pd.DataFrame],
    strata: Sequence[str],
    patterns: dict[str, re.Pattern] | None,
) -> list[pd.DataFrame]:
    """Check the generations before and after; return `correct` as bool, all else as text, and rows counted from 1.

    With patterns, the strategy is the first whose pattern is found in `completion`, or `OTHER`.
    """
    source = "strategy" if patterns is None else "completion"
    columns = ["problem_id", source, *strata]
    before, after = (_check(*pair, columns, ["correct"], ["problem_id"]) for pair in zip(names, tables, strict=True))
    _refuse_other_problems(names, [before, after])
    for column in strata:
        known = before.drop_duplicates("problem_id").set_index("problem_id")[column]
        for name, rows in zip(names, (before, after), strict=True):
            _refuse_changed(name, rows, column, rows["problem_id"].map(known), names[0])
    if patterns is not None:
        for rows in (before, after):
            rows["strategy"] = [
                next((strategy for strategy, pattern in patterns.items() if pattern.search(text)), OTHER)
                for text in rows["completion"]
            ]
    return [before, after]


def check_told(
    names: Sequence[str], tables: Sequence[pd.DataFrame | None], generations: Sequence[pd.DataFrame]
) -> list[pd.DataFrame]:
    """Check the tables, before and after, of generations that were told a strategy; drop rows without one.

    `names` has the names of the two tables of `generations`, which must have all problems and strategies of these
    tables, and then theirs.
    """
    taken = sorted(set().union(*(table["strategy"] for table in generations)))
    untaken = f"no generation takes this strategy; they take {', '.join(taken)}"
    checked = []
    for name, table in zip(names[2:], tables, strict=True):
        if table is None:
            raise ParamsError(f"{name}: is missing; told generations are needed before and after")
        rows = _check(name, table, ["problem_id", "told"], ["greedy", "correct"], ["problem_id", "greedy", "told"])
        _refuse_unknown(name, rows, generations[0], names[0])
        _refuse(name, "told", ~rows["told"].isin(taken), lambda row: untaken)
        checked.append(rows)
    _refuse_other_problems(names[2:], checked)
    strategies, asked = (checked[0][column].unique() for column in ("told", "problem_id"))
    # The split needs no greedy rows of the second model.
    for name, rows, decodings in zip(names[2:], checked, ([False, True], [False]), strict=True):
        wanted = pd.MultiIndex.from_product([asked, strategies, decodings])
        absent = wanted.difference(pd.MultiIndex.from_frame(rows[["problem_id", "told", "greedy"]]), sort=False)
        for problem, strategy, greedy in absent:
            raise ParamsError(f"{name}: no row with problem_id {problem}, told {strategy} and greedy {greedy}")
    return checked


def _check(
    name: str, table: pd.DataFrame, texts: Sequence[str], truths: Sequence[str], unique: Sequence[str]
) -> pd.DataFrame:
    """Return columns as text and as bool; refuse rows with equal values of `unique` and the same `sample`."""
    if table.empty:
        raise ParamsError(f"{name}: no rows")
    for column in (*texts, *truths):
        if list(table.columns).count(column) != 1:
            there = "is there more than once" if column in table else "is missing"
            hint = "; --strategies names them by patterns" if column == "strategy" else ""
            raise ParamsError(
                f"{name}: column {column} {there}{hint}; columns are {', '.join(map(str, table.columns))}"
            )
    table = table.set_axis(pd.RangeIndex(1, len(table) + 1))
    if "told" in texts:
        table = table[table["told"].notna() & (table["told"].astype(str) != "")]
        if table.empty:
            raise ParamsError(f"{name}: column told: names no strategy in any row")
    columns = {column: _text(name, table, column) for column in texts}
    rows = pd.DataFrame(columns | {column: _truth(name, table, column) for column in truths})
    if "sample" in table:
        keys, ids = rows[[*unique]].assign(sample=_text(name, table, "sample")), rows["problem_id"]
        again = keys.duplicated()
        _refuse(name, "sample", again, lambda row: f"problem {ids[row]} has it in a row above too")
    return rows


def _text(name: str, table: pd.DataFrame, column: str) -> pd.Series:
    """Write values as text, and whole numbers without a point, so that the 7.0 of one file is the 7 of another."""
    values = table[column].astype(object)
    several = ~values.map(pd.api.types.is_scalar)
    _refuse(name, column, several, lambda row: f"expected one value, found {values[row]!r}")
    text = values.map(lambda value: str(int(value) if isinstance(value, float) and value.is_integer() else value))
    # A completion may be empty.
    empty = (text.str.strip() == "") & (column != "completion")
    _refuse(name, column, values.isna() | empty, lambda row: "is missing")
    return text.astype(object)


def _truth(name: str, table: pd.DataFrame, column: str) -> pd.Series:
    text = _text(name, table, column)
    truth = text.str.strip().str.lower().map(TRUTH)
    _refuse(name, column, truth.isna(), lambda row: f"expected true, false, 1 or 0, found {text[row]!r}")
    return truth.astype(bool)


def _refuse(name: str, column: str, wrong: pd.Series, describe: Callable[[int], str]) -> None:
    if wrong.any():
        row = wrong.idxmax()
        raise ParamsError(f"{name}: row {row}, column {column}: {describe(row)}")


def _refuse_changed(name: str, rows: pd.DataFrame, column: str, first: pd.Series, where: str) -> None:
    ids, values = rows["problem_id"], rows[column]
    first_row = f"in its first row of {where}"
    changed = values != first
    _refuse(
        name, column, changed, lambda row: f"problem {ids[row]} is {values[row]!r} here, {first[row]!r} {first_row}"
    )


def _refuse_other_problems(names: Sequence[str], tables: Sequence[pd.DataFrame]) -> None:
    """Refuse a problem that only one of two tables has."""
    for name, where, rows, others in zip(names, names[::-1], tables, tables[::-1], strict=True):
        _refuse_unknown(name, rows, others, where)


def _refuse_unknown(name: str, rows: pd.DataFrame, known: pd.DataFrame, where: str) -> None:
    ids = rows["problem_id"]
    _refuse(name, "problem_id", ~ids.isin(known["problem_id"]), lambda row: f"problem {ids[row]} is not in {where}")
