"""Supervised fine-tuning on demonstrations, with TRL's `SFTTrainer`.

The loss is taken on completions only. Left by this stage: ``model/``, and ``training.parquet`` with the cross-entropy over
training and, after each epoch, on the validation problems.
"""

from pathlib import Path

import pandas as pd
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from selectimprove.config import SftStage
from selectimprove.stage import run_stage
from selectimprove.training import latest_checkpoint, prepare_torch, save_model, trainer_arguments, write_training_log


def train_sft(config: SftStage, inputs: dict[str, Path], folder: Path) -> None:
    """Fine-tune ``base`` on the demonstrations ``train``, watched on those of ``validation``."""
    prepare_torch(config.seed)
    tokenizer = AutoTokenizer.from_pretrained(inputs["base"] / "model")
    model = AutoModelForCausalLM.from_pretrained(inputs["base"] / "model")
    train, validation = (
        Dataset.from_pandas(pd.read_parquet(inputs[role] / "demonstrations.parquet")[["prompt", "completion"]])
        for role in ("train", "validation")
    )
    arguments = SFTConfig(
        **trainer_arguments(folder, config.seed, config.learning_rate, config.warmup_steps),
        completion_only_loss=True,
        packing=False,
        num_train_epochs=config.n_epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=256,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        logging_steps=16,
    )
    trainer = SFTTrainer(
        model=model, args=arguments, train_dataset=train, eval_dataset=validation, processing_class=tokenizer
    )
    trainer.train(resume_from_checkpoint=latest_checkpoint(folder / "trainer"))
    write_training_log(trainer, folder)
    save_model(trainer, tokenizer, folder)


if __name__ == "__main__":
    run_stage(SftStage, train_sft)
