"""Supervised fine-tuning on demonstrations, with TRL's `SFTTrainer`; the loss is taken on completions only.

Trains all weights, or with LoRA an adapter. Writes ``model/`` and ``training.parquet``, which has the cross-entropy
during training and, after each epoch, on the validation problems.
"""

from pathlib import Path

import pandas as pd
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.stages import SftStage
from selectimprove.training.policies import load_frozen, load_model, load_tokenizer
from selectimprove.training.trainer import (
    ON_COMPLETIONS,
    batch_arguments,
    completion_dataset,
    prepare_torch,
    train_to_end,
    trainer_arguments,
)


def train_sft(config: SftStage, inputs: dict[str, Path], folder: Path) -> None:
    """Fine-tune ``base`` on the demonstrations ``train``, evaluated on those of ``validation``."""
    prepare_torch(config.seed)
    base = inputs["base"] / "model"
    tokenizer = load_tokenizer(base)
    train, validation = (pd.read_parquet(inputs[role] / "demonstrations.parquet") for role in ("train", "validation"))
    arguments = SFTConfig(
        **trainer_arguments(folder, config.seed, config.learning_rate, config.warmup_steps, config.optimizer),
        **batch_arguments(config.batch_size, config.device_batch_size),
        **ON_COMPLETIONS,
        num_train_epochs=config.n_epochs,
        per_device_eval_batch_size=min(config.device_batch_size or 256, 256),
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
    )
    adapter = None
    if lora := config.lora:
        adapter = LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=lora.target_modules,
            task_type="CAUSAL_LM",
        )
    trainer = SFTTrainer(
        model=load_frozen(base) if config.lora else load_model(base),
        args=arguments,
        train_dataset=completion_dataset(tokenizer, train, config.system_prompt),
        eval_dataset=completion_dataset(tokenizer, validation, config.system_prompt),
        processing_class=tokenizer,
        peft_config=adapter,
    )
    train_to_end(trainer, tokenizer, folder)


if __name__ == "__main__":
    run_stage(SftStage, train_sft)
