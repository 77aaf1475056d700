"""What would run, and why: the documents of ``status`` and ``why``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineal_cli.render.run import FEW_STAGES, cache_and_reason
from lineal_cli.render.text import clean, counted, indent, paint, reason, short, table, value, values


def render_status(document: Mapping[str, Any]) -> str:
    stages = document["stages"]
    stale = [stage for stage in stages if stage["cache"] not in ("hit", None)]
    warnings = [f"{paint('warning:', 'yellow')} {clean(text)}" for text in document["warnings"]]
    given = values(document["parameters"])
    title = f"{clean(document['pipeline'])}{' ' + paint(given, 'dim') if given else ''}: "
    if not stale:
        title += paint(f"nothing to do, {counted(len(stages), 'stage')} unchanged", "green")
        return "\n".join([title, *warnings])
    maybe = sum(stage["cache"] == "unknown" for stage in stale)
    title += f"{len(stale) - maybe} of {counted(len(stages), 'stage')} would run"
    if maybe:
        title += f", {maybe} may: that depends on results not known yet"
    shown = stages if len(stages) <= FEW_STAGES else stale
    rows = [(clean(stage["id"]), cache_and_reason(stage)) for stage in shown]
    lines = [title, "", table(rows, ("stage", "cache"))]
    if len(shown) < len(stages):
        lines.append(f"and {counted(len(stages) - len(shown), 'stage')} unchanged")
    return "\n".join([*lines, *warnings])


def render_why(document: Mapping[str, Any]) -> str:
    """A paragraph for each stage; what is unchanged is told in one line at the end."""
    stages = document["stages"]
    told = [stage for stage in stages if stage["cache"] != "hit" or stage["changes"] or len(stages) == 1]
    paragraphs = [_paragraph(stage) for stage in told]
    if len(told) < len(stages):
        paragraphs.append(f"{counted(len(stages) - len(told), 'stage')} unchanged")
    return "\n\n".join(paragraphs) or "nothing would run: every stage is a hit"


def _paragraph(stage: Mapping[str, Any]) -> str:
    name, changes = paint(clean(stage["stage"]), "bold"), stage["changes"]
    why = reason(stage["reason"])
    if stage["cache"] == "hit":
        head = f"{name} is a hit: {why or 'unchanged'}"
    elif stage["cache"] == "unknown":
        head = f"{name} may run: {why}"
    else:
        head = f"{name} {'is skipped' if stage['cache'] is None else 'is a miss'}: {why}"
    if stage["nearest"]:
        head += paint(f" (compared with {_nearest(stage['nearest'])})", "dim")
    return "\n".join([head, *(indent(_change(change)) for change in changes)])


def _nearest(nearest: object) -> str:
    if isinstance(nearest, Mapping):
        return ", ".join(short(item) for item in nearest.values() if item is not None)
    return short(nearest)


def _change(change: Mapping[str, Any]) -> str:
    place = f"{clean(change['file'])}:{change['line']}" if change.get("file") else ""
    head = f"{change['kind']} {clean(change['name'])}".rstrip()
    if change.get("diff"):
        return f"{head}{'  ' + place if place else ''}\n{indent(_diff(change['diff']), '    ')}"
    before, after = change.get("before"), change.get("after")
    if before is None and after is None:
        return f"{head}  {place}".rstrip()
    if before is None:
        said = f"is new: {_shown(after)}"
    elif after is None:
        said = f"is gone, was {_shown(before)}"
    else:
        said = f"{_shown(before)} → {_shown(after)}"
    return f"{head}: {said}{'  ' + place if place else ''}"


def _shown(item: object) -> str:
    return short(item) if isinstance(item, str) else value(item)


def _diff(text: str) -> str:
    colors = {"-": "red", "+": "green"}
    return "\n".join(paint(clean(line), colors.get(line[:1])) for line in text.splitlines())
