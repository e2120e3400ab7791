"""Show what stands behind a number: its artifacts, its counts, and generations with each step marked.

Examples, at the root of a checkout::

    selectimprove show table1 FB rl_6_9 inversion --wrong 3
    selectimprove show figure3 B rl_6_9 inversion --step 40
    selectimprove show interventions B sft inversion --told backward --greedy
    selectimprove show composition two_part rl_3_5 --n-parts 6
"""

import argparse
import os
import random
import sys
from collections.abc import Iterator

import pandas as pd

from selectimprove.analysis.claims import Quantity
from selectimprove.commands.checkout import open_plan
from selectimprove.commands.naming import find_runs, require_known, require_readable
from selectimprove.commands.numbers import natural
from selectimprove.config.stages import Run
from selectimprove.dag.artifact import Artifact
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError
from selectimprove.reports.excerpt import locate, mark_response, read_generations
from selectimprove.stages.measures.estimates import POOLED, measure_interventions, measure_pass_rates
from selectimprove.tasks.interface import load_task

COLOURS = {"✓": "32", "✗": "31"}
"""ANSI codes for what begins with a sign: green and red."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("name", help="a figure, a table or an experiment")
    parser.add_argument("sft", help="an SFT mix of its experiment, such as FB")
    parser.add_argument("training", help="sft, or RL by its key in rl_problems, such as rl_6_9")
    parser.add_argument("problem_type", nargs="?", default="all", help="such as inversion; all by default")
    parser.add_argument("--seed", help="a random seed of the experiment; all together by default")
    parser.add_argument("--variant", default="default", help="a variant of the experiment")
    parser.add_argument("--problem-set", help="a key of test_problems; 6-9 by default, or else the last")
    parser.add_argument("--n-steps", "--n-parts", dest="difficulty", metavar="N", help="only problems of so many")
    parser.add_argument("--step", help="a checkpoint of RL; the last by default")
    parser.add_argument("--told", default="", metavar="STRATEGY", help="where the model was told this strategy")
    parser.add_argument("--greedy", action="store_true", help="where it was decoded greedily")
    parser.add_argument("--wrong", type=natural, default=2, metavar="N", help="wrong generations to show; 2 by default")
    parser.add_argument("--right", type=natural, default=1, metavar="N", help="right ones; 1 by default")
    parser.add_argument("--scale", help="in place of that of params.yaml")


def run(options: argparse.Namespace) -> None:
    """Print what stands behind the number that the options name."""
    plan = open_plan(options.scale)
    measures, runs = find_models(plan, options)
    rows = read_rows(measures, runs, options)
    lines = [*describe_number(measures, runs, rows, options), *show_rows(measures.config.task_name, rows, options)]
    print("\n".join(lines))


def find_models(plan: Plan, options: argparse.Namespace) -> tuple[Artifact, list[Run]]:
    """Find the measures of the experiment that the options name, and its model, once per seed.

    Raises
    ------
    ParamsError
        If there is no such name, or what stands behind the model has not been made or pulled.
    """
    measures, runs = find_runs(plan, options.name, options.sft, options.training, options.variant, options.seed)
    require_answered(measures.inputs[f"labels/{runs[0].name}"], options)
    for run in runs:
        labels = measures.inputs[f"labels/{run.name}"]
        for artifact in (labels, *(labels.inputs[name] for name in problem_sets(labels))):
            require_readable(artifact, options.scale)
    return measures, runs


def require_answered(labels: Artifact, options: argparse.Namespace) -> None:
    """Refuse problems and strategies that the model was not asked; the set of problems is chosen if the options name none."""
    task, sets = labels.config.task, problem_sets(labels)
    require_known("problem_type", options.problem_type, ["all", *task.problem_types])
    usual = Quantity.model_fields["problem_set"].default
    options.problem_set = options.problem_set or (usual if usual in sets else sets[-1])
    require_known("--problem-set", options.problem_set, sets)
    if options.difficulty:
        known = labels.inputs[options.problem_set].config.problems.difficulties
        require_known("--n-steps", options.difficulty, known)
    if options.told:
        openings = load_task(labels.config.task_name).openings
        if not openings:
            raise ParamsError(f"--told: models are told no strategy in {labels.config.task_name}")
        require_known("--told", options.told, openings)
    if (options.told or options.greedy) and options.problem_type == "all":
        raise ParamsError(f"problem_type: with --told or --greedy, use one of {', '.join(task.problem_types)}")


def problem_sets(labels: Artifact) -> list[str]:
    """List the sets of test problems that a model was evaluated on."""
    return [role for role in labels.inputs if role not in ("evaluation", "rl", "rollouts")]


def read_rows(measures: Artifact, runs: list[Run], options: argparse.Namespace) -> pd.DataFrame:
    """Read the generations behind the number, each with its problem, its labels and the columns that name its model.

    Raises
    ------
    ParamsError
        If the model was not asked so, or not at this checkpoint.
    """
    labels = measures.inputs[f"labels/{runs[0].name}"]
    asked, difficulty = options.told or options.greedy, labels.config.task.difficulty
    table = "interventions" if asked else "generations"
    if not (labels.folder / f"{table}.parquet").exists():
        raise ParamsError("--told, --greedy: no model was asked so; evaluation.told_problems is 0")
    if options.step:
        steps = pd.read_parquet(labels.folder / f"{table}.parquet", columns=["rl_step"])["rl_step"].unique()
        require_known("--step", options.step, sorted(steps))
    models = []
    for run in runs:
        rows = read_generations(measures.inputs[f"labels/{run.name}"], options.step and int(options.step), table)
        models.append(rows.assign(**run.model_dump() | {"seed": str(run.seed)}))
    rows = pd.concat(models, ignore_index=True)
    rows = rows[rows["problem_set"] == options.problem_set]
    if asked:
        rows = rows[(rows["told"] == options.told) & (rows["greedy"] == options.greedy)]
    if options.problem_type != "all":
        rows = rows[rows["problem_type"] == options.problem_type]
    if options.difficulty:
        rows = rows[rows[difficulty] == int(options.difficulty)]
    if rows.empty:
        raise ParamsError("this checkpoint answered no such problem; the last one answers all")
    return rows


def measure_rows(measures: Artifact, rows: pd.DataFrame, options: argparse.Namespace) -> pd.Series:
    """Estimate pass@1 as the stage does whose numbers figures and tables show."""
    statistics = measures.config.statistics
    if options.told or options.greedy:
        return measure_interventions(rows, statistics).set_index("seed").loc[POOLED]
    difficulty = load_task(measures.config.task_name).Settings.difficulty
    rates = measure_pass_rates(rows, difficulty, statistics).set_index(["seed", "problem_type", difficulty])
    return rates.loc[(POOLED, "all", "all")]


def describe_number(
    measures: Artifact, runs: list[Run], rows: pd.DataFrame, options: argparse.Namespace
) -> Iterator[str]:
    """Say whose number it is, where its generations and its model lie, and how it is counted."""
    rl_step, first = rows["rl_step"].iloc[0], runs[0]
    where = ["all problem types" if options.problem_type == "all" else options.problem_type]
    where += [f"problem set {options.problem_set}"]
    difficulty = load_task(measures.config.task_name).Settings.difficulty
    where += [f"{options.difficulty} {difficulty.removeprefix('n_')}"] * bool(options.difficulty)
    where += [f"told {options.told}"] * bool(options.told) + ["greedy"] * options.greedy
    variant = "" if first.variant == "default" else f" ({first.variant})"
    yield f"{options.name}: {first.sft} {first.training}{variant}, RL step {rl_step}; {', '.join(where)}"
    for run in runs:
        labels, policy = (measures.inputs[f"{role}/{run.name}"] for role in ("labels", "policy"))
        checkpoint = policy.folder / (f"checkpoints/step-{rl_step:04d}" if run.training != "sft" else "model")
        yield f"seed         {run.seed}"
        yield f"generations  {labels.inputs['evaluation'].folder}"
        yield f"labels       {labels.folder}"
        yield f"policy       {checkpoint}"
    found, confidence = measure_rows(measures, rows, options), measures.config.statistics.confidence
    rate, low, high = (f"{100 * found[name]:.1f}" for name in ("pass_at_1", "ci_low", "ci_high"))
    yield (
        f"pass@1       {rate} % = {rows['correct'].sum()} of {len(rows)} generations on {found['n_problems']} problems, "
        f"{100 * confidence:g} % interval {low} to {high} %"
    )


def show_rows(task: str, rows: pd.DataFrame, options: argparse.Namespace) -> Iterator[str]:
    """Show generations of either outcome, drawn alike each time, with every step marked."""
    answer_text = load_task(task).answer_text
    for correct, outcome, wanted in ((False, "wrong", options.wrong), (True, "right", options.right)):
        kind = rows[rows["correct"] == correct]
        drawn = sorted(random.Random(0).sample(range(len(kind)), min(wanted, len(kind))))
        if wanted:
            yield f"\n{len(drawn)} of {len(kind)} {outcome}:"
        for row in kind.iloc[drawn].itertuples():
            seed = f", seed {row.seed}" if rows["seed"].nunique() > 1 else ""
            yield paint(f"\n{'✓' if correct else '✗'} {locate(row)}{seed}")
            yield f"prompt    {row.prompt}"
            for number, (words, sign) in enumerate(mark_response(task, row)):
                yield f"{'response' if number == 0 else '':<10}{words}{' ' * bool(sign)}{paint(sign)}"
            answered = "none" if pd.isna(row.answered) else answer_text(int(row.answered))
            error = "" if row.first_error == "none" else f"; first error: {row.first_error}"
            yield f"answer    {answered}, expected {answer_text(row.answer)}; strategy: {row.strategy}{error}"


def paint(text: str) -> str:
    """Colour what holds a sign, on a terminal only (https://no-color.org)."""
    sign = text.strip()[:1]
    if sign not in COLOURS or not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\033[{COLOURS[sign]}m{text}\033[0m"
