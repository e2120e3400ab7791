from itertools import product

import pytest

from selectimprove.tasks.field import INVERSE, FiniteField

ORDERS = [2, 3, 11, 13]


@pytest.mark.parametrize("order", ORDERS)
def test_addition_and_multiplication_make_a_field(order):
    field = FiniteField(order, relabel_seed=5)
    elements = range(order)
    for a, b, c in product(elements, repeat=3):
        for operation in "+*":
            assert field.apply(operation, a, b) == field.apply(operation, b, a)
            assert field.apply(operation, field.apply(operation, a, b), c) == field.apply(
                operation, a, field.apply(operation, b, c)
            )
        assert field.apply("*", a, field.apply("+", b, c)) == field.apply(
            "+", field.apply("*", a, b), field.apply("*", a, c)
        )
    assert all(field.apply("+", a, field.zero) == a for a in elements)
    assert all(len({field.apply("*", a, b) for b in elements}) == order for a in elements if a != field.zero)


@pytest.mark.parametrize("order", ORDERS)
def test_the_inverse_operation_undoes_an_operation(order):
    field = FiniteField(order, relabel_seed=1)
    for operation, a, b in product("+-*/", range(order), range(order)):
        if operation in "*/" and b == field.zero:
            continue
        assert field.apply(INVERSE[operation], field.apply(operation, a, b), b) == a


@pytest.mark.parametrize("order", [-7, 0, 1, 4, 9, 12])
def test_an_order_that_is_not_prime_is_refused(order):
    with pytest.raises(ValueError, match=f"{order} is not prime"):
        FiniteField(order)


def test_division_by_zero_is_refused():
    field = FiniteField(11)
    with pytest.raises(ZeroDivisionError):
        field.apply("/", 3, field.zero)


def test_the_symbols_hide_the_residues_and_depend_on_the_seed_alone():
    fields = [FiniteField(11, seed) for seed in range(20)]
    assert all(sorted(field.residue) == list(range(11)) for field in fields)
    assert len({tuple(field.residue) for field in fields}) > 15
    assert FiniteField(11, 3).residue == FiniteField(11, 3).residue
    for field, a, b in product(fields, range(11), range(11)):
        assert field.residue[field.apply("+", a, b)] == (field.residue[a] + field.residue[b]) % 11
