"""A run's document: what was done, what failed and why, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lineal_cli.render.text import (
    clean,
    clean_log,
    counted,
    indent,
    paint,
    paint_state,
    reason,
    seconds,
    short,
    some,
    table,
)

if TYPE_CHECKING:
    from lineal_cli.progress import Details

Stage = Mapping[str, Any]
FEW_STAGES = 12  # with no more than that many, the table shows hits too


def render_run(
    document: Mapping[str, Any],
    *,
    elapsed_seconds: float | None = None,
    details: Mapping[str, Details] | None = None,
) -> str:
    """The summary after a run. ``details`` are by stage id."""
    stages: Sequence[Stage] = document["stages"]
    warnings = "\n".join(f"{paint('warning:', 'yellow')} {clean(text)}" for text in document["warnings"])
    if document["state"] == "succeeded" and all(stage["cache"] == "hit" for stage in stages):
        calm = render_unchanged(document["pipeline"], len(stages), document["run_id"], elapsed_seconds)
        return "\n".join(part for part in (calm, warnings) if part)
    failed = [stage for stage in stages if stage["state"] == "failed"]
    parts = [
        *(_failure(stage, document["run_id"], (details or {}).get(stage["id"])) for stage in failed),
        _not_run(stages),
        stage_table(stages),
        _outputs(document["outputs"], made_all=document["state"] == "succeeded"),
        warnings,
        _headline(document, elapsed_seconds),
        _next_steps(document, failed),
    ]
    return "\n\n".join(part for part in parts if part)


def render_unchanged(pipeline: str, stages: int, run_id: str, elapsed_seconds: float | None) -> str:
    """The line of a run that found everything done."""
    took = f" ({seconds(elapsed_seconds)})" if elapsed_seconds is not None else ""
    done = f"nothing to do, {counted(stages, 'stage')} unchanged{took}"
    return f"{clean(pipeline)}: {paint(done, 'green')} · run {clean(run_id)}"


def stage_table(stages: Sequence[Stage]) -> str:
    """A row for each stage; in a long pipeline the hits are only counted."""
    shown = [stage for stage in stages if len(stages) <= FEW_STAGES or stage["cache"] != "hit"]
    rows = [
        (
            clean(stage["id"]),
            paint_state(stage["state"]),
            cache_and_reason(stage),
            seconds(stage["seconds"]) if stage["attempts"] else "",
            some(
                [f"{clean(name)} {short(output['digest'])}" for name, output in stage["outputs"].items()],
                most=3,
            ),
        )
        for stage in shown
    ]
    lines = table(rows, ("stage", "state", "cache", "time", "outputs"), right=(3,)) if rows else ""
    hidden = len(stages) - len(shown)
    return "\n".join(
        part for part in (lines, f"and {counted(hidden, 'stage')} unchanged" if hidden else "") if part
    )


def cache_and_reason(stage: Stage) -> str:
    """``hit``, or ``miss: code changed``."""
    cache = stage["cache"]
    why = reason(stage["reason"], cache, stage["state"])
    if cache is None or cache == "hit":
        return paint_state(cache) if cache else why
    return paint_state(cache) + (f": {why}" if why else "")


def _failure(stage: Stage, run_id: object, details: Details | None) -> str:
    error = stage["error"] or {}
    what = ": ".join(clean(error[key]) for key in ("type", "message") if error.get(key))
    attempts = f" after {stage['attempts']} attempts" if stage["attempts"] > 1 else ""
    kind = f" ({error['kind'].replace('_', ' ')})" if error.get("kind") not in (None, "exception") else ""
    lines = [paint(f"{clean(stage['id'])} failed{attempts}{kind}: ", "red") + what]
    if error.get("hint"):
        lines.append(f"{paint('hint:', 'cyan')} {clean(error['hint'])}")
    traceback = (details.traceback if details else "") or stage.get("traceback", "")
    if traceback and not (error.get("kind") == "killed" and details and details.lines):
        lines += ["", indent(clean(traceback).rstrip())]
    if details and details.lines:
        lines += ["", paint(f"the last lines of {clean(stage['id'])}:", "dim")]
        lines += [f"  {paint('|', 'dim')} {clean_log(line)}" for line in details.lines]
    return "\n".join(lines)


def _not_run(stages: Sequence[Stage]) -> str:
    affected = [clean(stage["id"]) for stage in stages if stage["state"] == "upstream_failed"]
    if not affected:
        return ""
    return f"not run because of that: {some(affected)}"


def _outputs(outputs: Mapping[str, str | None], *, made_all: bool) -> str:
    """What the pipeline returned. Only in a run that succeeded a missing output was skipped."""
    rows = [
        (clean(name), short(digest) if digest else "skipped")
        for name, digest in outputs.items()
        if digest or made_all
    ]
    return table(rows, ("output", "digest")) if rows else ""


def _headline(document: Mapping[str, Any], elapsed_seconds: float | None) -> str:
    stages = document["stages"]
    counts = {
        "unchanged": sum(stage["cache"] == "hit" for stage in stages),
        "ran": sum(stage["state"] == "succeeded" and stage["cache"] != "hit" for stage in stages),
        "failed": sum(stage["state"] == "failed" for stage in stages),
        "not run": sum(stage["state"] in ("upstream_failed", "queued", "cancelled") for stage in stages),
        "skipped": sum(stage["state"] == "skipped" for stage in stages),
    }
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    took = f" in {seconds(elapsed_seconds)}" if elapsed_seconds is not None else ""
    state = paint_state(document["state"])
    return f"{clean(document['pipeline'])}: {state}{took}, {told or 'no stages'} · run {clean(document['run_id'])}"


def _next_steps(document: Mapping[str, Any], failed: Sequence[Stage]) -> str:
    if not failed:
        return ""
    run_id = clean(document["run_id"])
    began = [clean(stage["id"]) for stage in failed if stage["attempts"]]
    logs = [("all it printed:", f"lineal logs {run_id} {_quoted(stage)}") for stage in began[:1]]
    return table([*logs, ("try again from there:", f"lineal rerun {run_id}")])


def _quoted(stage: str) -> str:
    import shlex

    return shlex.quote(stage)
