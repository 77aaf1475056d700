"""Conditions: what decides, once results are there, whether a stage runs.

Plain, frozen values like the rest of the graph. NaN compares false in every comparison, also in
``!=``, and is not true: a metric that could not be computed opens no gate written with `when`. (Negated,
as in ``unless(auc < 0.65)``, a false comparison is true: write a gate in terms of what must hold.)
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from lineal.stages.errors import ConditionError, ItemMissing
from lineal.stages.wiring import Binding, Constant, Result, Source, leaves, resolve

Operator: TypeAlias = Literal["<", "<=", "==", "!=", ">", ">="]

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
}


class Comparison(Struct, frozen=True):
    """Two values compared when both are known."""

    op: Operator
    left: Binding
    right: Binding

    def references(self) -> Iterator[Result]:
        yield from _results(self.left)
        yield from _results(self.right)

    def __str__(self) -> str:
        return f"{_text(self.left)} {self.op} {_text(self.right)}"


class Truth(Struct, frozen=True):
    """The truth of one value, as ``bool()`` says it, NaN excepted."""

    value: Binding

    def references(self) -> Iterator[Result]:
        yield from _results(self.value)

    def __str__(self) -> str:
        return _text(self.value)


class AllOf(Struct, frozen=True):
    """Every one of these holds."""

    conditions: tuple[Condition, ...]

    def references(self) -> Iterator[Result]:
        for condition in self.conditions:
            yield from condition.references()

    def __str__(self) -> str:
        return f"({' & '.join(map(str, self.conditions))})"


class AnyOf(Struct, frozen=True):
    """At least one of these holds."""

    conditions: tuple[Condition, ...]

    def references(self) -> Iterator[Result]:
        for condition in self.conditions:
            yield from condition.references()

    def __str__(self) -> str:
        return f"({' | '.join(map(str, self.conditions))})"


class Not(Struct, frozen=True):
    """This does not hold."""

    condition: Condition

    def references(self) -> Iterator[Result]:
        yield from self.condition.references()

    def __str__(self) -> str:
        return f"not {self.condition}"


Condition: TypeAlias = Comparison | Truth | AllOf | AnyOf | Not


def holds(condition: Condition, value_of: Callable[[Result], object]) -> bool:
    """Whether the condition holds, given the values of the results it names.

    All of it is evaluated only as far as it decides, from left to right. ConditionError where
    values cannot be compared.
    """
    if isinstance(condition, AllOf):
        return all(holds(one, value_of) for one in condition.conditions)
    if isinstance(condition, AnyOf):
        return any(holds(one, value_of) for one in condition.conditions)
    if isinstance(condition, Not):
        return not holds(condition.condition, value_of)
    if isinstance(condition, Truth):
        value = _value(condition.value, value_of)
        return _decided(condition, lambda: bool(value) and not _is_nan(value), value)
    left, right = _value(condition.left, value_of), _value(condition.right, value_of)
    compare = _COMPARE[condition.op]
    return _decided(
        condition,
        lambda: not _is_nan(left) and not _is_nan(right) and bool(compare(left, right)),
        left,
        right,
    )


def follow(result: Result, value: object) -> object:
    """The item of an output's value that ``result.path`` leads to. ItemMissing where there is none."""
    for depth, key in enumerate(result.path):
        try:
            value = value[key]  # type: ignore[index]  # the except below is for what has no items
        except (KeyError, IndexError, TypeError) as problem:
            within = Result(result.node, result.output, result.path[:depth])
            raise ItemMissing(
                f"the pipeline takes {key!r} from {within}, which has no such item", _what_there_is(value)
            ) from problem
    return value


def _decided(condition: Condition, decide: Callable[[], bool], *values: object) -> bool:
    try:
        return decide()
    except (TypeError, ValueError) as problem:  # ValueError: numpy and pandas, of more than one truth
        found = " and ".join(f"{type(value).__name__} {_shortened(value)}" for value in values)
        raise ConditionError(
            f"the condition {condition} cannot be decided: it was given {found}",
            "Compare single values of one kind: numbers, strings, dates. Compute the value in a stage.",
        ) from problem


def _value(binding: Binding, value_of: Callable[[Result], object]) -> object:
    def known(leaf: Result | Source) -> object:
        return value_of(leaf) if isinstance(leaf, Result) else leaf.value

    return resolve(binding, known)


def _is_nan(value: object) -> bool:
    return bool(
        operator.ne(value, value)
    )  # true of every kind of NaN, and of nothing else that compares to one truth


def _results(binding: Binding) -> Iterator[Result]:
    return (leaf for leaf in leaves(binding) if isinstance(leaf, Result))


def _text(binding: Binding) -> str:
    return repr(binding.value) if isinstance(binding, Constant) else str(binding)


def _shortened(value: object, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _what_there_is(value: object) -> str | None:
    keys = list(value)[:12] if isinstance(value, dict) else []
    if keys:
        return f"It has: {', '.join(map(str, keys))}."
    return f"It is a {type(value).__name__}."
