"""Runs in notebooks: what goes on, in one place that is drawn anew, and a run that has ended.

IPython is never imported. Where it has been, it is asked through the shell that it made; a notebook is a shell with a kernel.
All text is escaped: what stages print cannot become part of the page.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from itertools import islice
from typing import Any

from lineal.events import ExecutionStarted, Listener, ignore
from lineal.views.progress import Board, Notice
from lineal.views.showing import LineDisplay, Progress
from lineal.views.words import clean, cut, family, named, outcomes, own_frames, reason, seconds

_ROWS_SHOWN = 12
_NOTICES_KEPT = 30
_FAILURES_SHOWN = 5
Publish = Callable[[Mapping[str, str], str, bool], None]


@contextmanager
def shown_here() -> Iterator[Listener]:
    """A listener that shows a run where the user is: in a notebook, in lines in a plain IPython, nowhere in a program."""
    shell = _shell()
    if shell is None:
        yield ignore
        return
    has_kernel = getattr(shell, "kernel", None) is not None
    lines = LineDisplay(lambda text: print(text, file=sys.stderr, flush=True))
    progress = Progress(NotebookDisplay(_publisher(shell)) if has_kernel else lines)
    try:
        yield progress
    finally:
        progress.close()


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None


def _publisher(shell: Any) -> Publish:
    def publish(data: Mapping[str, str], display_id: str, is_update: bool) -> None:
        shell.display_pub.publish(data=dict(data), transient={"display_id": display_id}, update=is_update)

    return publish


class NotebookDisplay:
    """The board as a small table below the cell. ``publish`` takes a picture by MIME type, its id, and if it is an update."""

    every = 0.5

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._id = os.urandom(16).hex()
        self._is_shown = False
        self._notices: deque[Notice] = deque(maxlen=_NOTICES_KEPT)

    def begin(self, stages: Sequence[str]) -> None:
        pass

    def start(self, event: ExecutionStarted) -> None:
        self._is_shown = True
        self._publish(_picture([], "starting"), self._id, False)

    def tell(self, notices: Sequence[Notice]) -> None:
        self._notices += [notice for notice in notices if notice.state != "running"]

    def lines(self, stage: str, lines: Sequence[str]) -> None:
        pass

    def tick(self, board: Board, now: float) -> Callable[[], None] | None:
        picture = self._of(board, now)
        return lambda: self._publish(picture, self._id, True)

    def close(self, board: Board, now: float) -> None:
        if self._is_shown:
            self._publish(self._of(board, now), self._id, True)

    def _of(self, board: Board, now: float) -> Mapping[str, str]:
        rows = [
            (notice.state, notice.subject, seconds(notice.seconds) if notice.seconds else "", notice.said)
            for notice in self._notices
        ]
        families = board.large_families(3)
        for one in islice(board.running.values(), _ROWS_SHOWN):
            rows.append(("running", one.stage, one.time(now), cut(one.last_line, 100)))
        rows += [("running", one.name, "", one.said()) for one in families]
        return _picture(rows, board.summary(now))


def _picture(rows: Sequence[tuple[str, ...]], summary: str) -> Mapping[str, str]:
    return {"text/html": f"{_table(rows)}<div><b>{_text(summary)}</b></div>", "text/plain": clean(summary)}


# -- a run that has ended ---------------------------------------------------------------------


def run_html(document: Mapping[str, Any]) -> str:
    """A run for a notebook: what failed and where, the stages, and what the pipeline returned."""
    stages: Sequence[Mapping[str, Any]] = document["stages"]
    failed = [stage for stage in stages if stage["state"] == "failed"]
    parts = [f"<div><b>{_text(run_line(document))}</b></div>"]
    for stage in failed[:_FAILURES_SHOWN]:
        error = stage["error"] or {}
        what = ": ".join(str(error[key]) for key in ("type", "message") if error.get(key))
        hint = f"<div>hint: {_text(error['hint'])}</div>" if error.get("hint") else ""
        frames = own_frames(stage)
        frames = f"<pre>{_text(frames)}</pre>" if frames else ""
        parts.append(
            f'<div style="{_STYLES["failed"]}">{_text(stage["id"])} failed: {_text(what)}</div>{hint}{frames}'
        )
    if len(failed) > _FAILURES_SHOWN:
        parts.append(
            f"<div>failed, too: {_text(named([stage['id'] for stage in failed[_FAILURES_SHOWN:]]))}</div>"
        )
    not_run = [stage["id"] for stage in stages if stage["state"] == "upstream_failed"]
    if not_run:
        parts.append(f"<div>not run because of that: {_text(named(not_run))}</div>")
    parts.append(_table(_stage_rows(stages)))
    returned = [("", name, "", digest or "skipped") for name, digest in document["outputs"].items()]
    parts.append(_table(returned) if document["state"] == "succeeded" else "")
    return "".join(parts)


def run_line(document: Mapping[str, Any]) -> str:
    """``flights: failed, 8 unchanged, 1 ran, 1 failed · run 20261122-173120-4f9ac2``."""
    told = outcomes(document["stages"])
    return f"{document['pipeline']}: {document['state']}, {told} · run {document['run_id']}"


def _stage_rows(stages: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A row for all stages of a family that became the same."""
    alike: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for stage in stages:
        state = "unchanged" if stage["cache"] == "hit" else stage["state"]
        why = "" if state == "unchanged" else reason(stage["reason"], stage["cache"], stage["state"])
        alike.setdefault((family(stage["id"]), state, why), []).append(stage)
    rows: list[tuple[str, ...]] = []
    for (_, state, why), members in list(alike.items())[:_NOTICES_KEPT]:
        took = sum(stage["seconds"] for stage in members)
        rows.append((state, named([stage["id"] for stage in members]), seconds(took) if took else "", why))
    left_out = sum(map(len, list(alike.values())[_NOTICES_KEPT:]))
    return [*rows, ("", f"and {left_out:,} more", "", "")] if left_out else rows


_STYLES = {
    "succeeded": "color: #2e7d32",
    "unchanged": "color: #2e7d32",
    "failed": "color: #c62828",
    "upstream_failed": "color: #c62828",
    "retry": "color: #b26a00",
    "cancelled": "color: #b26a00",
}
_CELL = "text-align: left; padding: 0 1em 0 0; background: none"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of a state, a name, a time and what else there is to say."""
    shown = "".join(
        "<tr>"
        + f'<td style="{_CELL}; {_STYLES.get(state, "")}">{_text(state.replace("_", " "))}</td>'
        + "".join(f'<td style="{_CELL}">{_text(cell)}</td>' for cell in cells)
        + "</tr>"
        for state, *cells in rows
    )
    return f"<table>{shown}</table>" if shown else ""


def _text(text: object) -> str:
    return escape(clean(text))
