"""Which field of a contract changed, as its class is written. Keys hold only the contract's hash."""

from __future__ import annotations

from lineal.graph.action import unit_changes
from lineal.graph.explain_code import CodeSide
from lineal.graph.records import CoveredUnit

_MOST_FIELDS = 8


def explain_contract(port: str, before: CodeSide, after: CodeSide) -> tuple[str | None, list[str]]:
    """The class of the contract of a port (``x``, or ``-> x`` of an output) and its fields that changed, if it can be told."""
    if before.manifest is None or after.manifest is None:
        return None, []
    found: dict[str, list[str]] = {}
    for change in unit_changes(before.manifest, after.manifest):
        if change.before is not None and change.after is not None:
            told = _fields(change.before, change.after, before, after)
            if told:
                found[change.unit.partition(":")[2]] = told
    named = after.names_at(port)
    fitting = {name: told for name, told in found.items() if name in named} or found
    if len(fitting) != 1:
        return None, [line for told in fitting.values() for line in told][:_MOST_FIELDS]
    ((name, told),) = fitting.items()
    more = len(told) - _MOST_FIELDS
    return name, told if more <= 0 else [*told[:_MOST_FIELDS], f"and {more} more fields"]


def _fields(old: CoveredUnit, new: CoveredUnit, before: CodeSide, after: CodeSide) -> list[str]:
    was, now = before.fields(old), after.fields(new)
    told = [f"`{name}`: {was[name]} → {now[name]}" for name in now if name in was and was[name] != now[name]]
    told += [f"`{name}` is new: {now[name]}" for name in now if name not in was]
    told += [f"`{name}` is gone, was {was[name]}" for name in was if name not in now]
    return told
