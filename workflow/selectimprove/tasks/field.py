"""Arithmetic in a prime field whose elements are abstract symbols.

A hidden, fixed permutation relabels the residues, so knowledge of ordinary arithmetic does not help a model (paper,
task section). Drawing one permutation per field from a seed is our reconstruction.
"""

import random
from functools import cache, cached_property

INVERSE = {"+": "-", "*": "/", "-": "+", "/": "*"}
"""The operation that undoes each operation."""


def check_prime(order: int) -> int:
    """Return a field's order; raise ValueError if it is not a prime."""
    if order < 2 or not all(order % divisor for divisor in range(2, int(order**0.5) + 1)):
        raise ValueError(f"{order} is not prime; use a prime such as 11 or 13")
    return order


class FiniteField:
    """A field of prime order over the symbols ``e0 … e{order - 1}``."""

    def __init__(self, order: int, relabel_seed: int = 0):
        self.order = check_prime(order)
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
        """Apply an operation to two symbols; raise ZeroDivisionError if it divides by zero."""
        if operation == "/" and operand == self.zero:
            raise ZeroDivisionError(f"e{operand} is the zero of GF({self.order})")
        return self._tables[operation][value][operand]


field_of = cache(FiniteField)
"""Return the field of an order and a relabel seed, built once per process."""
