"""A task and a stage of a user's own, each added in one place."""

import json
import re

import pandas as pd
import yaml

SORTING = '''
"""A toy task: sort letters. One class holds all aspects."""

import random
from dataclasses import dataclass
from typing import ClassVar

from selectimprove.tasks import interface
from selectimprove.types import Positive, Range

LETTERS = "abcdefgh"


class Settings(interface.Settings):
    problem_types: ClassVar = ("sort",)
    n_letters: Positive

    @property
    def slug(self):
        return f"sorting{self.n_letters}"


class Problems(interface.Problems):
    length: Range

    @property
    def slug(self):
        return f"{self.length[0]}to{self.length[1]}"

    @property
    def difficulties(self):
        return range(self.length[0], self.length[1] + 1)

    def count_types(self, n_problems):
        return {"sort": n_problems}


class Demonstrations(interface.Demonstrations):
    pass


class Documents(interface.Documents):
    length: Range


@dataclass(frozen=True)
class Problem:
    letters: str
    problem_type = "sort"

    @property
    def n_steps(self):
        return len(self.letters)

    @property
    def prompt(self):
        return " ".join(["sort", *self.letters])

    @property
    def answer(self):
        return LETTERS.index(min(self.letters))


def respond(problem):
    return [*sorted(problem.letters), "answer", min(problem.letters)]


class Sorting(interface.Task):
    Settings, Problems, Demonstrations, Documents = Settings, Problems, Demonstrations, Documents
    strategies = ("ascending",)
    suited = {"sort": "ascending"}
    openings = {}
    label_strategies = ("ascending", "other")
    first_errors = ("none", "order")

    def draw_problems(self, settings, problems, n_problems, split, seed):
        rng = random.Random(f"{seed}/{split}")
        lengths = list(problems.difficulties)
        return [
            Problem("".join(rng.choices(LETTERS[: settings.n_letters], k=lengths[n % len(lengths)]))) for n in range(n_problems)
        ]

    def to_row(self, problem):
        return {"letters": problem.letters, "problem_type": "sort", "n_steps": problem.n_steps, "prompt": problem.prompt, "answer": problem.answer}

    def from_row(self, row):
        return Problem(row["letters"])

    def content_of(self, problem):
        return problem.letters

    def answer_text(self, answer):
        return LETTERS[answer]

    def reward(self, completion, answer):
        return float(completion.split()[-2:] == ["answer", LETTERS[answer]])

    def longest_response(self, settings, n_steps):
        return ["a"] * n_steps + ["answer", "a"]

    def refuse_problems(self, settings, *_):
        return iter(())

    def demonstrate(self, settings, demonstrations, problems, seed):
        return [("ascending", " ".join(respond(problem))) for problem in problems]

    def vocabulary(self, settings):
        return ["sort", " answer", *(f" {letter}" for letter in LETTERS)]

    def draw_documents(self, settings, documents, batch_size, rng):
        drawn = [Problem("".join(rng.choices(LETTERS, k=rng.randint(*documents.length)))) for _ in range(batch_size)]
        return [interface.Document(p.prompt.split(), [*respond(p), interface.Document.END]) for p in drawn]

    def label(self, settings, problem, completion):
        right = completion.split() == respond(problem)
        correct = bool(self.reward(completion, problem.answer))
        return {
            "strategy": "ascending" if right else "other",
            "first_error": "none" if right else "order",
            "correct": correct,
            "answer": problem.answer if correct else None,
        }

    def mark_steps(self, row):
        return 0, []

    def refuse_documents(self, settings, documents):
        return iter(())
'''

PARAMS = {
    "n_letters": 8,
    "documents": {"length": [1, 6]},
    "sft_problems": {"length": [2, 3]},
    "sft_mixes": {"plain": {}},
    "rl_problems": {"rl_4_5": {"length": [4, 5]}},
    "test_problems": {"long": {"length": [4, 5]}},
}

CELL = """
import pandas as pd

rates = pd.read_parquet(f"{measures}/pass_rates.parquet").query("seed == 'pooled'")
rates.to_csv(f"{folder}/{name}.csv", index=False)
(__import__("pathlib").Path(folder) / "body.md").write_text(rates.head(2).to_markdown(index=False) + "\\n")
(__import__("pathlib").Path(folder) / "metrics.json").write_text("{}")
"""


def notebook(*cells: str) -> str:
    head = 'measures = ""\nfolder = "."\nname = ""\nscale = ""\nplot = {}'
    described = [
        {"cell_type": "code", "metadata": {"tags": tags}, "source": source, "outputs": [], "execution_count": None}
        for source, tags in ((head, ["parameters"]), *((cell, []) for cell in cells))
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return json.dumps({"cells": described, "metadata": kernel, "nbformat": 4, "nbformat_minor": 4})


def only_sorting(params: dict) -> dict:
    """Leave one experiment, on the toy task, and one table."""
    params["tasks"]["sorting"] = PARAMS
    params["experiments"] = {"sorted": {"task": "sorting", "sft_mixes": ["plain"], "rl_problems": ["rl_4_5"]}}
    return params | {"figures": {}, "tables": {"sorted": {"experiment": "sorted", "caption": "Sorting."}}}


def test_a_task_is_one_module_and_its_params(fresh, tmp_path):
    checkout = fresh.copy(tmp_path / "repository")
    (checkout.folder / "workflow/selectimprove/tasks/sorting.py").write_text(SORTING)
    (checkout.folder / "workflow/notebooks/sorted.ipynb").write_text(notebook("%matplotlib inline", CELL))
    params = only_sorting(yaml.safe_load((checkout.folder / "params.yaml").read_text()))
    (checkout.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    overlay = yaml.safe_load((checkout.folder / "workflow/scales/smoke.yaml").read_text())
    kept = {name: overlay[name] for name in ("base", "sft", "rl", "evaluation", "statistics")}
    (checkout.folder / "workflow/scales/smoke.yaml").write_text(yaml.safe_dump(kept))
    checkout.run("snakemake --cores all figures audit && snakemake --cores all verify")
    table = pd.read_csv(checkout.published / "tables/sorted.csv")
    assert set(table["training"]) == {"sft", "rl_4_5"}
    assert {"4", "5", "all"} <= set(table["n_steps"].astype(str))
    strategies = pd.read_parquet(next(checkout.folder.glob("results/measures/sorted-*")) / "strategies.parquet")
    assert set(strategies["strategy"]) == {"ascending", "other"}


def test_a_stage_is_a_row_and_a_module(fresh, tmp_path):
    checkout = fresh.copy(tmp_path / "repository")
    table = checkout.folder / "workflow/selectimprove/dag/table.py"
    row = '    Stage("toys", configs.PretrainedStage, "make_toys", "Making {wildcards.name}", "Toys", "toy.txt", needs="sample"),\n'
    table.write_text(re.sub(r"(_ROWS = \(\n)", lambda match: match[1] + row, table.read_text(), count=1))
    listed = checkout.run("snakemake --list-rules").stdout
    assert "make_toys" in listed.split()


def test_a_notebook_that_is_not_python_is_named(fresh, tmp_path):
    checkout = fresh.copy(tmp_path / "repository")
    (checkout.folder / "workflow/notebooks/figure2.ipynb").write_text(notebook("x = 1", "y = = 2"))
    done = checkout.run("snakemake --cores 1 figures", check=False)
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if "figure2" in line]
    assert "workflow/notebooks/figure2.ipynb: code cell 3: not Python" in line
    assert "Traceback" not in done.stderr
