"""Why stages run or do not: a paragraph for each, the most telling first, and never more than a few screens."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lineal_cli.render.text import (
    clean,
    counted,
    indent,
    moment,
    paint,
    reason,
    seconds,
    short,
    some,
    value,
)

Stage = Mapping[str, Any]
Change = Mapping[str, Any]

_MOST_PARAGRAPHS = 12
_MOST_DIFFS = 5
_MOST_DIFF_LINES = 40
_MOST_NEW_LINES = 12  # of a unit that is new or gone: a longer one is told by its name alone
_MOST_CHANGES = 10  # of one kind, other than code
_MOST_DECIDERS = 4
_LONGEST_LINE = 200


def render_why(document: Mapping[str, Any]) -> str:
    """A paragraph for each stage; those of which all the same is to be said share one."""
    stages: Sequence[Stage] = document["stages"]
    unchanged = counted(document["unchanged"], "stage") + " unchanged"
    if not stages:
        if document["run_id"] is not None:
            return f"nothing ran in run {clean(document['run_id'])}: {unchanged}"
        return f"nothing would run: {unchanged}"
    writer = _Writer(is_past=document["run_id"] is not None)
    groups = list(_groups(stages))
    paragraphs = [writer.paragraph(group) for group in groups[:_MOST_PARAGRAPHS]]
    left = sum(len(group) for group in groups[_MOST_PARAGRAPHS:])
    if left:
        paragraphs.append(f"and {counted(left, 'more stage')}; `lineal why STAGE` tells about each")
    if document["unchanged"]:
        paragraphs.append(paint(unchanged, "dim"))
    return "\n\n".join(paragraphs)


def _groups(stages: Sequence[Stage]) -> Iterator[list[Stage]]:
    """Stages of which all but their names is the same, in the order in which the first of them comes."""
    found: dict[str, list[Stage]] = {}
    for stage in stages:
        said = {
            name: stage[name]
            for name in ("cache", "reason", "state", "changes", "notes", "decided_by", "error")
        }
        alone = stage["stage"] if stage["cache"] == "hit" or stage["failed_before"] else None
        found.setdefault(json.dumps([alone, said], default=str), []).append(stage)
    yield from found.values()


class _Writer:
    """Writes paragraphs; a diff that was shown in one is not shown again."""

    def __init__(self, *, is_past: bool) -> None:
        self._is_past = is_past
        self._shown: set[str] = set()

    def paragraph(self, stages: Sequence[Stage]) -> str:
        stage = stages[0]
        names = some([paint(clean(one["stage"]), "bold") for one in stages], most=6)
        lines = [f"{names} {self._head(stage, several=len(stages) > 1)}"]
        lines += [f"  {line}" for line in _asides(stage, alone=len(stages) == 1)]
        text = "\n".join(lines)
        before = ""
        for part in self._changes(stage["changes"]):
            # what takes several lines stands apart
            gap = "\n\n" if "\n" in part or "\n" in before else "\n"
            text += gap + indent(part)
            before = part
        return text

    # -- first lines --------------------------------------------------------------------------

    def _head(self, stage: Stage, *, several: bool) -> str:
        cache, state = stage["cache"], stage["state"]
        why = reason(stage["reason"], cache, state)
        be = ("were" if several else "was") if self._is_past else ("are" if several else "is")
        if cache == "hit":
            found = stage["compared_with"]
            hits = "hits" if several else "a hit"
            if found is None:
                return f"{be} {hits}: unchanged"
            took = f", in {seconds(found['seconds'])}"
            return f"{be} {hits}: made {moment(found['at'])} by run {clean(found['run_id'])}{took}"
        if state == "skipped":
            return f"{be} skipped: {why}"
        if cache == "unknown":
            return f"may run: {_deciders(stage)}"
        if cache is None:
            return self._never_asked(stage)
        if not self._is_past:
            return f"would run: {why}"
        return f"ran: {why}" + (f"; it {_failed(stage['error'])}" if state == "failed" else "")

    def _never_asked(self, stage: Stage) -> str:
        if stage["state"] == "failed":
            return f"{'could not' if self._is_past else 'cannot'} run: it {_failed(stage['error'])}"
        if stage["state"] == "upstream_failed":
            names = (
                some([f"`{clean(one['stage'])}`" for one in stage["decided_by"]], most=4)
                or "a stage before it"
            )
            return f"{'did not' if self._is_past else 'cannot'} run: {names} failed"
        return f"did not run: {clean(stage['state']).replace('_', ' ')}"

    # -- changes ------------------------------------------------------------------------------

    def _changes(self, changes: Sequence[Change]) -> Iterator[str]:
        code = [change for change in changes if change["kind"] == "code"]
        others = [change for change in changes if change["kind"] != "code"]
        for change in others:
            if change["kind"] == "schema":
                seen = change["details"] and self._was_shown("schema", change["details"])
                yield f"{_told({**change, 'details': []})}, likewise" if seen else _told(change)
        diffs = 0
        left: list[Change] = []
        for change in code:
            shows = bool(change["diff"])
            if (shows and diffs == _MOST_DIFFS) or (not shows and len(code) > 2 * _MOST_DIFFS):
                left.append(change)
                continue
            diffs += shows
            yield self._code(change)
        if left:
            names = some([f"`{clean(str(change['name']).rpartition(':')[2])}`" for change in left], most=8)
            yield f"and {counted(len(left), 'more unit')} of code: {names}"
        for kind in ("input", "parameter", "environment"):
            some_kind = [change for change in others if change["kind"] == kind]
            yield from (_told(change) for change in some_kind[:_MOST_CHANGES])
            if len(some_kind) > _MOST_CHANGES:
                yield f"and {len(some_kind) - _MOST_CHANGES} more of the {kind}"

    def _was_shown(self, *what: object) -> bool:
        key = json.dumps(what)
        seen = key in self._shown
        self._shown.add(key)
        return seen

    def _code(self, change: Change) -> str:
        told = _told(change)
        lines = str(change["diff"] or "").splitlines()[2:]  # the title names the file
        if not lines:
            return told
        is_whole = change["before"] is None or change["after"] is None
        if is_whole and len(lines) > _MOST_NEW_LINES:
            return f"{told} ({counted(len(lines) - 1, 'line')})"
        # units under one guard share its change: the places and the changed lines are what counts
        places = [line.rpartition("@@")[0] for line in lines if line[:1] == "@"]
        if self._was_shown(change["file"], places, [line for line in lines if line[:1] in "+-"]):
            return f"{told}, as shown above"
        more = len(lines) - _MOST_DIFF_LINES
        shown = [_diff_line(line) for line in lines[:_MOST_DIFF_LINES]]
        if more > 0:
            shown.append(paint(f"… {counted(more, 'more line')}; --json has them", "dim"))
        return f"{told}:\n" + "\n".join(f"    {line}" for line in shown)


def _asides(stage: Stage, *, alone: bool) -> Iterator[str]:
    """What stands between the first line and the changes."""
    found, failed = stage["compared_with"], stage["failed_before"]
    if stage["cache"] == "hit" and found is not None:
        names = [f"key {short(found['action_key'])}", f"fingerprint {short(found['fingerprint'])}"]
        names += [f"{clean(port)} {short(digest)}" for port, digest in found["inputs"].items()]
        names += [f"{clean(name)}={value(item, most=30)}" for name, item in found["parameters"].items()]
        yield paint(some(names, most=12), "dim")
    elif found is not None and alone:
        yield paint(f"compared with its result of {moment(found['at'])}, run {clean(found['run_id'])}", "dim")
    if failed is not None:
        what = ": ".join(clean(failed[key]) for key in ("type", "message") if failed[key])
        yield f"the same failed {moment(failed['at'])} in run {clean(failed['run_id'])}: {_first_line(what)}"
    yield from (clean(note) for note in stage["notes"])
    if stage["cache"] == "unknown" and stage["changes"]:
        yield "whatever comes of that, something of its own changed:"
    hint = (stage["error"] or {}).get("hint")
    if hint and stage["cache"] is None:
        yield f"{paint('hint:', 'cyan')} {clean(hint)}"


def _deciders(stage: Stage) -> str:
    """``a` (code changed) and `b` (input changed) decide, …``; a reason that they share is said once."""
    found = stage["decided_by"]
    if not found:
        return reason(stage["reason"])
    whys = [reason(one["reason"], one["cache"]) for one in found]
    names = [f"`{clean(one['stage'])}`" for one in found]
    shared = whys[0] if len(set(whys)) == 1 else ""
    if not shared:
        names = [f"{name} ({why})" if why else name for name, why in zip(names, whys, strict=True)]
    more = len(names) + stage["decided_by_left_out"] - _MOST_DECIDERS
    told = ", ".join(names[:_MOST_DECIDERS]) + (f" and {more:,} more" if more > 0 else "")
    decide = "decides, which has" if len(names) == 1 else "decide, which have"
    return f"{told} {decide} to run first{f' ({shared})' if shared else ''}"


def _failed(error: Mapping[str, Any] | None) -> str:
    what = ": ".join(clean(error[key]) for key in ("type", "message") if error.get(key)) if error else ""
    return f"failed: {_first_line(what)}" if what else "failed"


def _first_line(text: str) -> str:
    first, _, rest = text.partition("\n")
    return _cut(first) + (" …" if rest.strip() else "")


def _told(change: Change) -> str:
    """The sentence of a change, with what follows it."""
    lines = [change["title"], *(f"    {detail}" for detail in change["details"])]
    return "\n".join(_cut(clean(line.replace("\n", "\\n"))) for line in lines)


def _diff_line(line: str) -> str:
    color = {"-": "red", "+": "green", "@": "dim", "…": "dim"}.get(line[:1])
    return paint(_cut(clean(line)), color)


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"
