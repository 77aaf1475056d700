"""What would run: the document of ``status``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineal.views.words import named
from lineal_cli.render.run import FEW_STAGES, alike, cache_and_reason
from lineal_cli.render.text import clean, counted, paint, table, values


def render_status(document: Mapping[str, Any]) -> str:
    stages = document["stages"]
    stale = [stage for stage in stages if stage["cache"] not in ("hit", None)]
    warnings = [f"{paint('warning:', 'yellow')} {clean(text)}" for text in document["warnings"]]
    if not stale:
        calm = render_unchanged_status(document["pipeline"], document["parameters"], len(stages))
        return "\n".join([calm, *warnings])
    title = _title(document["pipeline"], document["parameters"])
    maybe = sum(stage["cache"] == "unknown" for stage in stale)
    title += f"{len(stale) - maybe} of {counted(len(stages), 'stage')} would run"
    if maybe:
        title += f", {maybe} may: that depends on results not known yet"
    shown = stages if len(stages) <= FEW_STAGES else stale
    rows = [(named([stage["id"] for stage in group]), cache_and_reason(group[0])) for group in alike(shown)]
    lines = [title, "", table(rows, ("stage", "cache"))]
    if len(shown) < len(stages):
        lines.append(f"and {counted(len(stages) - len(shown), 'stage')} unchanged")
    return "\n".join([*lines, *warnings])


def render_unchanged_status(pipeline: str, parameters: Mapping[str, Any], stages: int) -> str:
    """The line where nothing would run."""
    done = paint(f"nothing to do, {counted(stages, 'stage')} unchanged", "green")
    return _title(pipeline, parameters) + done


def _title(pipeline: str, parameters: Mapping[str, Any]) -> str:
    given = values(parameters)
    return f"{clean(pipeline)}{' ' + paint(given, 'dim') if given else ''}: "
