"""The base model of the laptop scale: a tiny Qwen2 trained from scratch on a task's documents.

It stands in for what Qwen2.5 knows before post-training: skills that are not strategies. The task decides what the
documents hold (see `selectimprove.tasks.chains.documents`). With an input ``base``, that model is trained further, on
this task's documents.
"""

import random
from pathlib import Path

import torch
from torch.utils.data import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase, Trainer, TrainingArguments

from selectimprove.artifacts.runner import run_stage
from selectimprove.config.stages import BaseStage
from selectimprove.tasks.interface import load_task
from selectimprove.training.architecture import build_model, build_tokenizer
from selectimprove.training.trainer import prepare_torch, train_to_end, trainer_arguments


class DocumentBatches(Dataset):
    """Batches of documents; batch i is a function of the seed and i only, so training resumes exactly."""

    def __init__(self, config: BaseStage, tokenizer: PreTrainedTokenizerBase):
        self.config = config
        self.draw_documents = load_task(config.task_name).draw_documents
        self.vocabulary = {word.strip(): number for word, number in tokenizer.get_vocab().items()}
        self.pad = tokenizer.pad_token_id

    def __len__(self) -> int:
        return self.config.base.n_steps

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        """Return ``input_ids`` and ``labels``, both (batch_size, length); labels are -100 where no loss is taken."""
        config = self.config
        rng = random.Random(f"base/{config.seed}/{step}")
        documents = self.draw_documents(config.task, config.documents, config.base.batch_size, rng)
        width = max(len(document.prompt) + len(document.response) for document in documents)
        input_ids = torch.full((len(documents), width), self.pad)
        labels = torch.full((len(documents), width), -100)
        for row, document in enumerate(documents):
            prompt = [self.vocabulary[word] for word in document.prompt]
            response = [self.vocabulary[word] for word in document.response]
            learned = document.learned or (True,) * len(response)
            end = len(prompt) + len(response)
            input_ids[row, :end] = torch.tensor(prompt + response)
            kept = [token if counts else -100 for token, counts in zip(response, learned, strict=True)]
            labels[row, len(prompt) : end] = torch.tensor(kept)
        return {"input_ids": input_ids, "labels": labels}


def pretrain_base(config: BaseStage, inputs: dict[str, Path], folder: Path) -> None:
    """Write the model and its tokenizer to ``model/``."""
    prepare_torch(config.seed)
    if "base" in inputs:
        tokenizer = AutoTokenizer.from_pretrained(inputs["base"] / "model")
        model = AutoModelForCausalLM.from_pretrained(inputs["base"] / "model")
    else:
        tokenizer = build_tokenizer(load_task(config.task_name).vocabulary(config.task))
        model = build_model(config.model, tokenizer, vocab_size=len(tokenizer), n_positions=1024)
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
    )
    train_to_end(trainer, tokenizer, folder)


if __name__ == "__main__":
    run_stage(BaseStage, pretrain_base)
