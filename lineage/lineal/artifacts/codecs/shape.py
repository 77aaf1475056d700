"""What a shape is: one annotation's way of reading values as plain JSON, and plain JSON as values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal, Protocol

Step = str | int
Kind = Literal["null", "bool", "int", "float", "str", "list", "object"]

_KINDS: dict[type[Any], Kind] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    list: "list",
    dict: "object",
}


class Shape(Protocol):
    """Strict both ways: `dump` takes only values that `load` brings back equal and of the same type.

    Both raise `Misfit`. ``kinds`` are the kinds of JSON that `dump` may give, which is what tells the
    members of a union apart.
    """

    @property
    def kinds(self) -> frozenset[Kind]: ...

    def dump(self, value: Any) -> Any: ...

    def load(self, plain: Any) -> Any: ...


class Misfit(Exception):
    """A value, or a piece of JSON, that a shape does not describe; ``steps`` lead to it from the outside in."""

    def __init__(self, problem: str, hint: str | None = None) -> None:
        super().__init__(problem, hint)
        self.problem, self.hint = problem, hint
        self.steps: tuple[Step, ...] = ()

    def inside(self, step: Step) -> Misfit:
        self.steps = (step, *self.steps)
        return self


class NoShape(Exception):
    """JSON cannot follow an annotation."""


def kind_of(plain: object) -> Kind:
    """The kind of a piece of plain JSON."""
    return _KINDS[type(plain)]


def expect(plain: object, kinds: frozenset[Kind], wanted: str) -> None:
    """Raise `Misfit` unless ``plain`` is of one of the kinds that ``wanted`` is written in."""
    if kind_of(plain) not in kinds:
        raise Misfit(f"{kind_of(plain)} where {wanted} is declared")


def place_of(steps: Iterable[Step]) -> str:
    """Where in a value the steps lead; a step that begins with a dot is an attribute.

    >>> place_of(["a", 3, ".year"])
    'value["a"][3].year'
    """
    path = "".join(
        step
        if isinstance(step, str) and step.startswith(".")
        else f"[{json.dumps(step, ensure_ascii=False)}]"
        for step in steps
    )
    return f"value{path}" if path else ""


def short(value: object) -> str:
    """``repr`` cut to what fits into a message."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 a user's __repr__, or an int of more digits than Python prints
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "…"
