"""Split the change in pass@1 between two checkpoints of any model into selection and improvement.

Reads the generations of both on the same problems: Parquet, CSV or JSON lines, a row per generation, with the columns problem_id, strategy
and correct. Selection is what changed because the shares of the strategies did; improvement, because a strategy passes more often than
before. Prints a table; --output writes it, with a figure. All is explained in workflow/docs/split.md.
"""

import argparse
from pathlib import Path

import pandas as pd

from selectimprove.analysis.split_figure import draw_split
from selectimprove.analysis.split_tables import read_patterns, read_table
from selectimprove.analysis.splitting import Split, split
from selectimprove.artifacts.writing import replace
from selectimprove.commands.numbers import natural, positive
from selectimprove.errors import ParamsError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("before", type=Path, help="generations of the first checkpoint: .parquet, .csv or .jsonl")
    parser.add_argument("after", type=Path, help="generations of the second")
    parser.add_argument(
        "--by", nargs="+", default=[], metavar="COLUMN", help="split each stratum of problems by itself"
    )
    parser.add_argument("--k", nargs="+", type=positive, default=[1], metavar="K", help="also estimate pass@K")
    parser.add_argument(
        "--strategies", type=Path, metavar="YAML", help="name strategies: a regular expression each, on `completion`"
    )
    parser.add_argument(
        "--told-before", type=Path, metavar="FILE", help="generations of models that were told a strategy"
    )
    parser.add_argument("--told-after", type=Path, metavar="FILE", help="the same of the second checkpoint")
    parser.add_argument(
        "--balanced", nargs="+", default=[], metavar="COLUMN", help="resamples keep the numbers of problems by this"
    )
    parser.add_argument("--confidence", type=float, default=0.95, help="of every interval (%(default)s)")
    parser.add_argument("--resamples", type=positive, default=2000, help="of problems, for intervals (%(default)s)")
    parser.add_argument("--seed", type=natural, default=0, help="of the resamples (%(default)s)")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write split.png, split.csv and strategies.csv")


def run(options: argparse.Namespace) -> None:
    """Read, split, print and write."""
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
        names=[
            str(path or option) for path, option in zip(paths, ("", "", "--told-before", "--told-after"), strict=True)
        ],
    )
    print(describe_split(result, options.confidence))
    n_problems = result.parts["n_problems"].max()
    if n_problems < before["problem_id"].nunique():
        print(f"\nAll numbers are of the {n_problems} problems that have told generations.")
    if options.output:
        # Drawn before anything is written.
        figure = draw_split(result)
        try:
            replace(options.output / "split.csv", lambda path: result.parts.to_csv(path, index=False))
            replace(options.output / "strategies.csv", lambda path: result.strategies.to_csv(path, index=False))
            replace(
                options.output / "split.png",
                lambda path: figure.savefig(path, format="png", metadata={"Software": None}),
            )
        except OSError as error:
            raise ParamsError(f"--output {options.output}: {error.strerror}") from None


def describe_split(result: Split, confidence: float) -> str:
    """Write a split for people: two tables in points of pass@1, and what they leave open."""
    parts = pd.DataFrame([_part_row(result, row) for _, row in result.parts.iterrows()])
    strategies = pd.DataFrame([_strategy_row(result, row) for _, row in result.strategies.iterrows()])
    lines = [
        f"Change in points, with {100 * confidence:g}% intervals over problems",
        parts.to_string(index=False),
        "",
        "Strategies, in percent",
        strategies.to_string(index=False),
    ]
    if "identified" in result.parts and not result.parts["identified"].all():
        lines += [
            "",
            "* A strategy that appears or dies has no pass rate on the side that never took it. The parts depend on that rate and are",
            "  bounded: the worst and the best case if it were 0 or 100. Intervals cover both bounds.",
        ]
    return "\n".join(lines)


def _part_row(result: Split, row: pd.Series) -> dict[str, str]:
    cells = {name: row[name] for name in result.by} | {"problems": row["n_problems"]}
    ks = [name.removeprefix("pass_at_").removesuffix("_before") for name in result.parts if name.endswith("_before")]
    for k in ks:
        cells[f"pass@{k}"] = f"{_points(row[f'pass_at_{k}_before'])} to {_points(row[f'pass_at_{k}_after'])}"
    for name in ["change", *result.names, *(f"pass_at_{k}_change" for k in ks if k != "1")]:
        bounds = (
            [name] if row.get("identified", True) or name not in result.names else [f"{name}_least", f"{name}_most"]
        )
        # Bounds that look the same are written once.
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
    # Adding zero makes a minus zero, of what is rounded up to it, a plus zero.
    return "–" if pd.isna(change) else f"{round(100 * change, 1) + 0.0:+.1f}"


def _points(share: float) -> str:
    return "–" if pd.isna(share) else f"{100 * share:.1f}"
