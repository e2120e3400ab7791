"""Rewards and pass rates, computed independently of the package's code."""

import re
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction

import pandas as pd

from selectimprove.dag.artifact import Artifact
from selectimprove.tasks.interface import load_task


def answers_rightly(completion: str, answer: str) -> bool:
    """Tell whether a completion ends with the right answer, without the task's code."""
    return re.search(rf"(?:^|\s)answer\s+{re.escape(answer)}\s*$", completion) is not None


def problems_of(artifact: Artifact) -> pd.DataFrame:
    """Read the problems of an artifact, indexed by number, with answers as in responses."""
    table = pd.read_parquet(artifact.folder / "problems.parquet").set_index("problem_id")
    answer_text = load_task(artifact.config.task_name).answer_text
    return table.assign(answer=table["answer"].map(answer_text))


def check_rollouts(artifact: Artifact) -> Iterator[str]:
    """Compute the rewards of all rollouts of a training again, and count the rollouts."""
    config = artifact.config
    if artifact.stage == "rl":
        n_steps, per_step = config.rl.n_batches, config.rl.prompts_per_step * config.rl.group_size
        are_outcomes = config.rl.reward == "outcome"
    else:
        n_steps, are_outcomes = config.rft.n_rounds, True
        per_step = config.n_prompts * (1 if config.method == "self_distillation" else config.n_samples)
    rows = pd.read_parquet(artifact.folder / "rollouts.parquet")
    answers = problems_of(artifact.inputs["problems"])["answer"].reindex(rows["problem_id"])
    drawn = zip(rows["completion"], answers, rows["reward"], strict=True) if are_outcomes else ()
    for row, (completion, answer, reward) in enumerate(drawn):
        if reward != float(answers_rightly(completion, answer)):
            yield f"{artifact.folder}: row {row}: reward {reward:g} is not the outcome of its completion"
    sizes = rows.groupby("step").size()
    if len(sizes) != n_steps or set(sizes) != {per_step}:
        yield f"{artifact.folder}: not {per_step} rollouts for each of {n_steps} steps"


def check_generations(artifact: Artifact) -> Iterator[str]:
    """Check that every checkpoint answered every problem as often as it should have, once each."""
    rows, config = pd.read_parquet(artifact.folder / "generations.parquet"), artifact.config
    if rows.duplicated(["rl_step", "problem_set", "problem_id", "sample"]).any():
        yield f"{artifact.folder}: a row is there twice"
    sets = {role: source for role, source in artifact.inputs.items() if role not in ("policy", "base")}
    sizes = {role: source.config.n_problems for role, source in sets.items()}
    kept = [*artifact.inputs["policy"].checkpoints] or [0]
    asked, found = (
        kept if config.checkpoints == "all" and config.curve_problems else kept[-1:],
        sorted(set(rows["rl_step"])),
    )
    if found != asked:
        yield f"{artifact.folder}: generations of the RL steps {found}, not {asked}"
    before_last = (len(asked) - 1) * sum(min(sizes[role], n) for role, n in config.curve_problems.items())
    if len(rows) != (wanted := config.n_samples * (before_last + sum(sizes.values()))):
        yield f"{artifact.folder}: {len(rows)} generations, not {wanted}"
    if config.told_problems:
        n_told = len(load_task(config.task_name).openings)
        per_problem = 1 + n_told * (1 + config.n_samples)
        found = len(pd.read_parquet(artifact.folder / "interventions.parquet"))
        if found != (wanted := per_problem * sum(min(size, config.told_problems) for size in sizes.values())):
            yield f"{artifact.folder}: {found} generations of told models, not {wanted}"


def count_pass_at_1(artifact: Artifact) -> dict[tuple, Fraction]:
    """Count pass@1 of an evaluation exactly, by RL step, problem set, problem type and difficulty."""
    difficulty, asked = artifact.config.task.difficulty, {}
    for role, source in artifact.inputs.items():
        if role not in ("policy", "base"):
            for problem_id, row in problems_of(source).iterrows():
                asked[role, problem_id] = (row["problem_type"], str(row[difficulty])), row["answer"]
    passed = defaultdict(list)
    for row in pd.read_parquet(artifact.folder / "generations.parquet").itertuples():
        kind, answer = asked[row.problem_set, row.problem_id]
        passed[row.rl_step, row.problem_set, *kind].append(answers_rightly(row.completion, answer))
    return {cell: Fraction(sum(values), len(values)) for cell, values in passed.items()}


def check_pass_rates(artifact: Artifact) -> Iterator[str]:
    """Compare the pass rates of an experiment with a second count, from generations."""
    difficulty = load_task(artifact.config.task_name).Settings.difficulty
    keys = ["variant", "sft", "training", "seed", "rl_step", "problem_set", "problem_type", difficulty]
    rates = pd.read_parquet(artifact.folder / "pass_rates.parquet").set_index(keys)["pass_at_1"]
    for run in artifact.config.runs:
        generations = artifact.inputs[f"labels/{run.name}"].inputs["evaluation"]
        for cell, rate in count_pass_at_1(generations).items():
            model = (run.variant, run.sft, run.training, str(run.seed))
            if abs(rates[(*model, *cell)] - float(rate)) > 1e-12:
                yield f"{artifact.folder}: pass@1 of {'/'.join(model)} in {cell} is {rates[(*model, *cell)]}, not {rate}"
