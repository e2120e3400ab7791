"""The field, checked by brute force over all of its elements."""

from itertools import product

import pytest
from selectimprove.field import INVERSE, FiniteField, is_prime

ORDERS = (2, 3, 11, 13)


@pytest.fixture(params=list(product(ORDERS, (0, 7))), ids=lambda given: f"GF({given[0]})-seed{given[1]}")
def field(request):
    return FiniteField(*request.param)


def tuples(field, n):
    return product(range(field.order), repeat=n)


@pytest.mark.parametrize("operation", "+*")
def test_addition_and_multiplication_commute_and_associate(field, operation):
    for a, b, c in tuples(field, 3):
        left = field.apply(operation, field.apply(operation, a, b), c)
        assert left == field.apply(operation, a, field.apply(operation, b, c))
        assert field.apply(operation, a, b) == field.apply(operation, b, a)


def test_multiplication_distributes_over_addition(field):
    for a, b, c in tuples(field, 3):
        products = field.apply("*", a, c), field.apply("*", b, c)
        assert field.apply("*", field.apply("+", a, b), c) == field.apply("+", *products)


def test_zero_is_the_only_additive_identity_and_absorbs_products(field):
    elements = range(field.order)
    assert [e for e in elements if all(field.apply("+", a, e) == a for a in elements)] == [field.zero]
    assert {field.apply("*", a, field.zero) for a in elements} == {field.zero}


def test_there_is_one_multiplicative_identity_and_it_is_not_zero(field):
    elements = range(field.order)
    ones = [e for e in elements if all(field.apply("*", a, e) == a for a in elements)]
    assert len(ones) == 1
    assert ones != [field.zero]


@pytest.mark.parametrize("operation", "+-*/")
def test_results_never_leave_the_field(field, operation):
    operands = [e for e in range(field.order) if (operation, e) != ("/", field.zero)]
    results = {field.apply(operation, a, e) for a in range(field.order) for e in operands}
    assert results == set(range(field.order))


def test_products_of_elements_other_than_zero_are_not_zero(field):
    units = set(range(field.order)) - {field.zero}
    assert {field.apply("*", a, b) for a in units for b in units} == units


@pytest.mark.parametrize("operation", "+-*/")
def test_the_inverse_operation_undoes_an_operation(field, operation):
    for a, b in tuples(field, 2):
        if operation in "+-" or b != field.zero:
            assert field.apply(INVERSE[operation], field.apply(operation, a, b), b) == a


def test_inverting_an_operation_twice_gives_it_back():
    assert all(INVERSE[INVERSE[operation]] == operation != INVERSE[operation] for operation in "+-*/")


def test_division_by_zero_raises(field):
    for a in range(field.order):
        with pytest.raises(ZeroDivisionError, match=f"e{field.zero} "):
            field.apply("/", a, field.zero)


@pytest.mark.parametrize("order", [0, 1, 4, 9, 12, -7])
def test_an_order_that_is_not_prime_raises_and_suggests_one_that_is(order):
    with pytest.raises(ValueError, match=rf"order {order} is not prime; use .*11"):
        FiniteField(order)


def test_primes_are_the_numbers_with_two_divisors():
    for number in range(-3, 400):
        assert is_prime(number) == (sum(number % divisor == 0 for divisor in range(1, number + 1)) == 2)


def test_the_relabeling_is_a_permutation(field):
    assert sorted(field.residue) == sorted(field.symbol) == list(range(field.order))
    assert all(field.symbol[field.residue[e]] == e for e in range(field.order))


def test_relabeled_symbols_compute_like_residues(field):
    p, residue = field.order, field.residue
    for a, b in tuples(field, 2):
        assert residue[field.apply("+", a, b)] == (residue[a] + residue[b]) % p
        assert residue[field.apply("*", a, b)] == residue[a] * residue[b] % p


def table(field):
    return tuple(field.apply(operation, a, b) for operation in "+*" for a, b in tuples(field, 2))


@pytest.mark.parametrize("order", ORDERS)
def test_the_same_seed_gives_the_same_table(order):
    assert table(FiniteField(order, 5)) == table(FiniteField(order, 5))


@pytest.mark.parametrize("order", [11, 13])
def test_different_seeds_give_different_tables(order):
    assert len({table(FiniteField(order, seed)) for seed in range(30)}) == 30
