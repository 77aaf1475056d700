"""What an annotation says about values, as far as a glance at classes can tell.

Only sure mistakes are found here: whatever is not understood is let pass, for type checkers and the
contracts that are checked when a stage runs see more.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any, Literal, get_args, get_origin

from lineal.artifacts.annotations import bare, class_of, union_members

# With NamedTuples and dataclasses, what is no other than it seems. Numpy's scalars and mocks imitate: those pass.
_PLAIN = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        list,
        tuple,
        dict,
        set,
        date,
        datetime,
        time,
        timedelta,
    }
)

# PEP 484's numeric tower: where a float is wanted, an int will do.
_PROMOTED: dict[type, tuple[type, ...]] = {float: (int, float), complex: (int, float, complex)}

Accepts = Callable[[object], bool]


def takes_none(annotation: object) -> bool:
    """Whether None is among the values: ``T | None``, ``None``."""
    return type(None) in union_members(annotation)


def accepts(annotation: Any) -> Accepts | None:
    """A test of plain constants that is False for sure mistakes only; None where nothing can be said."""
    classes: tuple[type, ...] = ()
    literals: list[object] = []
    for member in union_members(annotation):
        if get_origin(member) is Literal:
            literals.extend(get_args(member))
            continue
        cls = class_of(member)
        if cls is None or cls is object or cls is Any or not _has_instances(cls):
            return None
        classes += _PROMOTED.get(cls, (cls,))

    def accepted(value: object) -> bool:
        if not _is_plain(value) or isinstance(value, classes):
            return True
        return any(type(value) is type(one) and value == one for one in literals)

    return accepted


def disjoint(given: Any, wanted: Any) -> bool:
    """Whether no value of the annotation ``given`` can be meant where ``wanted`` is declared."""
    given, wanted = bare(given), bare(wanted)
    if not (_is_plain_class(given) and _is_plain_class(wanted)):
        return False
    try:
        related = issubclass(given, wanted) or issubclass(wanted, given)
    except TypeError:
        return False
    return not related and given not in _PROMOTED.get(wanted, ())


def describe(annotation: object) -> str:
    """The annotation as users write it: ``pandas.DataFrame``, ``float``, ``str | None``."""
    annotation = bare(annotation)
    members = union_members(annotation)
    if len(members) > 1:
        return " | ".join(map(describe, members))
    if annotation is Any:
        return "anything"
    if annotation is type(None):
        return "None"
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return _class_name(annotation)
    return str(annotation).replace("typing.", "").replace("collections.abc.", "")


def _is_plain(value: object) -> bool:
    cls = type(value)
    return cls in _PLAIN or issubclass(cls, tuple) or hasattr(cls, "__dataclass_fields__")


def _has_instances(cls: type) -> bool:
    """Whether isinstance answers for the class: TypedDicts and most protocols refuse to."""
    try:
        isinstance(None, cls)
    except TypeError:
        return False
    return True


def _class_name(cls: type) -> str:
    module, name = cls.__module__, cls.__qualname__
    if module == "builtins":
        return name
    package = module.partition(".")[0]
    if getattr(sys.modules.get(package), name, None) is cls:
        return f"{package}.{name}"  # pandas.DataFrame, not pandas.core.frame.DataFrame
    return name


def _is_plain_class(annotation: Any) -> bool:
    return (
        isinstance(annotation, type)
        and get_origin(annotation) is None
        and annotation is not object
        and annotation is not Any
        and not getattr(annotation, "_is_protocol", False)
        and not typing.is_typeddict(annotation)
    )
