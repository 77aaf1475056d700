"""Backfills: how far they are, and the runs of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lineal_cli.render.text import clean, paint, table

if TYPE_CHECKING:
    from lineal.state import Job

_COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "cancelled": "yellow",
    "running": "cyan",
    "starting": "cyan",
}
_MOST_ROWS = 400


def render_backfills(document: Mapping[str, Any]) -> str:
    rows = [
        (
            clean(each["id"]),
            clean(each["target"] or ""),
            _state(each["state"]),
            ", ".join(f"{many} {clean(word)}" for word, many in each["counts"].items()),
            clean(each["made_by"]),
        )
        for each in document["backfills"]
    ]
    return table(rows, ("backfill", "target", "state", "runs", "by")) if rows else "no backfills"


def render_backfill(document: Mapping[str, Any]) -> str:
    runs = document["runs"]
    rows = [
        (
            clean(run["logical_date"] or ""),
            " ".join(f"{clean(name)}={clean(value)}" for name, value in run.get("parameters", {}).items()),
            _state(run["state"]),
            clean(run["run_id"] or ""),
            clean(run.get("note", "")),
        )
        for run in runs[:_MOST_ROWS]
    ]
    left_out = [f"… and {len(runs) - _MOST_ROWS} more"] if len(runs) > _MOST_ROWS else []
    return (
        "\n".join([table(rows, ("date", "parameters", "state", "run", "")), *left_out, _summary(document)])
        if rows
        else "nothing to run"
    )


def render_ended(job: Job, counts: Mapping[str, int], *, lost: bool) -> str:
    """One line: how a run ended, and how far the backfill is by that."""
    total = sum(counts.values())
    left = sum(counts.get(word, 0) for word in ("queued", "starting", "running"))
    what = " ".join(filter(None, (job.logical_date.removesuffix("T00:00:00"), job.variant)))
    word = "its process was killed, it waits again" if lost and job.state == "queued" else job.state
    failed = f", {counts['failed']} failed" if counts.get("failed") else ""
    far = paint(f"{total - left:>{len(str(total))}} of {total}{failed}", "dim")
    return f"{far}  {clean(what)}  {paint(word, _COLOURS.get(job.state, 'dim'))}  {clean(job.run_id or '')}".rstrip()


def _summary(document: Mapping[str, Any]) -> str:
    counts: dict[str, int] = {}
    for run in document["runs"]:
        counts[run["state"]] = counts.get(run["state"], 0) + 1
    said = ", ".join(f"{many} {clean(word)}" for word, many in counts.items())
    hits = f"{document['hits']:,} of {document['stages']:,} stages are hits" if document["stages"] else ""
    if document["backfill"] is None:
        return f"{document['planned']} runs would be made; {hits}"
    standing = f"backfill {clean(document['backfill'])}: {clean(document['state'])}; {said}"
    return f"{standing}; {hits}" if hits else standing


def _state(word: str) -> str:
    return paint(clean(word), _COLOURS.get(word, "dim"))
