"""Rejection sampling and self-distillation: which prompts a round takes, and which completions it trains on."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selectimprove.stages.rft import choose_prompts, select_demonstrations

PROBLEMS = pd.DataFrame({"problem_id": [0, 1], "prompt": ["a", "b"]})
ROLLOUTS = pd.DataFrame(
    {
        "problem_id": [0, 0, 0, 1],
        "completion": ["right", "right", "wrong", "wrong"],
        "reward": [1.0, 1.0, 0.0, 0.0],
    }
)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_rounds_together_ask_every_problem_equally_often(n_problems, n_prompts, n_rounds, seed):
    rounds = [choose_prompts(n_problems, n_prompts, number, seed) for number in range(n_rounds)]
    assert [len(chosen) for chosen in rounds] == [n_prompts] * n_rounds
    times = np.bincount(np.concatenate(rounds), minlength=n_problems)
    assert times.max() - times.min() <= 1


@pytest.mark.parametrize(
    ("method", "kept"),
    [("rejection_sampling", [("a", "right")]), ("self_distillation", [("a", "right"), ("a", "wrong"), ("b", "wrong")])],
)
def test_a_round_trains_on_each_completion_once_and_rejection_on_right_ones(method, kept):
    chosen = select_demonstrations(SimpleNamespace(method=method), ROLLOUTS, PROBLEMS)
    assert list(chosen[["prompt", "completion"]].itertuples(index=False, name=None)) == kept
