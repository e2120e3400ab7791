"""Problem sets and demonstrations as they lie on disk."""

from collections import Counter

import pandas as pd
import pytest

from chain_responses import CHAINS, label_generation
from selectimprove.artifacts.keys import digest
from selectimprove.config.stages import DemonstrationsStage, ProblemsStage
from selectimprove.errors import ParamsError
from selectimprove.stages.demonstrations import write_demonstrations
from selectimprove.stages.problems import generate_problems
from selectimprove.tasks.chains.demonstrations import assign_strategies
from selectimprove.tasks.chains.settings import Demonstrations

SHARES = {"sft_train": 0.4, "sft_validation": 0.1, "rl": 0.25, "test": 0.25}
TASK = {"field_order": 11, "relabel_seed": 3, "ring_size": 20, "split_shares": SHARES}
PROBLEMS = {"steps": (4, 5), "evaluation_share": 0.5}
CONFIG = {"task_name": "chains", "task": TASK, "seed": 4, "split": "rl", "n_problems": 80, "problems": PROBLEMS}


def problem_rows(problems):
    return pd.DataFrame([{"problem_id": number, **CHAINS.to_row(problem)} for number, problem in enumerate(problems)])


def read_problems(table):
    return list(map(CHAINS.from_row, table.to_dict("records")))


def write(folder, **changes):
    config = ProblemsStage(**CONFIG | changes)
    folder.mkdir()
    generate_problems(config, {}, folder)
    return config, folder / "problems.parquet"


def test_the_problems_read_are_the_problems_drawn(tmp_path):
    config, path = write(tmp_path / "problems")
    drawn = CHAINS.draw_problems(config.task, config.problems, 80, "rl", 4)
    table = pd.read_parquet(path)
    assert read_problems(table) == read_problems(problem_rows(drawn)) == drawn
    assert table["problem_id"].tolist() == list(range(80))
    assert table["answer"].tolist() == [problem.answer for problem in drawn]


def test_another_seed_writes_other_problems(tmp_path):
    one, other = (write(tmp_path / str(seed), seed=seed)[1] for seed in (1, 2))
    assert one.read_bytes() != other.read_bytes()


def test_problem_sets_under_one_key_are_one_problem_set(tmp_path):
    """A mapping has no order in a key, so the order in which the shares are written must not matter to the problems."""
    reordered = TASK | {"split_shares": dict(reversed(SHARES.items()))}
    (one, path), (other, other_path) = write(tmp_path / "one"), write(tmp_path / "other", task=reordered)
    same_key = digest(one.model_dump(mode="json")) == digest(other.model_dump(mode="json"))
    assert same_key == (path.read_bytes() == other_path.read_bytes())


def test_too_many_problems_are_the_users_mistake(tmp_path):
    with pytest.raises(ParamsError, match=r"problems of 1 steps asked for, but split 'rl' .* holds only"):
        write(tmp_path / "problems", n_problems=500, problems=PROBLEMS | {"steps": (1, 1)})


@pytest.mark.parametrize("share", [0, 0.5, 0.6, 1])
def test_the_mix_is_exact_in_every_cell_and_its_members_depend_on_the_seed(tmp_path, share):
    problems = read_problems(pd.read_parquet(write(tmp_path / "problems")[1]))
    first, again, other = (assign_strategies(problems, Demonstrations(forward_share=share), seed) for seed in (0, 0, 1))
    cells = Counter((p.problem_type, p.n_steps, s) for p, s in zip(problems, first, strict=True))
    assert [cells[t, n, "forward"] for t in ("evaluation", "inversion") for n in (4, 5)] == [20 * share] * 4
    assert first == again
    assert (first == other) == (share in (0, 1))


def test_a_mix_may_suit_more_often_than_not(tmp_path):
    problems = read_problems(pd.read_parquet(write(tmp_path / "problems")[1]))
    mix = Demonstrations(suited_share=0.6)
    cells = Counter(
        (p.problem_type, p.n_steps, s) for p, s in zip(problems, assign_strategies(problems, mix, 0), strict=True)
    )
    assert [cells["evaluation", n, "forward"] for n in (4, 5)] == [12, 12]
    assert [cells["inversion", n, "backward"] for n in (4, 5)] == [12, 12]


@pytest.mark.parametrize(("share", "n_forward"), [(0, 0), (0.5, 40), (1, 80)])
def test_every_demonstration_is_right_and_in_its_strategy(tmp_path, share, n_forward):
    config, path = write(tmp_path / "problems")
    demonstrations = DemonstrationsStage(
        task_name="chains", task=config.task, seed=1, demonstrations={"forward_share": share}
    )
    write_demonstrations(demonstrations, {"problems": path.parent}, tmp_path)
    table = pd.read_parquet(tmp_path / "demonstrations.parquet")
    labels = [
        label_generation(config.task.field, problem, completion)
        for problem, completion in zip(read_problems(table), table["completion"], strict=True)
    ]
    assert {(found.first_error, found.correct) for found in labels} == {("none", True)}
    assert [found.strategy for found in labels] == table["strategy"].tolist()
    assert (table["strategy"] == "forward").sum() == n_forward
