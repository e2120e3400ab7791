"""The base model of the laptop scale: a tiny Qwen2 trained from scratch on skills that are not strategies.

It stands in for what Qwen2.5 knows before post-training. Its documents are drills of single operations, and problems that are
worked in a direction drawn at random, without regard to which end is asked for::

    e3 +e5 e8  e2 *e7 e1 …
    start e3 s7 +e5 s8 *e2 end ? find-end | forward e3 s7 +e5 e8 s8 *e2 e4 answer e4
    start e3 s7 +e5 s8 *e2 end ? find-end | backward guess e6 s8 /e2 e9 s7 -e5 e1 answer e6

So it can do arithmetic, follow a chain either way, guess what is hidden, and answer. What suits a problem it cannot know: in its
documents the direction is independent of the problem's type, and guesses are random. Backward chains are rarer, and past the first
few steps they hold mistakes.
"""

import random
from pathlib import Path

import torch
from tokenizers import AddedToken
from torch.utils.data import Dataset
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer, Trainer, TrainingArguments

from selectimprove.config import Base, BaseStage, Model, Task
from selectimprove.field import FiniteField
from selectimprove.problems import PROBLEM_TYPES, Problem, run_chain
from selectimprove.stage import run_stage
from selectimprove.strategies import SUITED, steps_of
from selectimprove.training import (
    MarkFinished,
    latest_checkpoint,
    prepare_torch,
    save_model,
    trainer_arguments,
    write_training_log,
)

WORDS = ["end", "?", "find-start", "find-end", "forward", "backward", "guess", "answer"]


def build_tokenizer(order: int, ring_size: int) -> Qwen2Tokenizer:
    """Build the word-level tokenizer: a word a token, so two tokens a step in prompts and three in responses.

    `AutoTokenizer` loads any tokenizer that lies beside a Qwen2 model as a `Qwen2Tokenizer`, whose byte-pair rules would split
    ``e10``. Its added tokens come before those rules: here every word is one, with the space before it, and decoding
    gives back the exact text.
    """
    elements = [f"e{symbol}" for symbol in range(order)]
    steps = [operation + element for operation in "+-*/" for element in elements]
    labels = [f"s{position}" for position in range(ring_size)]
    tokenizer = Qwen2Tokenizer(
        vocab={"<pad>": 0, "<eos>": 1, "<unk>": 2}, merges=[], pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    words = ["start", *(f" {word}" for word in [*WORDS, *labels, *elements, *steps])]
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word in words])
    return tokenizer


def build_model(model: Model, tokenizer: Qwen2Tokenizer) -> Qwen2ForCausalLM:
    """Initialise the model, with torch's global random state."""
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=model.hidden_size,
        intermediate_size=model.intermediate_size,
        num_hidden_layers=model.n_layers,
        num_attention_heads=model.n_heads,
        num_key_value_heads=model.n_kv_heads or model.n_heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        initializer_range=model.initializer_range,
        rope_parameters={"rope_type": "default", "rope_theta": model.rope_theta},
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen2ForCausalLM(config)


