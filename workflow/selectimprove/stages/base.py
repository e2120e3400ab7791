"""The base model of the laptop scale: a tiny Qwen2 trained from scratch on a task's documents.

It stands in for what Qwen2.5 knows before post-training: skills that are not strategies. What the documents hold is up to the task
(`selectimprove.tasks.chains.documents`). Where ``base`` is an input, that model is trained further, on the documents of another task.
"""

from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.stages import BaseStage
from selectimprove.tasks.interface import load_task
from selectimprove.training.architecture import build_model, build_tokenizer
from selectimprove.training.documents import DocumentBatches
from selectimprove.training.trainer import (
    MarkFinished,
    latest_checkpoint,
    prepare_torch,
    save_model,
    trainer_arguments,
    write_training_log,
)


def pretrain_base(config: BaseStage, inputs: dict[str, Path], folder: Path) -> None:
    """Write the model and its tokenizer to ``model/``."""
    prepare_torch(config.seed)
    if "base" in inputs:
        tokenizer = AutoTokenizer.from_pretrained(inputs["base"] / "model")
        model = AutoModelForCausalLM.from_pretrained(inputs["base"] / "model")
    else:
        tokenizer = build_tokenizer(load_task(config.task_name).vocabulary(config.task))
        model = build_model(config.model, tokenizer)
    arguments = TrainingArguments(
        **trainer_arguments(folder, config.seed, config.base.learning_rate, config.base.warmup_steps, config.optimizer),
        max_steps=config.base.n_steps,
        per_device_train_batch_size=1,
        save_steps=500,
        save_total_limit=2,
        logging_steps=100,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=DocumentBatches(config, tokenizer),
        data_collator=lambda batches: batches[0],
        callbacks=[MarkFinished()],
    )
    trainer.train(resume_from_checkpoint=latest_checkpoint(folder / "trainer"))
    write_training_log(trainer, folder)
    save_model(trainer, tokenizer, folder)


if __name__ == "__main__":
    run_stage(BaseStage, pretrain_base)
