"""How far two pickled models are apart, by the numbers in them: ``python -m lineal.reproduce.models EXPECTED ACTUAL RTOL ATOL ANSWER``.

A program of its own, in the environment that the stages were executed in: unpickling runs what the bytes name.
"""

from __future__ import annotations

import json
import math
import pickle
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lineal.reproduce.tolerance import Tolerance, norms

_DEEPEST = 100


class Unlike(Exception):
    """They differ in more than numbers; the message says where."""


def main(arguments: Sequence[str]) -> None:
    expected, actual, rtol, atol, answer = arguments
    values = [pickle.loads(Path(path).read_bytes()) for path in (expected, actual)]
    found = compare_models(values[0], values[1], Tolerance(float(rtol), float(atol)))
    Path(answer).write_text(json.dumps(found))


def compare_models(expected: Any, actual: Any, tolerance: Tolerance) -> tuple[bool, str]:
    """Whether two objects are equal within the tolerance by the norm of all the numbers in them, and how far apart they are."""
    try:
        pairs = list(_norms(expected, actual, "", 0))
    except Unlike as problem:
        return False, f"they differ in more than numbers: {problem}"
    norm, apart = (math.hypot(*(pair[at] for pair in pairs)) for at in (0, 1))
    return tolerance.holds(norm, apart), f"norm of the difference {apart:.3g}, of the parameters {norm:.3g}"


def _norms(old: Any, new: Any, place: str, depth: int) -> Iterator[tuple[float, float]]:
    """For each number or array in both the norm, and that of the difference. `Unlike` where they have other shapes."""
    if type(old) is not type(new) or depth > _DEEPEST:
        raise Unlike(place or type(old).__name__)
    if type(old).__module__.startswith("numpy.random"):
        return  # the state of a generator is no parameter
    if old is None or isinstance(old, bool | str | bytes):
        if old != new:
            raise Unlike(place)
    elif isinstance(old, int | float):
        if old != new and not (old != old and new != new):  # noqa: PLR0124 (a NaN)
            yield abs(float(old)), abs(float(new) - float(old))
    elif isinstance(old, dict):
        if list(old) != list(new):
            raise Unlike(f"{place} has other keys")
        for key in old:
            yield from _norms(old[key], new[key], f"{place}[{key!r}]", depth + 1)
    elif isinstance(old, list | tuple):
        if len(old) != len(new):
            raise Unlike(f"{place} has another length")
        for at, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _norms(one, other, f"{place}[{at}]", depth + 1)
    elif hasattr(old, "dtype") and hasattr(old, "shape"):
        yield from _arrays(old, new, place, depth)
    else:
        states = [one.__getstate__() for one in (old, new)]
        if states[0] is None and old is not new and old != new:
            raise Unlike(place)
        yield from _norms(states[0], states[1], f"{place}.", depth + 1)


def _arrays(old: Any, new: Any, place: str, depth: int) -> Iterator[tuple[float, float]]:
    if old.shape != new.shape or old.dtype != new.dtype:
        raise Unlike(f"{place} has another shape")
    if old.dtype.names:
        for name in old.dtype.names:
            yield from _arrays(old[name], new[name], f"{place}[{name!r}]", depth)
    elif old.dtype.kind == "O":
        yield from _norms(old.tolist(), new.tolist(), place, depth + 1)
    elif old.dtype.kind in "fiuc":
        yield norms(old, new)
    elif (old != new).any():
        raise Unlike(place)


if __name__ == "__main__":
    main(sys.argv[1:])
