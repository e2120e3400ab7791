"""Supervised fine-tuning on demonstrations, with TRL's `SFTTrainer`.

The loss is taken on completions only. Left by this stage: ``model/``, and ``training.parquet`` with the cross-entropy over
training and, after each epoch, on the validation problems.
"""

from pathlib import Path

import pandas as pd
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from selectimprove.config import SftStage
from selectimprove.stage import run_stage
from selectimprove.training import latest_checkpoint, prepare_torch, save_model, write_training_log


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
        output_dir=str(folder / "trainer"),
        completion_only_loss=True,
        packing=False,
        num_train_epochs=config.n_epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=256,
        learning_rate=config.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=config.warmup_steps,
        weight_decay=0.0,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        seed=config.seed,
        data_seed=config.seed,
        use_cpu=not torch.cuda.is_available(),
        bf16=torch.cuda.is_available(),
        gradient_checkpointing=False,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        logging_steps=16,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        model=model, args=arguments, train_dataset=train, eval_dataset=validation, processing_class=tokenizer
    )
    trainer.train(resume_from_checkpoint=latest_checkpoint(folder / "trainer"))
    write_training_log(trainer, folder)
    save_model(trainer, tokenizer, folder)


if __name__ == "__main__":
    run_stage(SftStage, train_sft)
