"""A run's document: what was done, what failed and why, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lineal.views.words import cells, closed, cut, family, named, outcomes, own_frames
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
    from lineal.views.progress import Board

Stage = Mapping[str, Any]
FEW_STAGES = 12  # with no more than that many, the table shows hits too
_FEW_ALIKE = 20  # stages of one family that became the same have a row each, if they are no more than that
_FAILURES_IN_FULL = 5
_FAILURES_NAMED = 10
_LINES_AT_EACH_END = 20
_LONGEST_LINE = 1000


def render_run(
    document: Mapping[str, Any],
    *,
    elapsed_seconds: float | None = None,
    board: Board | None = None,
    again: Sequence[str] = (),
    settings: Sequence[str] = (),
    in_full: bool = False,
) -> str:
    """The report after a run: the failures, where there are any, above one line that sums up.

    ``board`` is what was seen of the run while it went on. ``again`` are the words of the command that was given, to be
    given once more, and ``settings`` the options by which all commands find the same store. With ``in_full`` every stage
    is told of, as in a report that nobody saw coming.
    """
    stages: Sequence[Stage] = document["stages"]
    warnings = "\n".join(f"{paint('warning:', 'yellow')} {clean(text)}" for text in document["warnings"])
    if document["state"] == "succeeded" and all(stage["cache"] == "hit" for stage in stages):
        calm = render_unchanged(document["pipeline"], len(stages), document["run_id"], elapsed_seconds)
        return "\n".join(part for part in (calm, warnings, _checked(document)) if part)
    parts = [
        *_failures(stages, document["run_id"], board),
        stage_table(stages) if in_full else "",
        _outputs(document["outputs"], made_all=document["state"] == "succeeded"),
        warnings,
        _checked(document),
        _headline(document, elapsed_seconds),
        _next_steps(document, again, settings),
    ]
    return "\n\n".join(part for part in parts if part)


def differing(document: Mapping[str, Any]) -> list[Stage]:
    """Those stages that made something else when they were executed again."""
    return [
        stage for stage in document["stages"] if stage.get("executed_again") not in (None, _digests(stage))
    ]


def _digests(stage: Stage) -> dict[str, str]:
    return {name: output["digest"] for name, output in stage["outputs"].items()}


def _checked(document: Mapping[str, Any]) -> str:
    """What came of executing hits again, where any were."""
    checked = sum("executed_again" in stage for stage in document["stages"])
    if not checked:
        return ""
    others = len(differing(document))
    if not others:
        return f"{counted(checked, 'hit')} executed again: {paint('the same bytes', 'green')}"
    return f"{counted(checked, 'hit')} executed again: {paint(f'{others:,} made other bytes', 'red')}"


def render_unchanged(pipeline: str, stages: int, run_id: str, elapsed_seconds: float | None) -> str:
    """The line of a run that found everything done."""
    took = f" ({seconds(elapsed_seconds)})" if elapsed_seconds is not None else ""
    done = f"nothing to do, {counted(stages, 'stage')} unchanged{took}"
    return f"{clean(pipeline)}: {paint(done, 'green')} · run {clean(run_id)}"


def stage_table(stages: Sequence[Stage]) -> str:
    """A row for each stage; in a long pipeline the hits are only counted, and so are those that are alike."""
    shown = [stage for stage in stages if len(stages) <= FEW_STAGES or stage["cache"] != "hit"]
    alike: dict[tuple[object, ...], list[Stage]] = {}
    for stage in shown:
        alike.setdefault((family(stage["id"]), stage["state"], stage["cache"], stage["reason"]), []).append(
            stage
        )
    rows: list[tuple[str, ...]] = []
    for members in alike.values():
        rows += [_row(stage) for stage in members] if len(members) <= _FEW_ALIKE else [_row_of_many(members)]
    lines = table(rows, ("stage", "state", "cache", "time", "outputs"), right=(3,)) if rows else ""
    hidden = len(stages) - len(shown)
    return "\n".join(
        part for part in (lines, f"and {counted(hidden, 'stage')} unchanged" if hidden else "") if part
    )


def alike(stages: Iterable[Stage]) -> list[list[Stage]]:
    """The stages one by one; those of one family that became the same together, where they are many."""
    found: dict[tuple[object, ...], list[Stage]] = {}
    for stage in stages:
        became = stage["state"], stage["cache"], stage["reason"]
        found.setdefault((family(stage["id"]), *became), []).append(stage)
    return [
        group
        for members in found.values()
        for group in ([members] if len(members) > _FEW_ALIKE else [[stage] for stage in members])
    ]


def _row(stage: Stage) -> tuple[str, ...]:
    return (
        clean(stage["id"]),
        paint_state(stage["state"]),
        cache_and_reason(stage),
        seconds(stage["seconds"]) if stage["attempts"] else "",
        some(
            [f"{clean(name)} {short(output['digest'])}" for name, output in stage["outputs"].items()], most=3
        ),
    )


def _row_of_many(stages: Sequence[Stage]) -> tuple[str, ...]:
    """One row for stages of one family that became the same; the time is that of all of them together."""
    took = sum(stage["seconds"] for stage in stages)
    return (
        named([stage["id"] for stage in stages]),
        paint_state(stages[0]["state"]),
        cache_and_reason(stages[0]),
        seconds(took) if took else "",
        "",
    )


def cache_and_reason(stage: Stage) -> str:
    """``hit``, or ``miss: code changed``."""
    cache = stage["cache"]
    why = reason(stage["reason"], cache, stage["state"])
    if cache is None or cache == "hit":
        return paint_state(cache) if cache else why
    return paint_state(cache) + (f": {why}" if why else "")


# -- what failed ------------------------------------------------------------------------------


def _failures(stages: Sequence[Stage], run_id: object, board: Board | None) -> list[str]:
    """What failed, each with what was not run for it; then what went on regardless."""
    failed = [stage for stage in stages if stage["state"] == "failed"]
    not_run = [stage["id"] for stage in stages if stage["state"] == "upstream_failed"]
    if not failed:
        return []
    by_place: dict[tuple[object, ...], list[Stage]] = {}
    for stage in failed:
        error = stage["error"] or {}
        place = error.get("kind"), error.get("type"), own_frames(stage)
        by_place.setdefault((family(stage["id"]), *place), []).append(stage)
    groups = list(by_place.values())
    parents = board.execution.parents if board is not None and board.execution is not None else {}
    told_apart = bool(parents) and len(groups) > 1
    parts = []
    for members in groups[:_FAILURES_IN_FULL]:
        of_family = sum(family(stage["id"]) == family(members[0]["id"]) for stage in stages)
        parts.append(
            _failure(members, of_family, (board.tails if board is not None else {}).get(members[0]["id"], ()))
        )
        if told_apart:
            below = _below(parents, [stage["id"] for stage in members])
            parts.append(_not_run([stage_id for stage_id in not_run if stage_id in below]))
    parts.append(_further(groups[_FAILURES_IN_FULL:]))
    if not told_apart:
        parts.append(_not_run(not_run))
    if parents:
        needed = _below(_turned(parents), [stage["id"] for stage in failed])
        went_on = [
            s["id"] for s in stages if s["state"] == "succeeded" and s["attempts"] and s["id"] not in needed
        ]
        parts.append(f"went on regardless: {named(went_on)}" if went_on else "")
    return parts


def _failure(group: Sequence[Stage], of_family: int, tail: Iterable[str]) -> str:
    """Stages that failed in the same place of the same code: the first of them in full."""
    stage = group[0]
    error = stage["error"] or {}
    what = ": ".join(clean(error[key]) for key in ("type", "message") if error.get(key))
    attempts = f" after {stage['attempts']} attempts" if stage["attempts"] > 1 else ""
    kind = f" ({error['kind'].replace('_', ' ')})" if error.get("kind") not in (None, "exception") else ""
    who, also = clean(stage["id"]), ""
    if len(group) > 1:
        who = clean(family(stage["id"]))
        also = (
            f" for {len(group):,} of {of_family:,}, first for {clean(stage['id'])}{',' if attempts else ''}"
        )
    what = _shortened(what)
    lines = [paint(f"{who} failed{also}{attempts}{kind}: ", "red") + what]
    if error.get("hint"):
        lines.append(f"{paint('hint:', 'cyan')} {clean(error['hint'])}")
    traceback, tail = own_frames(stage), list(tail)
    if traceback and not (error.get("kind") == "killed" and tail):
        lines += ["", indent(_shortened(clean(traceback)))]
    if tail:
        lines += ["", paint(f"the last lines of {clean(stage['id'])}:", "dim")]
        lines += [f"  {paint('|', 'dim')} {_readable(line)}" for line in tail]
    if len(group) > 1:
        others = [clean(other["id"]) for other in group[1:]]
        lines += ["", f"failed in the same place: {some(others, most=6)}"]
    return "\n".join(lines)


def _shortened(text: str) -> str:
    """The beginning and the end of a text that has too many lines to be read."""
    lines = [cut(line, _LONGEST_LINE) for line in text.split("\n")]
    if len(lines) > 2 * _LINES_AT_EACH_END:
        left_out = paint(f"(and {len(lines) - 2 * _LINES_AT_EACH_END:,} lines more; --json has all)", "dim")
        lines = [*lines[:_LINES_AT_EACH_END], left_out, *lines[-_LINES_AT_EACH_END:]]
    return "\n".join(lines)


def _readable(line: str) -> str:
    return closed(clean_log(line)) if cells(line) <= _LONGEST_LINE else cut(clean(line), _LONGEST_LINE)


def _further(groups: Sequence[Sequence[Stage]]) -> str:
    """Failures that are not shown in full, a line each."""
    lines = []
    for members in groups[:_FAILURES_NAMED]:
        error = members[0]["error"] or {}
        what = ": ".join(
            clean(error[key]).partition("\n")[0] for key in ("type", "message") if error.get(key)
        )
        lines.append(paint(f"{named([stage['id'] for stage in members])} failed: ", "red") + what)
    left_out = sum(map(len, groups[_FAILURES_NAMED:]))
    return "\n".join([*lines, f"and {left_out:,} more failed"] if left_out else lines)


def _not_run(stage_ids: Sequence[str]) -> str:
    return f"not run because of that: {named(stage_ids)}" if stage_ids else ""


def _turned(parents: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The children of each stage, of its parents; or the other way round."""
    turned: dict[str, list[str]] = {}
    for stage_id, others in parents.items():
        for other in others:
            turned.setdefault(other, []).append(stage_id)
    return turned


