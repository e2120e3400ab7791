"""Arithmetic in a prime field whose elements are abstract symbols.

A hidden, fixed permutation relabels the residues, so knowledge of ordinary arithmetic does not help a model (paper,
task section). One permutation per field, drawn from a seed, is our reconstruction.
"""

import random
from functools import cache, cached_property

INVERSE = {"+": "-", "*": "/", "-": "+", "/": "*"}
"""The operation that undoes each operation."""


def is_prime(number: int) -> bool:
    """Tell whether a number is prime, by trial division."""
    return number >= 2 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


class FiniteField:
    """A field of prime order over the symbols ``e0 … e{order - 1}``; powers of primes raise ValueError."""

    def __init__(self, order: int, relabel_seed: int = 0):
        if not is_prime(order):
            raise ValueError(f"field order {order} is not prime; use a prime such as 11 or 13")
        self.order = order
        self.relabel_seed = relabel_seed
        self.residue = list(range(order))
        random.Random(f"relabel/{order}/{relabel_seed}").shuffle(self.residue)
        self.symbol = [self.residue.index(value) for value in range(order)]

    @property
    def zero(self) -> int:
        """The symbol of the additive identity; chains never multiply by it."""
        return self.symbol[0]

    @cached_property
    def _tables(self) -> dict[str, list[list[int]]]:
        p = self.order
        inverse = [0] + [pow(value, -1, p) for value in range(1, p)]
        operations = {
            "+": lambda a, b: (a + b) % p,
            "-": lambda a, b: (a - b) % p,
            "*": lambda a, b: a * b % p,
            "/": lambda a, b: a * inverse[b] % p,
        }
        return {
            name: [[self.symbol[apply(a, b)] for b in self.residue] for a in self.residue]
            for name, apply in operations.items()
        }

    def apply(self, operation: str, value: int, operand: int) -> int:
        """Return the symbol of the result of one operation on two symbols; ZeroDivisionError if it divides by zero."""
        if operation == "/" and operand == self.zero:
            raise ZeroDivisionError(f"e{operand} is the zero of GF({self.order})")
        return self._tables[operation][value][operand]


@cache
def field_of(order: int, relabel_seed: int) -> FiniteField:
    """Return the field, built once per process."""
    return FiniteField(order, relabel_seed)
