"""The documents of a task, as batches of tokens."""

import random

import torch
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from selectimprove.config.stages import BaseStage
from selectimprove.tasks.interface import load_task


class DocumentBatches(Dataset):
    """Batches of documents, the i-th a function of the seed and of i alone, so that training resumes exactly.

    Parameters
    ----------
    config : BaseStage
    tokenizer : PreTrainedTokenizerBase
    """

    def __init__(self, config: BaseStage, tokenizer: PreTrainedTokenizerBase):
        self.config = config
        self.draw_documents = load_task(config.task_name).draw_documents
        self.vocabulary = {word.strip(): number for word, number in tokenizer.get_vocab().items()}
        self.pad = tokenizer.pad_token_id

    def __len__(self) -> int:
        return self.config.base.n_steps

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        """Return ``input_ids`` and ``labels``, both of shape (batch_size, length); labels are -100 where nothing is learned."""
        config = self.config
        rng = random.Random(f"base/{config.seed}/{step}")
        documents = self.draw_documents(config.task, config.documents, config.base.batch_size, rng)
        width = max(len(document.prompt) + len(document.response) for document in documents)
        input_ids = torch.full((len(documents), width), self.pad)
        labels = torch.full((len(documents), width), -100)
        for row, document in enumerate(documents):
            prompt, response = self._ids(document.prompt), self._ids(document.response)
            learned = document.learned or (True,) * len(response)
            input_ids[row, : len(prompt) + len(response)] = torch.tensor(prompt + response)
            kept = [word if counts else -100 for word, counts in zip(response, learned, strict=True)]
            labels[row, len(prompt) : len(prompt) + len(response)] = torch.tensor(kept)
        return {"input_ids": input_ids, "labels": labels}

    def _ids(self, words: list[str]) -> list[int]:
        return [self.vocabulary[word] for word in words]
