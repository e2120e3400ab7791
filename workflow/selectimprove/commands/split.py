"""Split the change in pass@1 between two checkpoints of any model into selection and improvement.

Reads the generations of both checkpoints on the same problems: Parquet, CSV or JSON lines, one row per generation,
with the columns problem_id, strategy and correct. Selection is the part of the change due to the shares of strategies,
improvement the part due to the pass rate of each strategy. Prints tables; --output also writes them, with a figure.
See workflow/docs/split.md.
"""

import argparse
from functools import partial
from pathlib import Path

import pandas as pd

from selectimprove.analysis.splitting import Split, split
from selectimprove.analysis.splitting.figure import draw_split
from selectimprove.analysis.splitting.tables import read_patterns, read_table
from selectimprove.artifacts.files import replace
from selectimprove.commands.arguments import natural, positive
from selectimprove.errors import ParamsError

NAMES = ("before", "after", "--told-before", "--told-after")
BOUNDED = """\
* A strategy that appears or dies has no pass rate at the checkpoint without it. The parts depend on that rate and are
  bounded: the worst and the best case if it were 0 or 100. Intervals cover both bounds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add, several = parser.add_argument, {"nargs": "+", "default": [], "metavar": "COLUMN"}
    add("before", type=Path, help="generations of the first checkpoint: .parquet, .csv or .jsonl")
    add("after", type=Path, help="generations of the second checkpoint")
    add("--by", **several, help="split each stratum of problems by itself")
    add("--k", nargs="+", type=positive, default=[1], metavar="K", help="also estimate pass@K")
    add("--strategies", type=Path, metavar="YAML", help="name strategies: a regular expression each, on `completion`")
    add("--told-before", type=Path, metavar="FILE", help="generations of the first checkpoint, told a strategy")
    add("--told-after", type=Path, metavar="FILE", help="generations of the second checkpoint, told a strategy")
    add("--balanced", **several, help="resamples keep the numbers of problems by this column")
    add("--confidence", type=float, default=0.95, help="of every interval (default: %(default)s)")
    add("--resamples", type=positive, default=2000, help="resamples of problems for intervals (default: %(default)s)")
    add("--seed", type=natural, default=0, help="random seed of the resamples (default: %(default)s)")
    add(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="write split.png, split.csv and strategies.csv here, where none is yet",
    )


def run(options: argparse.Namespace) -> None:
    """Read, split, print and write."""
    written = [options.output / name for name in ("split.csv", "strategies.csv", "split.png")] if options.output else []
    if there := [str(path) for path in written if path.exists()]:
        raise ParamsError(f"--output {options.output}: has {', '.join(there)}; remove them, or name another folder")
    paths = [options.before, options.after, options.told_before, options.told_after]
    before, after, told_before, told_after = (path and read_table(path) for path in paths)
    result = split(
        before,
        after,
        options.by,
        strategies=options.strategies and read_patterns(options.strategies),
        told_before=told_before,
        told_after=told_after,
        k=options.k,
        balanced=options.balanced,
        confidence=options.confidence,
        n_bootstrap=options.resamples,
        seed=options.seed,
        names=[str(path or name) for path, name in zip(paths, NAMES, strict=True)],
    )
    print(describe_split(result, options.confidence))
    n_problems = result.parts["n_problems"].max()
    if n_problems < before["problem_id"].nunique():
        print(f"\nAll numbers are of the {n_problems} problems that have told generations.")
    if options.output:
        figure = draw_split(result)
        try:
            for path, table in zip(written, (result.parts, result.strategies), strict=False):
                replace(path, partial(table.to_csv, index=False))
            replace(written[-1], partial(figure.savefig, format="png", metadata={"Software": None}))
        except OSError as error:
            raise ParamsError(f"--output {options.output}: {error.strerror}") from None


def describe_split(result: Split, confidence: float) -> str:
    """Describe a split in two tables, with a note if parts of it are only bounded."""
    parts = pd.DataFrame([_part_row(result, row) for _, row in result.parts.iterrows()])
    strategies = pd.DataFrame([_strategy_row(result, row) for _, row in result.strategies.iterrows()])
    lines = [f"Change in points, with {100 * confidence:g}% intervals over problems", parts.to_string(index=False)]
    lines += ["", "Strategies, in percent", strategies.to_string(index=False)]
    if "identified" in result.parts and not result.parts["identified"].all():
        lines += ["", BOUNDED]
    return "\n".join(lines)


def _part_row(result: Split, row: pd.Series) -> dict[str, str]:
    cells = {name: row[name] for name in result.by} | {"problems": row["n_problems"]}
    ks = [name.removeprefix("pass_at_").removesuffix("_before") for name in result.parts if name.endswith("_before")]
    for k in ks:
        cells[f"pass@{k}"] = f"{_points(row[f'pass_at_{k}_before'])} to {_points(row[f'pass_at_{k}_after'])}"
    for name in ["change", *result.names, *(f"pass_at_{k}_change" for k in ks if k != "1")]:
        is_bounded = name in result.names and not row.get("identified", True)
        bounds = [f"{name}_least", f"{name}_most"] if is_bounded else [name]
        # Equal bounds are written once.
        value = " to ".join(dict.fromkeys(_signed(row[bound]) for bound in bounds)) + "*" * (len(bounds) - 1)
        title = name.replace("pass_at_", "pass@").replace("_", " ")
        cells[title] = f"{value} [{_signed(row[f'{name}_low'])}, {_signed(row[f'{name}_high'])}]"
    return cells


def _strategy_row(result: Split, row: pd.Series) -> dict[str, str]:
    cells = {name: row[name] for name in [*result.by, "strategy"]}
    for title, name in (("share", "share"), ("pass rate", "pass_rate"), ("pass rate when told", "told")):
        if f"{name}_before" in row:
            cells[title] = f"{_points(row[f'{name}_before'])} to {_points(row[f'{name}_after'])}"
    return cells | ({"": row["fate"]} if result.strategies["fate"].any() else {})


def _signed(change: float) -> str:
    # Adding 0.0 turns −0.0 into 0.0.
    return "–" if pd.isna(change) else f"{round(100 * change, 1) + 0.0:+.1f}"


def _points(share: float) -> str:
    return "–" if pd.isna(share) else f"{100 * share:.1f}"
