"""What else the field promises, by brute force over all of its elements."""

from itertools import product

import pytest

from selectimprove.tasks.field import INVERSE, FiniteField, check_prime

ORDERS = (2, 3, 11, 13)


@pytest.fixture(params=list(product(ORDERS, (0, 7))), ids=lambda given: f"GF({given[0]})-seed{given[1]}")
def field(request):
    return FiniteField(*request.param)


def test_each_operation_has_one_identity_and_they_differ(field):
    elements = range(field.order)
    zeros, ones = ([e for e in elements if all(field.apply(o, a, e) == a for a in elements)] for o in "+*")
    assert zeros == [field.zero]
    assert len(ones) == 1
    assert ones != zeros


@pytest.mark.parametrize("operation", "+-*/")
def test_results_are_the_elements_of_the_field(field, operation):
    operands = [e for e in range(field.order) if (operation, e) != ("/", field.zero)]
    results = {field.apply(operation, a, e) for a in range(field.order) for e in operands}
    assert results == set(range(field.order))


def test_products_are_zero_only_if_a_factor_is(field):
    elements = range(field.order)
    for a, b in product(elements, repeat=2):
        assert (field.apply("*", a, b) == field.zero) == (field.zero in (a, b))


def test_inverting_an_operation_twice_gives_it_back():
    assert all(INVERSE[INVERSE[operation]] == operation != INVERSE[operation] for operation in "+-*/")


def test_nothing_is_divided_by_zero(field):
    for a in range(field.order):
        with pytest.raises(ZeroDivisionError, match=f"e{field.zero} "):
            field.apply("/", a, field.zero)


def test_a_refused_order_comes_with_one_that_works():
    with pytest.raises(ValueError, match=r"9 is not prime; use .*11"):
        FiniteField(9)


def test_primes_are_the_numbers_with_two_divisors():
    for number in range(-3, 400):
        if sum(number % divisor == 0 for divisor in range(1, number + 1)) == 2:
            assert check_prime(number) == number
        else:
            with pytest.raises(ValueError, match=f"^{number} is not prime"):
                check_prime(number)


def test_symbols_compute_as_sums_of_ones_do(field):
    """The isomorphism is found from the tables alone, without the field's own list of residues."""
    p = field.order
    one = next(e for e in range(p) if all(field.apply("*", a, e) == a for a in range(p)))
    symbols = [field.zero]
    while len(symbols) < p:
        symbols.append(field.apply("+", symbols[-1], one))
    assert sorted(symbols) == list(range(p))
    for a, b in product(range(p), repeat=2):
        assert field.apply("+", symbols[a], symbols[b]) == symbols[(a + b) % p]
        assert field.apply("*", symbols[a], symbols[b]) == symbols[a * b % p]


@pytest.mark.parametrize("order", [11, 13])
def test_another_seed_makes_another_table_and_the_same_seed_the_same(order):
    def table(seed):
        field = FiniteField(order, seed)
        return tuple(field.apply(*step) for step in product("+*", range(order), range(order)))

    assert table(5) == table(5)
    assert len({table(seed) for seed in range(30)}) == 30
