"""Evaluation: generations of every kept checkpoint, or of the last, on held-out problems.

Writes ``generations.parquet``, one row per generation: `rl_step` (0 is the SFT model), `problem_set`, `problem_id`, `sample`,
`completion`. The last checkpoint answers all problems, those before it fewer. For the last, ``interventions.parquet`` has the same and
`greedy` and `told`: answers by greedy decoding, and answers that are begun in a strategy, so that its pass rate is known where the model
rarely takes it. Nothing is scored here: labels, rewards and pass rates are computed from these rows.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.params import Checkpoints
from selectimprove.config.stages import EvaluationStage
from selectimprove.tasks.interface import load_task
from selectimprove.training.policies import keeps_first_space, load_tokenizer, max_new_tokens, render_prompts
from selectimprove.training.sampling import open_sampler
from selectimprove.training.trainer import prepare_torch


def checkpoints_of(folder: Path, which: Checkpoints) -> dict[int, Path]:
    """List the models of an SFT or RL artifact by RL step."""
    if (folder / "model").is_dir():
        return {0: folder / "model"}
    found = {int(path.name.split("-")[1]): path for path in sorted((folder / "checkpoints").iterdir())}
    return found if which == "all" else {max(found): found[max(found)]}


def spread(problems: pd.DataFrame, n_problems: int) -> pd.DataFrame:
    """Return the first problems of every type and number of steps, `n_problems` together, in their order."""
    rank = problems.groupby(["problem_type", "n_steps"]).cumcount()
    return problems.loc[sorted(rank.sort_values(kind="stable").index[:n_problems])]


class Asking:
    """A checkpoint that is asked problems.

    Parameters
    ----------
    config : EvaluationStage
    checkpoint : Path
    base : Path or None
        The model that an adapter belongs to.
    rl_step : int
    """

    def __init__(self, config: EvaluationStage, checkpoint: Path, base: Path | None, rl_step: int):
        self.config, self.rl_step = config, rl_step
        self.task = load_task(config.task_name)
        self.tokenizer = load_tokenizer(checkpoint)
        self.between = "" if keeps_first_space(self.tokenizer) else " "
        self.sampler = open_sampler(config.sampling, checkpoint, base, config.seed)

    def ask(self, problem_set: str, problems: pd.DataFrame, greedy: bool = False, told: str = "") -> pd.DataFrame:
        """Return a row per generation.

        Parameters
        ----------
        problem_set : str
        problems : pandas.DataFrame
        greedy : bool
            The likeliest token at each place, once; else `n_samples` at the config's temperature.
        told : str
            A strategy: the response is begun for the model, which goes on. Empty: the model chooses.
        """
        config, opening = self.config, self.task.openings[told] if told else ""
        prompts = render_prompts(self.tokenizer, problems["prompt"].tolist(), config.system_prompt)
        # A chat's turn begins without a space.
        separator = " " if opening and not config.system_prompt else ""
        completions = self.sampler.sample(
            [f"{prompt}{separator}{opening}" for prompt in prompts],
            0.0 if greedy else config.temperature,
            1 if greedy else config.n_samples,
            max_new_tokens(self.tokenizer, self.task.longest_response(config.task, int(problems["n_steps"].max()))),
            zlib.crc32("/".join([f"{config.seed}/{self.rl_step}/{problem_set}", *([told] * bool(told))]).encode()),
        )
        begun = f"{opening}{self.between}" if opening else ""
        where = {"rl_step": self.rl_step, "problem_set": problem_set}
        return pd.DataFrame(
            {**where, "problem_id": p, "sample": s, "completion": f"{begun}{completion}"}
            for p, samples in zip(problems["problem_id"], completions, strict=True)
            for s, completion in enumerate(samples)
        )

    def intervene(self, problem_set: str, problems: pd.DataFrame) -> Iterator[pd.DataFrame]:
        """Ask greedily, and with each strategy told, both greedily and not."""
        for told in ("", *self.task.openings):
            for greedy in (True, False) if told else (True,):
                yield self.ask(problem_set, problems, greedy, told).assign(greedy=greedy, told=told)


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
    parts = []
    for rl_step, checkpoint in checkpoints.items():
        # A part is kept per checkpoint, so that a killed evaluation goes on where it was.
        part = folder / f"part-{rl_step:04d}.parquet"
        parts.append(part)
        if part.exists():
            continue
        model = Asking(config, checkpoint, base, rl_step)
        is_last = rl_step == max(checkpoints)
        rows = [
            model.ask(name, problems if is_last else spread(problems, config.curve_problems))
            for name, problems in problem_sets.items()
        ]
        if is_last and config.told_problems:
            told = [
                answers
                for name, problems in problem_sets.items()
                for answers in model.intervene(name, spread(problems, config.told_problems))
            ]
            _write(told, folder / "interventions.parquet")
        model.sampler.close()
        _write(rows, part)
    pd.concat(map(pd.read_parquet, parts)).to_parquet(folder / "generations.parquet", index=False)
    for part in parts:
        part.unlink()


def _write(tables: list[pd.DataFrame], path: Path) -> None:
    temporary = path.with_suffix(".tmp")
    pd.concat(tables).to_parquet(temporary, index=False)
    temporary.replace(path)


if __name__ == "__main__":
    run_stage(EvaluationStage, evaluate_model)
