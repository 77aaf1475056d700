"""How deep the suite goes: ``make test`` takes a slice of what is long, ``make test-faults`` (LINEAL_TEST_DEEP=1) all of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

DEEP = bool(os.environ.get("LINEAL_TEST_DEEP"))

T = TypeVar("T")


def some_of(items: Sequence[T], most: int) -> Sequence[T]:
    """All of ``items`` in a deep run, else at most so many, spread evenly and with the first and the last among them."""
    if DEEP or len(items) <= most:
        return items
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def one_of(shallow: int, deep: int) -> int:
    """How many examples, or how far apart, in an ordinary run and in a deep one."""
    return deep if DEEP else shallow
