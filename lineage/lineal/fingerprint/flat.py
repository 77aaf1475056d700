"""Summaries as plain tuples, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineal.fingerprint.canonical import Hashes
from lineal.fingerprint.scopes import Effect, Level
from lineal.fingerprint.syntax import Decorator, Summary, Unit, Wrap

_HASHES = Unit._fields.index("hashes")
_EFFECTS = Unit._fields.index("effects")
_DECORATORS = Unit._fields.index("decorators")
_WRAP = Unit._fields.index("wrap")


def flat(value: Any) -> Any:
    """A value of tuples, named or not, and mappings, as plain tuples and dicts."""
    if isinstance(value, tuple):
        return tuple(map(flat, value))
    if isinstance(value, Mapping):
        return {key: flat(each) for key, each in value.items()}
    return value


def summary_from(plain: Any) -> Summary:
    """The summary that `flat` flattened."""
    units, exports, future = plain
    return Summary(tuple(map(_unit_from, units)), exports, future)


def _unit_from(plain: Any) -> Unit:
    parts = list(plain)
    parts[_HASHES] = Hashes(*parts[_HASHES])
    if parts[_EFFECTS]:
        parts[_EFFECTS] = {
            name: Effect(params, tuple(Level(*level) for level in levels), *more)
            for name, (params, levels, *more) in parts[_EFFECTS].items()
        }
    if parts[_DECORATORS]:
        parts[_DECORATORS] = tuple(Decorator(*each) for each in parts[_DECORATORS])
    if parts[_WRAP] is not None:
        parts[_WRAP] = Wrap(*parts[_WRAP])
    return Unit(*parts)
