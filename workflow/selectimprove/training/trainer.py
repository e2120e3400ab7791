"""What all trainings share: determinism, splitting batches, resuming, and what is kept of a trainer."""

import logging
import os
import shutil
from pathlib import Path

import pandas as pd
import torch
import transformers
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback

from selectimprove.artifacts.arithmetic import is_portable
from selectimprove.batches import split_batch
from selectimprove.config.training import REPORT_TO, RUN_NAME, Optimizer
from selectimprove.errors import ParamsError
from selectimprove.training.kernels import use_portable_kernels
from selectimprove.training.policies import copy_model, has_bfloat16, render_completions, render_prompts

LOG = logging.getLogger(__name__)

ON_COMPLETIONS = {"completion_only_loss": True, "packing": False, "max_length": None, "logging_steps": 16}
"""Arguments of `SFTConfig` wherever a model learns completions: whole sequences, and no loss on prompts."""


def prepare_torch(seed: int) -> None:
    """Seed every generator and use one thread: no key covers their number, which decides the order of sums."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory guards against kernels that read it unset. TRL allocates half a gigabyte for each chunk of
    # log-probabilities, and filling that took 40 % of a GRPO step.
    torch.utils.deterministic.fill_uninitialized_memory = False
    transformers.set_seed(seed)
    if is_portable():
        use_portable_kernels()


def trainer_arguments(
    folder: Path, seed: int, learning_rate: float, warmup_steps: int, optimizer: Optimizer, schedule: str = "linear"
) -> dict:
    """Return the `TrainingArguments` that all trainings share."""
    return {
        "output_dir": str(folder / "trainer"),
        "learning_rate": learning_rate,
        "lr_scheduler_type": schedule,
        "warmup_steps": warmup_steps,
        "weight_decay": optimizer.weight_decay,
        "adam_beta2": optimizer.adam_beta2,
        "max_grad_norm": optimizer.max_grad_norm,
        "seed": seed,
        "data_seed": seed,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": has_bfloat16(),
        "gradient_checkpointing": False,
        "disable_tqdm": True,
        "report_to": os.environ.get(REPORT_TO, "none"),
        "run_name": os.environ.get(RUN_NAME),
        "project": "select-and-improve",
    }


def batch_arguments(batch_size: int, device_batch_size: int | None) -> dict:
    """Return the `TrainingArguments` that split a batch over the processes and the passes of each."""
    processes = int(os.environ.get("WORLD_SIZE", 1))
    split = split_batch(batch_size, processes, device_batch_size)
    if split is None:
        size = f"{processes} processes with device_batch_size {device_batch_size}"
        raise ParamsError(f"a batch of {batch_size} sequences cannot be split evenly over {size}")
    return {"per_device_train_batch_size": split[0], "gradient_accumulation_steps": split[1]}


def completion_dataset(tokenizer: PreTrainedTokenizerBase, table: pd.DataFrame, system_prompt: str | None) -> Dataset:
    """Make the data of `SFTTrainer` from the columns `prompt` and `completion`."""
    prompts = render_prompts(tokenizer, table["prompt"], system_prompt)
    return Dataset.from_dict({"prompt": prompts, "completion": render_completions(table["completion"], system_prompt)})


def process_number() -> int:
    """Return the number of this process among those that share a batch; process 0 writes the results."""
    return int(os.environ.get("RANK", 0))


def _finished_by(process: int) -> str:
    return f"finished-{process}-of-{os.environ.get('WORLD_SIZE', 1)}"


class MarkFinished(TrainerCallback):
    """Marks each checkpoint that this process has written completely; must be the last callback of a trainer."""

    def on_save(self, args, state, control, **_):
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / _finished_by(args.process_index)).touch()


def step_of(checkpoint: str | Path) -> int:
    """Return the step in the name of a checkpoint, ``checkpoint-<step>`` or ``step-<step>``."""
    return int(Path(checkpoint).name.split("-")[1])


def latest_checkpoint(folder: Path) -> str | None:
    """Return the newest checkpoint in `folder` that was finished, by as many processes as there are now, if any."""
    marks = [_finished_by(process) for process in range(int(os.environ.get("WORLD_SIZE", 1)))]
    finished = [path for path in folder.glob("checkpoint-*") if all((path / mark).exists() for mark in marks)]
    if not finished:
        return None
    latest = max(finished, key=step_of)
    LOG.info("going on from step %d, where an earlier run was stopped", step_of(latest))
    return str(latest)


def drop_checkpoints(folder: Path) -> None:
    """Remove a trainer's checkpoints, marks first, so that a kill meanwhile leaves none that seems finished."""
    for mark in folder.glob("checkpoint-*/finished-*"):
        mark.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def keep_checkpoints(folder: Path) -> None:
    """Move the weights and tokenizers of all checkpoints from ``trainer/`` to ``checkpoints/``; drop the rest."""
    for checkpoint in (folder / "trainer").glob("checkpoint-*"):
        copy_model(checkpoint, folder / "checkpoints" / f"step-{step_of(checkpoint):04d}")
    drop_checkpoints(folder / "trainer")


def save_weights(trainer: Trainer, tokenizer: PreTrainedTokenizerBase, target: Path) -> None:
    """Save the trained model, or its adapter, and its tokenizer."""
    trainer.accelerator.unwrap_model(trainer.model).save_pretrained(target)
    tokenizer.save_pretrained(target)


def training_log(trainer: Trainer) -> pd.DataFrame:
    """Return a trainer's log, one row per logging step, without times."""
    # The last entry has totals since the last resumption, and repeats the last step's number.
    rows = [logged for logged in trainer.state.log_history if "train_runtime" not in logged]
    # Before and after resuming, the same values are logged in different orders.
    table = pd.DataFrame(rows, columns=sorted({"step"}.union(*rows)))
    times = [column for column in table if "runtime" in column or "per_second" in column or column == "step_time"]
    return table.drop(columns=times)


def train_to_end(trainer: Trainer, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Train, going on where an earlier run was stopped, and write ``training.parquet`` and ``model/``."""
    trainer.add_callback(MarkFinished())
    trainer.train(resume_from_checkpoint=latest_checkpoint(folder / "trainer"))
    trainer.accelerator.wait_for_everyone()
    if process_number() == 0:
        training_log(trainer).to_parquet(folder / "training.parquet", index=False)
        save_weights(trainer, tokenizer, folder / "model")
        drop_checkpoints(folder / "trainer")
