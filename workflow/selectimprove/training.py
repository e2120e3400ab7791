"""What the three training stages share: determinism, resuming, and what is kept of a trainer."""

import os
import shutil
from pathlib import Path

import pandas as pd
import torch
import transformers
from transformers import PreTrainedTokenizerBase, Trainer
from transformers.trainer_utils import get_last_checkpoint


def prepare_torch(seed: int) -> None:
    """Seed every generator and use as many threads as the job was given, one by default.

    The number of threads decides the order of floating-point sums: with the same number, two runs are bit-equal.
    """
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory guards against kernels that read it unset; TRL allocates a buffer of half a gigabyte for each of its
    # chunked log-probabilities, and filling those took 40 % of a GRPO step.
    torch.utils.deterministic.fill_uninitialized_memory = False
    transformers.set_seed(seed)


def trainer_arguments(folder: Path, seed: int, learning_rate: float, warmup_steps: int) -> dict:
    """Return the `TrainingArguments` that all stages share: AdamW, linear warm-up and decay, no weight decay."""
    on_gpu = torch.cuda.is_available()
    return {
        "output_dir": str(folder / "trainer"),
        "learning_rate": learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": warmup_steps,
        "weight_decay": 0.0,
        "adam_beta2": 0.98,
        "max_grad_norm": 1.0,
        "seed": seed,
        "data_seed": seed,
        "use_cpu": not on_gpu,
        "bf16": on_gpu,
        "gradient_checkpointing": False,
        "report_to": "none",
        "disable_tqdm": True,
    }


def latest_checkpoint(folder: Path) -> str | None:
    """Return the newest trainer checkpoint that a killed run left in `folder`, if any."""
    return get_last_checkpoint(folder) if folder.is_dir() else None


def save_model(trainer: Trainer, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Keep the trained model and its tokenizer in ``model/``, and drop the trainer's own checkpoints."""
    trainer.model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    shutil.rmtree(folder / "trainer", ignore_errors=True)


def write_training_log(trainer: Trainer, folder: Path) -> None:
    """Write what the trainer logged to ``training.parquet``, a row a logging step."""
    table = pd.DataFrame(trainer.state.log_history)
    timing = [column for column in table if "runtime" in column or "per_second" in column or column == "step_time"]
    table.drop(columns=timing).to_parquet(folder / "training.parquet", index=False)
