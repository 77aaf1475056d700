"""Schedules and what they will do: the documents of ``schedule list`` and ``schedule simulate``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lineal_cli.render.text import clean, paint, table

_MOST_ROWS = 400


def render_schedules(document: Mapping[str, Any]) -> str:
    schedules = document["schedules"]
    if not schedules:
        return "no schedules"
    rows = [
        (
            clean(schedule["name"]),
            clean(
                schedule["pipeline"]
                or " ".join(["reproduce", *schedule["reproduce"]] if schedule["reproduce"] else [])
            ),
            _when(schedule),
            clean(schedule["timezone"]),
            _local(schedule["next"]["local"]) if schedule["next"] else paint("-", "dim"),
            _standing(schedule["state"]),
            paint(clean(schedule["next"]["note"]), "yellow") if schedule["next"] else "",
        )
        for schedule in schedules
    ]
    lines = [table(rows, ("schedule", "pipeline", "when", "zone", "next", "last", ""))]
    if document["daemon"] is None:
        lines.append(paint("nothing fires them: `lineal serve` does", "yellow"))
    return "\n".join(lines)


def render_paused(document: Mapping[str, Any]) -> str:
    name, by = clean(document["schedule"]), document["paused_by"]
    if by is None:
        return f"{name} fires again" if document["changed"] else f"{name} was not paused"
    return f"{name} is paused" if document["changed"] else f"{name} was paused before, by {clean(by)}"


def _standing(state: Mapping[str, Any] | None) -> str:
    """What its last job came to, and what is special about the schedule now."""
    if state is None:
        return ""
    words = []
    if state["last"] is not None:
        colour = {"succeeded": "green", "failed": "red"}.get(state["last"]["state"], "yellow")
        words.append(
            f"{_minute(state['last']['logical_date'])} {paint(clean(state['last']['state']), colour)}"
        )
    if state["waiting"] > 1:
        words.append(f"{state['waiting']} wait")
    if state["paused_at"] is not None:
        words.append(paint(f"paused by {clean(state['paused_by'])}", "yellow"))
    return ", ".join(words)


def render_simulation(document: Mapping[str, Any]) -> str:
    told = [(item, True) for item in document["ticks"]] + [(item, False) for item in document["passed_over"]]
    told.sort(key=lambda one: str(one[0]["fires_at"]))
    rows = [
        (
            clean(item["schedule"]),
            _minute(item["fires_at"]) if fires else paint("-", "dim"),
            _local(item["local"]) if fires else "",
            _minute(item["logical_date"]),
            paint(clean(item["note"]), "yellow"),
        )
        for item, fires in told[:_MOST_ROWS]
    ]
    lines = []
    if rows:
        lines.append(table(rows, ("schedule", "fires at (UTC)", "local", "logical date", "note")))
    elif not document["by_event"]:
        lines.append("nothing fires in this time")
    if len(told) > _MOST_ROWS:
        lines.append(f"(and {len(told) - _MOST_ROWS:,} more; --json has them)")
    if document["cut"] is not None:
        lines.append(f"(what comes after is not told: go on with --from {clean(document['cut'])})")
    lines += [
        f"{clean(name)} fires by an event, which nobody knows beforehand" for name in document["by_event"]
    ]
    return "\n".join(lines)


def _when(schedule: Mapping[str, Any]) -> str:
    if schedule["cron"] is not None:
        return clean(schedule["cron"])
    if schedule["every"] is not None:
        return f"every {clean(schedule['every'])}"
    return clean(" ".join(f"{kind} {of}" for kind, of in schedule["on"].items() if kind != "secret"))


def _local(text: str) -> str:
    """
    >>> _local("2026-03-29T03:00:00+02:00")
    '2026-03-29 03:00 +02:00'
    """
    moment = _read(text)
    return f"{_minute(text)} {moment.isoformat()[19:]}" if moment else clean(text)


def _minute(text: str) -> str:
    """
    >>> _minute("2026-03-29T01:00:00+00:00"), _minute("2026-03-29T01:00:07+00:00"), _minute("x")
    ('2026-03-29 01:00', '2026-03-29 01:00:07', 'x')
    """
    moment = _read(text)
    if moment is None:
        return clean(text)
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment.second else f"{moment:%Y-%m-%d %H:%M}"


def _read(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
