"""Aliases and small types that annotate a stage's parameters and results."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from types import UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from msgspec import Struct


class Marker(Struct, frozen=True):
    """What sets an alias apart from the plain type that it stands for."""

    name: str


Metrics: TypeAlias = Annotated[Mapping[str, float], Marker("metrics")]
"""Numbers that judge a result, by name. A plain dict is a value of it."""

LogicalDate: TypeAlias = Annotated[date, Marker("logical_date")]
"""The date that a run is for; a parameter annotated with it names the run."""


def is_marked(annotation: object, name: str) -> bool:
    """Whether ``annotation``, or a member of its union, bears the marker of that name.

    >>> is_marked(Metrics | None, "metrics"), is_marked(Mapping[str, float], "metrics")
    (True, False)
    """
    if get_origin(annotation) in (Union, UnionType):
        return any(is_marked(member, name) for member in get_args(annotation))
    return Marker(name) in getattr(annotation, "__metadata__", ())


class Secret:
    """Text that reaches the stage and nothing else: no key, record, log or page shows it.

    >>> password = Secret("hunter2")
    >>> print(password), f"{password:>20}", password.reveal()
    Secret('***')
    (None, "Secret('***')", 'hunter2')
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"a Secret holds a str, not {type(text).__name__}")
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> tuple[Any, ...]:
        return Secret, (self._text,)
