"""The split of a change, with strategies that one side or both never use."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selectimprove.analysis.mechanisms import split_change

few = settings(max_examples=100, deadline=None)
multiples = st.lists(st.integers(0, 20), min_size=3, max_size=3).filter(any).map(np.array)


@st.composite
def counts(draw):
    used = draw(multiples)
    return used, np.array([draw(st.integers(0, int(n))) for n in used])


@few
@given(multiples, multiples, st.tuples(*[st.integers(0, 7)] * 3))
def test_a_change_at_equal_pass_rates_is_all_selection(before, after, passed_of_7):
    rates = np.array(passed_of_7)
    selection, improvement = split_change(before * 7, before * rates, after * 7, after * rates)
    change = after @ rates / after.sum() / 7 - before @ rates / before.sum() / 7
    assert (selection, improvement) == pytest.approx((change, 0), abs=1e-12)


@few
@given(counts(), st.integers(1, 5), st.data())
def test_a_change_at_equal_shares_is_all_improvement(before, factor, data):
    used, passed = before
    passed_after = np.array([data.draw(st.integers(0, int(n))) for n in used * factor])
    selection, improvement = split_change(used, passed, used * factor, passed_after)
    change = passed_after.sum() / (used * factor).sum() - passed.sum() / used.sum()
    assert (selection, improvement) == pytest.approx((0, change), abs=1e-12)


@few
@given(counts(), counts(), st.permutations(range(3)))
def test_neither_the_order_of_the_strategies_nor_one_that_nobody_uses_matters(before, after, order):
    parts = split_change(*before, *after)
    padded = [np.append(side[list(order)], 0) for side in (*before, *after)]
    assert split_change(*padded) == pytest.approx(parts, abs=1e-12)


@few
@given(st.lists(st.tuples(counts(), counts()), min_size=4, max_size=4))
def test_leading_axes_with_unused_strategies_are_split_one_by_one(cells):
    sides = [np.stack([cell[side][i] for cell in cells]).reshape(2, 2, 3) for side in (0, 1) for i in (0, 1)]
    one_by_one = np.array([split_change(*before, *after) for before, after in cells]).T.reshape(2, 2, 2)
    np.testing.assert_allclose(split_change(*sides), one_by_one, atol=1e-12)
