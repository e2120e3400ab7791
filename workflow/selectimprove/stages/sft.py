"""Supervised fine-tuning on demonstrations, with TRL's `SFTTrainer`.

The loss is taken on completions only. All weights are trained, or with LoRA an adapter. Left by this stage: ``model/``, and
``training.parquet`` with the cross-entropy over training and, after each epoch, on the validation problems.
"""

from pathlib import Path

import pandas as pd
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.params import Lora
from selectimprove.config.stages import SftStage
from selectimprove.training.policies import load_frozen, load_model, load_tokenizer, render_completions, render_prompts
from selectimprove.training.trainer import (
    ON_COMPLETIONS,
    MarkFinished,
    batch_arguments,
    latest_checkpoint,
    prepare_torch,
    save_model,
    trainer_arguments,
    write_training_log,
)


def read_demonstrations(folder: Path, tokenizer: PreTrainedTokenizerBase, system_prompt: str | None) -> Dataset:
    """Read demonstrations as a model is asked and should answer."""
    table = pd.read_parquet(folder / "demonstrations.parquet")
    return Dataset.from_dict(
        {
            "prompt": render_prompts(tokenizer, table["prompt"], system_prompt),
            "completion": render_completions(table["completion"], system_prompt),
        }
    )


def adapter_of(lora: Lora | None):
    """Return the configuration of the adapter that is trained in place of all weights, if one is."""
    if lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        task_type="CAUSAL_LM",
    )


def train_sft(config: SftStage, inputs: dict[str, Path], folder: Path) -> None:
    """Fine-tune ``base`` on the demonstrations ``train``, watched on those of ``validation``."""
    prepare_torch(config.seed)
    base = inputs["base"] / "model"
    tokenizer = load_tokenizer(base)
    train, validation = (
        read_demonstrations(inputs[role], tokenizer, config.system_prompt) for role in ("train", "validation")
    )
    arguments = SFTConfig(
        **trainer_arguments(folder, config.seed, config.learning_rate, config.warmup_steps, config.optimizer),
        **batch_arguments(config.batch_size, config.device_batch_size),
        **ON_COMPLETIONS,
        num_train_epochs=config.n_epochs,
        per_device_eval_batch_size=min(config.device_batch_size or 256, 256),
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        logging_steps=16,
    )
    trainer = SFTTrainer(
        model=load_frozen(base) if config.lora else load_model(base),
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
        peft_config=adapter_of(config.lora),
        callbacks=[MarkFinished()],
    )
    trainer.train(resume_from_checkpoint=latest_checkpoint(folder / "trainer"))
    write_training_log(trainer, folder)
    save_model(trainer, tokenizer, folder)


if __name__ == "__main__":
    run_stage(SftStage, train_sft)