def _below(parents: Mapping[str, Sequence[str]], stage_ids: Sequence[str]) -> set[str]:
    """All that waits, directly or not, for one of these stages."""
    children, found, new = _turned(parents), set[str](), list(stage_ids)
    while new:
        for child in children.get(new.pop(), ()):
            if child not in found:
                found.add(child)
                new.append(child)
    return found


# -- the sum of it ----------------------------------------------------------------------------


def _outputs(outputs: Mapping[str, str | None], *, made_all: bool) -> str:
    """What the pipeline returned. Only in a run that succeeded a missing output was skipped."""
    rows = [
        (clean(name), short(digest) if digest else "skipped")
        for name, digest in outputs.items()
        if digest or made_all
    ]
    return table(rows, ("output", "digest")) if rows else ""


def _headline(document: Mapping[str, Any], elapsed_seconds: float | None) -> str:
    state, run = paint_state(document["state"]), f"run {clean(document['run_id'])}"
    if document.get("finished_at", "") is None:  # what became of its stages is told when it has finished
        return f"{clean(document['pipeline'])}: {state} · {run}"
    told = outcomes(document["stages"])
    took = f" in {seconds(elapsed_seconds)}" if elapsed_seconds is not None else ""
    return f"{clean(document['pipeline'])}: {state}{took}, {told} · {run}"


def _next_steps(document: Mapping[str, Any], again: Sequence[str], settings: Sequence[str]) -> str:
    """The commands to look and to go on with; what has succeeded is not run again."""
    if document["state"] not in ("failed", "cancelled") or not document["run_id"]:
        return ""
    run_id = str(document["run_id"])
    began = [s["id"] for s in document["stages"] if s["state"] == "failed" and s["attempts"]]
    steps = [("all it printed:", ["logs", run_id, stage_id, *settings]) for stage_id in began[:1]]
    steps.append(("try again from there:", [*(again or ("rerun", run_id)), *settings]))
    return table((what, clean(shlex.join(["lineal", *words]))) for what, words in steps)