class BaseDocuments(Dataset):
    """Batches of documents, the i-th a function of the seed and of i alone, so that training resumes exactly.

    Parameters
    ----------
    base : Base
    task : Task
    tokenizer : Qwen2Tokenizer
    seed : int
    """

    def __init__(self, base: Base, task: Task, tokenizer: Qwen2Tokenizer, seed: int):
        self.base, self.task, self.seed = base, task, seed
        self.field = FiniteField(task.field_order, task.relabel_seed)
        self.vocabulary = {word.strip(): number for word, number in tokenizer.get_vocab().items()}
        self.pad, self.end = tokenizer.pad_token_id, tokenizer.eos_token_id

    def __len__(self) -> int:
        return self.base.n_steps

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        """Return ``input_ids`` and ``labels``, both of shape (batch_size, length); labels are -100 on prompts."""
        rng = random.Random(f"base/{self.seed}/{step}")
        n_drills = round(self.base.batch_size * self.base.drill_share)
        # Chains of one batch share their length: less padding, the same distribution over batches.
        n_steps = rng.randint(1, self.base.max_chain_steps)
        documents = [self._chain(rng, n_steps) for _ in range(self.base.batch_size - n_drills)]
        longest = max((len(prompt) + len(response) for prompt, response in documents), default=60)
        documents += [self._drill(rng, longest // 3) for _ in range(n_drills)]
        width = max(len(prompt) + len(response) for prompt, response in documents)
        input_ids = torch.full((len(documents), width), self.pad)
        labels = torch.full((len(documents), width), -100)
        for row, (prompt, response) in enumerate(documents):
            ids = torch.tensor(prompt + response)
            input_ids[row, : len(ids)] = ids
            labels[row, : len(ids)] = ids
            labels[row, : len(prompt)] = -100
        for row in range(len(documents) - n_drills, len(documents)):
            predictable = torch.arange(width) % 3 == 2
            labels[row] = torch.where(predictable, labels[row], -100)
        return {"input_ids": input_ids, "labels": labels}

    def _ids(self, text: str) -> list[int]:
        return [self.vocabulary[word] for word in text.split()]

    def _operation(self, rng: random.Random, operations: str) -> tuple[str, int]:
        operation = rng.choice(operations)
        elements = [e for e in range(self.field.order) if operation in "+-" or e != self.field.zero]
        return operation, rng.choice(elements)

    def _drill(self, rng: random.Random, n: int) -> tuple[list[int], list[int]]:
        words = []
        for _ in range(max(n, 2)):
            value = rng.randrange(self.task.field_order)
            operation, operand = self._operation(rng, "+-*/")
            words += [f"e{value}", f"{operation}e{operand}", f"e{self.field.apply(operation, value, operand)}"]
        return [], self._ids(" ".join(words))

    def _chain(self, rng: random.Random, n_steps: int) -> tuple[list[int], list[int]]:
        base, order = self.base, self.task.field_order
        direction = "backward" if rng.random() < base.backward_share else "forward"
        operations, operands = zip(*(self._operation(rng, "+*") for _ in range(n_steps)), strict=True)
        start = rng.randrange(order)
        # Drawn without regard to the direction: which of the two suits which is not in the documents.
        problem = Problem(
            rng.choice(PROBLEM_TYPES),
            operations,
            operands,
            start,
            run_chain(self.field, start, operations, operands),
            rng.randrange(self.task.ring_size),
            self.task.ring_size,
        )
        guesses = SUITED[problem.problem_type] != direction
        guess = rng.randrange(order)
        value = guess if guesses else problem.given
        words = [direction, *(["guess"] if guesses else []), f"e{value}"]
        for position, (label, operation, operand) in enumerate(steps_of(problem, direction)):
            value = self.field.apply(operation, value, operand)
            unsound = direction == "backward" and position >= base.backward_sound_steps
            if unsound and rng.random() < base.backward_error:
                value = (value + rng.randrange(1, order)) % order
            words += [label, f"{operation}e{operand}", f"e{value}"]
        response = " ".join([*words, "answer", f"e{guess if guesses else value}"])
        return self._ids(problem.prompt), [*self._ids(response), self.end]


def pretrain_base(config: BaseStage, inputs: dict[str, Path], folder: Path) -> None:
    """Write the model and its tokenizer to ``model/``."""
    prepare_torch(config.seed)
    tokenizer = build_tokenizer(config.task.field_order, config.task.ring_size)
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
        train_dataset=BaseDocuments(config.base, config.task, tokenizer, config.seed),
        data_collator=lambda batches: batches[0],
        callbacks=[MarkFinished()],
    )
    trainer.train(resume_from_checkpoint=latest_checkpoint(folder / "trainer"))
    write_training_log(trainer, folder)
    save_model(trainer, tokenizer, folder)


if __name__ == "__main__":
    run_stage(BaseStage, pretrain_base)
