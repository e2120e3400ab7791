"""Evaluation: generations of every kept checkpoint, or of the last, on held-out problems.

Writes ``generations.parquet``, one row per generation: `rl_step` (0 is the SFT model), `problem_set`, `problem_id`,
`sample`, `completion`. The last checkpoint answers all problems, earlier ones those of curves. For the last,
``interventions.parquet`` has `greedy` and `told` as well: greedy answers, and answers begun in a prescribed strategy,
which give its pass rate even where the model rarely chooses it. Nothing is scored here.
"""

import zlib
from pathlib import Path

import pandas as pd

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.sections import Checkpoints
from selectimprove.config.stages import EvaluationStage
from selectimprove.tasks.interface import load_task
from selectimprove.training.sampling import Respondent
from selectimprove.training.trainer import prepare_torch, step_of


def checkpoints_of(folder: Path, which: Checkpoints) -> dict[int, Path]:
    """List the models of an SFT or RL artifact by RL step."""
    if (folder / "model").is_dir():
        return {0: folder / "model"}
    found = {step_of(path): path for path in sorted(folder.glob("checkpoints/step-*"))}
    return found if which == "all" else {max(found): found[max(found)]}


def spread(problems: pd.DataFrame, n_problems: int) -> pd.DataFrame:
    """Return `n_problems` in their order: the first ones of every type and number of steps."""
    rank = problems.groupby(["problem_type", "n_steps"]).cumcount()
    return problems.loc[sorted(rank.sort_values(kind="stable").index[:n_problems])]


def ask(
    model: Respondent, rl_step: int, problem_set: str, problems: pd.DataFrame, greedy: bool = False, told: str = ""
) -> pd.DataFrame:
    """Return a row per generation; `told` is the strategy in which it is begun, or empty where the model chooses."""
    seed_name, opening = f"{model.config.seed}/{rl_step}/{problem_set}", ""
    if told:
        seed_name = f"{seed_name}/{told}"
        opening = load_task(model.config.task_name).openings[told]
    rows = model.answer(problems, zlib.crc32(seed_name.encode()), greedy, opening)
    return pd.DataFrame({"rl_step": rl_step, "problem_set": problem_set, **rows})


def evaluate_model(config: EvaluationStage, inputs: dict[str, Path], folder: Path) -> None:
    """Sample from the checkpoints of ``policy``, adapters on ``base``, on every other input, each a set of problems."""
    prepare_torch(config.seed)
    base = inputs["base"] / "model" if "base" in inputs else None
    problem_sets = {
        role: pd.read_parquet(path / "problems.parquet")
        for role, path in inputs.items()
        if role not in ("policy", "base")
    }
    checkpoints = checkpoints_of(inputs["policy"], config.checkpoints)
    last = max(checkpoints)
    if not config.curve_problems:
        checkpoints = {last: checkpoints[last]}
    parts = {rl_step: folder / f"part-{rl_step:04d}.parquet" for rl_step in checkpoints}
    ways = [(True, "")]
    for told in load_task(config.task_name).openings:
        ways += [(True, told), (False, told)]
    for rl_step, checkpoint in checkpoints.items():
        # A killed evaluation goes on after the last checkpoint whose part is there.
        if parts[rl_step].exists():
            continue
        model = Respondent(config, checkpoint, base)
        curves = {name: spread(problem_sets[name], most) for name, most in config.curve_problems.items()}
        asked = problem_sets if rl_step == last else curves
        rows = [ask(model, rl_step, name, problems) for name, problems in asked.items()]
        if rl_step == last and config.told_problems:
            few = {name: spread(problems, config.told_problems) for name, problems in problem_sets.items()}
            interventions = [
                ask(model, rl_step, name, problems, greedy, told).assign(greedy=greedy, told=told)
                for name, problems in few.items()
                for greedy, told in ways
            ]
            pd.concat(interventions).to_parquet(folder / "interventions.parquet", index=False)
        model.sampler.close()
        pd.concat(rows).to_parquet(folder / "part.tmp", index=False)
        (folder / "part.tmp").replace(parts[rl_step])
    pd.concat(map(pd.read_parquet, parts.values())).to_parquet(folder / "generations.parquet", index=False)
    for part in parts.values():
        part.unlink()


if __name__ == "__main__":
    run_stage(EvaluationStage, evaluate_model)
