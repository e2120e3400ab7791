from collections import Counter

import pandas as pd
import pytest

from selectimprove.config.stages import ProblemsStage
from selectimprove.stages.problems import generate_problems
from selectimprove.tasks.chains.demonstrations import assign_strategies
from selectimprove.tasks.chains.problems import Problem
from selectimprove.tasks.chains.settings import Demonstrations
from selectimprove.tasks.interface import load_task

CHAINS = load_task("chains")
TASK = {
    "field_order": 11,
    "relabel_seed": 0,
    "ring_size": 20,
    "split_shares": {"sft_train": 0.4, "sft_validation": 0.1, "rl": 0.25, "test": 0.25},
}
CONFIG = ProblemsStage(
    task_name="chains",
    task=TASK,
    seed=4,
    split="rl",
    n_problems=120,
    problems={"steps": (2, 4), "evaluation_share": 0.5},
)


def problem_rows(problems: list[Problem]) -> pd.DataFrame:
    return pd.DataFrame([{"problem_id": number, **CHAINS.to_row(problem)} for number, problem in enumerate(problems)])


def read_problems(table: pd.DataFrame) -> list[Problem]:
    return list(map(CHAINS.from_row, table.to_dict("records")))


@pytest.fixture
def written(tmp_path):
    generate_problems(CONFIG, {}, tmp_path)
    return tmp_path / "problems.parquet"


def test_problems_survive_parquet(written):
    table = pd.read_parquet(written)
    problems = read_problems(table)
    assert len(problems) == 120
    assert [p.prompt for p in problems] == table["prompt"].tolist()
    pd.testing.assert_frame_equal(
        problem_rows(problems).map(lambda v: list(v) if isinstance(v, tuple) else v),
        table.map(lambda v: v.tolist() if hasattr(v, "tolist") else v),
        check_dtype=False,
    )


def test_problems_load_with_datasets(written, tmp_path):
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset("parquet", data_files=str(written), cache_dir=str(tmp_path / "cache"), split="train")
    assert loaded.num_rows == 120
    assert loaded[0]["prompt"].startswith("start ")


def test_the_same_config_writes_the_same_bytes(written, tmp_path):
    again = tmp_path / "again"
    again.mkdir()
    generate_problems(CONFIG, {}, again)
    assert (again / "problems.parquet").read_bytes() == written.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.5, 0.6, 1.0])
def test_the_mix_is_exact_for_every_type_and_number_of_steps(written, share):
    problems = read_problems(pd.read_parquet(written))
    strategies = assign_strategies(problems, Demonstrations(forward_share=share), seed=1)
    cells = Counter((p.problem_type, p.n_steps) for p in problems)
    forward = Counter((p.problem_type, p.n_steps) for p, s in zip(problems, strategies, strict=True) if s == "forward")
    assert {cell: forward[cell] for cell in cells} == {cell: round(share * n) for cell, n in cells.items()}
