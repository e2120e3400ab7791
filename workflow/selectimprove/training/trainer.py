"""What all training stages share: determinism, resuming, several processes, and what is kept of a trainer."""

import os
import shutil
from pathlib import Path

import pandas as pd
import torch
import transformers
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback

from selectimprove.config.params import Optimizer
from selectimprove.config.training import REPORT_TO, RUN_NAME
from selectimprove.training.policies import has_bfloat16
from selectimprove.types import ParamsError

ON_COMPLETIONS = {"completion_only_loss": True, "packing": False, "max_length": None}
"""What `SFTConfig` is told wherever a model learns completions: whole, and the prompts before them not."""


def prepare_torch(seed: int) -> None:
    """Seed every generator and use one thread.

    The number of threads decides the order of floating-point sums, and no key covers it: so it is one, whatever a job asks for. Two jobs
    of one thread each use two cores better than one of two.
    """
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory guards against kernels that read it unset; TRL allocates a buffer of half a gigabyte for each of its
    # chunked log-probabilities, and filling those took 40 % of a GRPO step.
    torch.utils.deterministic.fill_uninitialized_memory = False
    transformers.set_seed(seed)


def trainer_arguments(
    folder: Path, seed: int, learning_rate: float, warmup_steps: int, optimizer: Optimizer, schedule: str = "linear"
) -> dict:
    """Return the `TrainingArguments` that all stages share."""
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
    """Spread a batch over the processes, and each process's share over as few passes as its device takes.

    Parameters
    ----------
    batch_size : int
        Sequences of one optimiser step.
    device_batch_size : int or None
        Most sequences of one pass; None for no bound.

    Raises
    ------
    ParamsError
        If the batch cannot be spread evenly.
    """
    processes = int(os.environ.get("WORLD_SIZE", 1))
    share, rest = divmod(batch_size, processes)
    in_one_pass = min(device_batch_size or share, share)
    if rest or share % in_one_pass:
        raise ParamsError(
            f"a batch of {batch_size} sequences cannot be spread evenly over {processes} processes with "
            f"device_batch_size {in_one_pass}; use numbers that divide it"
        )
    return {
        "per_device_train_batch_size": in_one_pass,
        "gradient_accumulation_steps": share // in_one_pass,
    }


def is_main_process() -> bool:
    """Tell whether this process writes what a stage leaves; all others only compute."""
    return int(os.environ.get("RANK", 0)) == 0


def _finished_by(process: int) -> str:
    return f"finished-{process}-of-{os.environ.get('WORLD_SIZE', 1)}"


class MarkFinished(TrainerCallback):
    """Marks each checkpoint that this process has written to its end; has to be the last of a trainer's callbacks."""

    def on_save(self, args, state, control, **_):
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / _finished_by(args.process_index)).touch()


def latest_checkpoint(folder: Path) -> str | None:
    """Return the newest checkpoint in `folder` that was finished by as many processes as there are now, if any.

    A kill leaves the checkpoint half-written that was being saved.
    """
    marks = [_finished_by(process) for process in range(int(os.environ.get("WORLD_SIZE", 1)))]
    finished = [path for path in folder.glob("checkpoint-*") if all((path / mark).exists() for mark in marks)]
    return str(max(finished, key=lambda path: int(path.name.split("-")[1]))) if finished else None


def drop_checkpoints(folder: Path) -> None:
    """Remove a trainer's checkpoints, marks first: a kill meanwhile leaves none that lacks a file and looks finished."""
    for mark in folder.glob("checkpoint-*/finished-*"):
        mark.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def save_model(trainer: Trainer, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Keep the trained model, or its adapter, and its tokenizer in ``model/``, and drop the trainer's own checkpoints."""
    trainer.accelerator.wait_for_everyone()
    if is_main_process():
        trainer.accelerator.unwrap_model(trainer.model).save_pretrained(folder / "model")
        tokenizer.save_pretrained(folder / "model")
        drop_checkpoints(folder / "trainer")


def write_training_log(trainer: Trainer, folder: Path) -> None:
    """Write what the trainer logged to ``training.parquet``, a row a logging step; none if it ended before the first.

    Left out are times, and the last entry, which has totals of the run since it was last resumed and repeats the last step's number.
    """
    if is_main_process():
        rows = [logged for logged in trainer.state.log_history if "train_runtime" not in logged]
        # What is logged before and after resuming comes in another order.
        table = pd.DataFrame(rows, columns=sorted({"step"}.union(*rows)))
        timing = [column for column in table if "runtime" in column or "per_second" in column]
        table = table.drop(columns=[*timing, "step_time"], errors="ignore")
        table.to_parquet(folder / "training.parquet", index=False)
