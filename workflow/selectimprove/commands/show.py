"""Show the artifacts, counts and generations behind a number; every step of a generation is marked.

Examples, at the root of a checkout::

    selectimprove show table1 FB rl_6_9 inversion --wrong 3
    selectimprove show figure3 B rl_6_9 inversion --step 40
    selectimprove show interventions B sft inversion --told backward --greedy
    selectimprove show composition two_part rl_3_5 --n-parts 6
"""

import random
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

import pandas as pd

from selectimprove.analysis.claims import Quantity
from selectimprove.analysis.estimates import POOLED, measure_interventions, measure_pass_rates
from selectimprove.commands.arguments import find_runs, natural, open_plan, require_known, require_readable
from selectimprove.config.params import ROLES
from selectimprove.config.stages import Run
from selectimprove.dag.artifact import Artifact
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError
from selectimprove.reports.excerpt import locate, mark_response, read_generations
from selectimprove.tasks.interface import load_task


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("name", help="a figure, a table or an experiment")
    add("sft", help="an SFT mix of its experiment, such as FB")
    add("training", help="sft, or a key of rl_problems, such as rl_6_9")
    add("problem_type", nargs="?", default="all", help="such as inversion (default: %(default)s)")
    add("--seed", help="a random seed of the experiment (default: all together)")
    add("--variant", default="default", help="a variant of the experiment")
    add("--problem-set", help="a key of test_problems (default: 6-9, or else the last)")
    add("--n-steps", "--n-parts", dest="difficulty", metavar="N", help="only problems of N steps or parts")
    add("--step", help="a checkpoint of RL (default: the last)")
    add("--told", default="", metavar="STRATEGY", help="answers of the model when told to use this strategy")
    add("--greedy", action="store_true", help="answers decoded greedily")
    add("--wrong", type=natural, default=2, metavar="N", help="wrong answers to show (default: %(default)s)")
    add("--right", type=natural, default=1, metavar="N", help="right answers to show (default: %(default)s)")
    add("--scale", help="use this scale instead of that of params.yaml")


def run(options: Namespace) -> None:
    """Print the artifacts, counts and generations behind the number that the options name."""
    plan = open_plan(options.scale)
    measures, runs = find_models(plan, options)
    rows = read_rows(measures, runs, options)
    lines = [*describe_number(measures, runs, rows, options), *show_rows(measures.config.task_name, rows, options)]
    print("\n".join(lines))


def find_models(plan: Plan, options: Namespace) -> tuple[Artifact, list[Run]]:
    """Find the measures of an experiment and the runs of one model; refuse missing and damaged artifacts."""
    measures, runs = find_runs(plan, options.name, options.sft, options.training, options.variant, options.seed)
    require_answered(measures.inputs[f"labels/{runs[0].name}"], options)
    for run in runs:
        labels = measures.inputs[f"labels/{run.name}"]
        for artifact in (labels, *(source for role, source in labels.inputs.items() if role not in ROLES)):
            require_readable(artifact, options.scale)
    return measures, runs


def require_answered(labels: Artifact, options: Namespace) -> None:
    """Refuse problems and strategies that the model did not get; choose a test set if the options name none."""
    task, sets = labels.config.task, [role for role in labels.inputs if role not in ROLES]
    require_known("problem_type", options.problem_type, ["all", *task.problem_types])
    usual = Quantity.model_fields["problem_set"].default
    options.problem_set = options.problem_set or (usual if usual in sets else sets[-1])
    require_known("--problem-set", options.problem_set, sets)
    if options.difficulty:
        require_known("--n-steps", options.difficulty, labels.inputs[options.problem_set].config.problems.difficulties)
    if options.told:
        openings = load_task(labels.config.task_name).openings
        if not openings:
            raise ParamsError(f"--told: models are told no strategy in {labels.config.task_name}")
        require_known("--told", options.told, openings)
    if (options.told or options.greedy) and options.problem_type == "all":
        raise ParamsError(f"problem_type: with --told or --greedy, use one of {', '.join(task.problem_types)}")


