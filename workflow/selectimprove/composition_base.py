"""Pretraining continued on compositions: what Qwen2.5 knows of answering one thing after another.

The documents are compositions whose parts are worked in directions drawn without regard to what they ask for, as in
`selectimprove.base`, and of which only the first few are worked: after each, a coin decides whether to go on or to answer::

    start e3 s7 find-end s8 +e5 s9 *e2 s10 find-start s11 +e1 end ? | s7 forward e3 s8 +e5 e8 s9 *e2 e4 answer e4

So the base model can go on to a next part, but cannot know that it should.
"""

import random
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase, Trainer, TrainingArguments

from selectimprove.base import BaseDocuments
from selectimprove.composition import draw_composition, work_part
from selectimprove.config import CompositionBaseStage
from selectimprove.stage import run_stage
from selectimprove.strategies import STRATEGIES, SUITED
from selectimprove.training import (
    MarkFinished,
    latest_checkpoint,
    prepare_torch,
    save_model,
    trainer_arguments,
    write_training_log,
)


class CompositionDocuments(BaseDocuments):
    """Batches of compositions worked in part, and of drills.

    Parameters
    ----------
    config : CompositionBaseStage
    tokenizer : PreTrainedTokenizerBase
    """

    def __init__(self, config: CompositionBaseStage, tokenizer: PreTrainedTokenizerBase):
        super().__init__(config.base, config.task, tokenizer, config.seed)
        self.config = config

    def _chain(self, rng: random.Random, n_steps: int) -> tuple[list[int], list[int]]:
        config, task = self.config, self.task
        n_parts = rng.randint(*config.parts)
        composition = draw_composition(self.field, n_parts, config.part_steps, task.ring_size, rng)
        words, value = [], composition.given
        for part in composition.parts:
            strategy = rng.choice(STRATEGIES)
            suited = strategy == SUITED[part.problem_type]
            first_value = value if suited else rng.randrange(task.field_order)
            worked, last_value = work_part(self.field, part, strategy, first_value)
            words += worked
            value = last_value if suited else first_value
            if rng.random() >= config.part_continue:
                break
        response = self._ids(" ".join([*words, "answer", f"e{value}"]))
        return self._ids(composition.prompt), [*response, self.end]


def continue_base(config: CompositionBaseStage, inputs: dict[str, Path], folder: Path) -> None:
    """Train ``base`` further and write it to ``model/``."""
    prepare_torch(config.seed)
    tokenizer = AutoTokenizer.from_pretrained(inputs["base"] / "model")
    arguments = TrainingArguments(
        **trainer_arguments(folder, config.seed, config.base.learning_rate, config.base.warmup_steps, config.optimizer),
        max_steps=config.base.n_steps,
        per_device_train_batch_size=1,
        save_steps=500,
        save_total_limit=2,
        logging_steps=100,
    )
    trainer = Trainer(
        model=AutoModelForCausalLM.from_pretrained(inputs["base"] / "model"),
        args=arguments,
        train_dataset=CompositionDocuments(config, tokenizer),
        data_collator=lambda batches: batches[0],
        callbacks=[MarkFinished()],
    )
    trainer.train(resume_from_checkpoint=latest_checkpoint(folder / "trainer"))
    write_training_log(trainer, folder)
    save_model(trainer, tokenizer, folder)


if __name__ == "__main__":
    run_stage(CompositionBaseStage, continue_base)
