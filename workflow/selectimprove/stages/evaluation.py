"""Evaluation: generations of every kept checkpoint, or of the last, on held-out problems.

Writes ``generations.parquet``, one row per generation: `rl_step` (0 is the SFT model), `problem_set`, `problem_id`, `sample`,
`completion`. Nothing is scored here: labels, rewards and pass rates are computed from these rows.
"""

import zlib
from pathlib import Path

import pandas as pd

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.params import Checkpoints
from selectimprove.config.stages import EvaluationStage
from selectimprove.tasks.interface import load_aspect
from selectimprove.training.policies import load_tokenizer, max_new_tokens, render_prompts
from selectimprove.training.sampling import open_sampler
from selectimprove.training.trainer import prepare_torch


def checkpoints_of(folder: Path, which: Checkpoints) -> dict[int, Path]:
    """List the models of an SFT or RL artifact by RL step."""
    if (folder / "model").is_dir():
        return {0: folder / "model"}
    found = {int(path.name.split("-")[1]): path for path in sorted((folder / "checkpoints").iterdir())}
    return found if which == "all" else {max(found): found[max(found)]}


def evaluate_model(config: EvaluationStage, inputs: dict[str, Path], folder: Path) -> None:
    """Sample from the checkpoints of ``policy``, adapters on ``base``, on every other input, each a set of problems."""
    prepare_torch(config.seed)
    base = inputs["base"] / "model" if "base" in inputs else None
    problem_sets = {
        role: pd.read_parquet(path / "problems.parquet")
        for role, path in inputs.items()
        if role not in ("policy", "base")
    }
    longest_response = load_aspect(config.task_name, "problems").longest_response
    parts = []
    for rl_step, checkpoint in checkpoints_of(inputs["policy"], config.checkpoints).items():
        # A part is kept per checkpoint, so that a killed evaluation goes on where it was.
        part = folder / f"part-{rl_step:04d}.parquet"
        parts.append(part)
        if part.exists():
            continue
        tokenizer = load_tokenizer(checkpoint)
        sampler = open_sampler(config.sampling, checkpoint, base, config.seed)
        rows = []
        for problem_set, problems in problem_sets.items():
            completions = sampler.sample(
                render_prompts(tokenizer, problems["prompt"].tolist(), config.system_prompt),
                config.temperature,
                config.n_samples,
                max_new_tokens(tokenizer, longest_response(int(problems["n_steps"].max()))),
                zlib.crc32(f"{config.seed}/{rl_step}/{problem_set}".encode()),
            )
            rows += [
                {"rl_step": rl_step, "problem_set": problem_set, "problem_id": p, "sample": s, "completion": completion}
                for p, samples in zip(problems["problem_id"], completions, strict=True)
                for s, completion in enumerate(samples)
            ]
        sampler.close()
        temporary = part.with_suffix(".tmp")
        pd.DataFrame(rows).to_parquet(temporary, index=False)
        temporary.replace(part)
    pd.concat(map(pd.read_parquet, parts)).to_parquet(folder / "generations.parquet", index=False)
    for part in parts:
        part.unlink()


if __name__ == "__main__":
    run_stage(EvaluationStage, evaluate_model)