def read_rows(measures: Artifact, runs: list[Run], options: Namespace) -> pd.DataFrame:
    """Read the generations behind the number, with their problems, labels and runs."""
    labels = measures.inputs[f"labels/{runs[0].name}"]
    asked = options.told or options.greedy
    table = "interventions" if asked else "generations"
    if not (labels.folder / f"{table}.parquet").exists():
        raise ParamsError("--told, --greedy: no model was asked this way; evaluation.told_problems is 0")
    if options.step:
        steps = pd.read_parquet(labels.folder / f"{table}.parquet", columns=["rl_step"])["rl_step"].unique()
        require_known("--step", options.step, sorted(steps))
    models = []
    for run in runs:
        rows = read_generations(measures.inputs[f"labels/{run.name}"], options.step and int(options.step), table)
        models.append(rows.assign(**run.model_dump() | {"seed": str(run.seed)}))
    rows, wanted = pd.concat(models, ignore_index=True), {"problem_set": options.problem_set}
    if asked:
        wanted |= {"told": options.told, "greedy": options.greedy}
    if options.problem_type != "all":
        wanted["problem_type"] = options.problem_type
    if options.difficulty:
        wanted[labels.config.task.difficulty] = int(options.difficulty)
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    if rows.empty:
        raise ParamsError("this checkpoint answered no such problem; the last one answers all")
    return rows


def measure_rows(measures: Artifact, rows: pd.DataFrame, options: Namespace) -> pd.Series:
    """Estimate pass@1 as the stage `measures` does."""
    statistics, difficulty = measures.config.statistics, load_task(measures.config.task_name).Settings.difficulty
    if options.told or options.greedy:
        return measure_interventions(rows, statistics).set_index("seed").loc[POOLED]
    rates = measure_pass_rates(rows, difficulty, statistics).set_index(["seed", "problem_type", difficulty])
    return rates.loc[(POOLED, "all", "all")]


def describe_number(measures: Artifact, runs: list[Run], rows: pd.DataFrame, options: Namespace) -> Iterator[str]:
    """Describe the model behind a number, the folders of its generations and weights, and the counts."""
    rl_step, first = rows["rl_step"].iloc[0], runs[0]
    difficulty = load_task(measures.config.task_name).Settings.difficulty.removeprefix("n_")
    where = "all problem types" if options.problem_type == "all" else options.problem_type
    where += f", problem set {options.problem_set}"
    where += f", {options.difficulty} {difficulty}" if options.difficulty else ""
    where += f", told {options.told}" if options.told else ""
    where += ", greedy" if options.greedy else ""
    variant = "" if first.variant == "default" else f" ({first.variant})"
    yield f"{options.name}: {first.sft} {first.training}{variant}, RL step {rl_step}; {where}"
    for run in runs:
        labels, policy = (measures.inputs[f"{role}/{run.name}"] for role in ("labels", "policy"))
        checkpoint = policy.folder / (f"checkpoints/step-{rl_step:04d}" if run.training != "sft" else "model")
        yield f"seed         {run.seed}\ngenerations  {labels.inputs['evaluation'].folder}"
        yield f"labels       {labels.folder}\npolicy       {checkpoint}"
    found, confidence = measure_rows(measures, rows, options), measures.config.statistics.confidence
    rate, low, high = (f"{100 * found[name]:.1f}" for name in ("pass_at_1", "ci_low", "ci_high"))
    counts = f"{rows['correct'].sum()} of {len(rows)} generations on {found['n_problems']} problems"
    yield f"pass@1       {rate} % = {counts}, {100 * confidence:g} % interval {low} to {high} %"


def show_rows(task: str, rows: pd.DataFrame, options: Namespace) -> Iterator[str]:
    """Show wrong and right generations, the same at each call, with every step marked."""
    answer_text = load_task(task).answer_text
    for correct, outcome, wanted in ((False, "wrong", options.wrong), (True, "right", options.right)):
        kind = rows[rows["correct"] == correct]
        drawn = sorted(random.Random(0).sample(range(len(kind)), min(wanted, len(kind))))
        if wanted:
            yield f"\n{len(drawn)} of {len(kind)} {outcome}:"
        for row in kind.iloc[drawn].itertuples():
            seed = f", seed {row.seed}" if rows["seed"].nunique() > 1 else ""
            yield f"\n{'✓' if correct else '✗'} {locate(row)}{seed}"
            yield f"prompt    {row.prompt}"
            for number, (words, sign) in enumerate(mark_response(task, row)):
                yield f"{'response' if number == 0 else '':<10}{words} {sign}".rstrip()
            answered = "none" if pd.isna(row.answered) else answer_text(int(row.answered))
            error = "" if row.first_error == "none" else f"; first error: {row.first_error}"
            yield f"answer    {answered}, expected {answer_text(row.answer)}; strategy: {row.strategy}{error}"
