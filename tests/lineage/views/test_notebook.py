"""Runs as notebooks show them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from lineal.events import (
    Event,
    ExecutionStarted,
    Failure,
    OutputCaptured,
    RunFinished,
    RunStarted,
    StageChanged,
)
from lineal.views.notebook import run_html, run_line, shown_here

AT = datetime(2026, 11, 22, 12, 3, 4, tzinfo=UTC)
EVENTS: tuple[Event, ...] = (
    RunStarted(AT, "run", "flights", ("ingest", "train")),
    StageChanged(AT, "run", "ingest", "succeeded", "hit", "unchanged"),
    ExecutionStarted(AT, "run", "process", 2, {"ingest": (), "train": ("ingest",)}, {"train": 30.0}),
    StageChanged(AT, "run", "train", "running", "miss", "code", 1),
    OutputCaptured(AT, "run", "train", 1, "output", "<script>alert(1)</script>\n"),
)
FAILED = StageChanged(
    AT, "run", "train", "failed", "miss", "code", 1, 0.5, Failure("exception", "ValueError", "<b>bad</b>")
)
FINISHED = RunFinished(AT, "run", "failed", {})


class Shell:
    """What IPython's shell is to us; ``published`` holds pictures, their ids, and if they are updates."""

    def __init__(self, *, in_notebook: bool = True) -> None:
        self.kernel = object() if in_notebook else None
        self.display_pub = self
        self.published: list[tuple[str, str, bool]] = []
        self.updated = threading.Event()

    def publish(self, *, data: Mapping[str, str], transient: Mapping[str, str], update: bool) -> None:
        self.published.append((data["text/html"], transient["display_id"], update))
        if update:
            self.updated.set()


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    return shell


def test_in_a_notebook_one_picture_is_drawn_anew_and_its_last_state_stays(shell: Shell) -> None:
    with shown_here() as listener:
        for event in EVENTS:
            listener(event)
        assert shell.updated.wait(60)
        while_it_ran = shell.published[-1][0]
        listener(FAILED)
        listener(FINISHED)

    assert [is_update for _, _, is_update in shell.published[:2]] == [False, True]
    assert len({display_id for _, display_id, _ in shell.published}) == 1
    assert "0 s of ~30 s" in while_it_ran and "1 running · 1 unchanged" in while_it_ran
    assert "ValueError: &lt;b&gt;bad&lt;/b&gt;" in shell.published[-1][0]
    assert "1 unchanged · 1 failed" in shell.published[-1][0]


def test_what_a_stage_prints_does_not_become_part_of_the_page(shell: Shell) -> None:
    with shown_here() as listener:
        for event in EVENTS:
            listener(event)

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shell.published[-1][0]
    assert "<script>" not in "".join(html for html, _, _ in shell.published)


def test_a_run_without_work_shows_nothing(shell: Shell) -> None:
    with shown_here() as listener:
        for event in (*EVENTS[:2], FINISHED):
            listener(event)

    assert shell.published == []


def test_in_an_ipython_without_a_page_it_is_lines(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.kernel = None

    with shown_here() as listener:
        for event in EVENTS:
            listener(event)

    assert "train | <script>alert(1)</script>" in capsys.readouterr().err
    assert shell.published == []


@pytest.mark.parametrize("ipython", [None, SimpleNamespace(), SimpleNamespace(get_ipython=lambda: None)])
def test_a_program_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ipython: Any
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", ipython)

    with shown_here() as listener:
        for event in EVENTS:
            listener(event)

    assert capsys.readouterr() == ("", "")


# -- a run that has ended ---------------------------------------------------------------------


def stage(id_: str, state: str, cache: str | None = "miss", **more: Any) -> dict[str, Any]:
    fields = {
        "attempts": int(cache == "miss"),
        "seconds": 0.0,
        "reason": "code",
        "error": None,
        "traceback": "",
    }
    return {"id": id_, "state": state, "cache": cache, **fields, **more}


def document(*stages: dict[str, Any], state: str = "succeeded", **outputs: str | None) -> dict[str, Any]:
    return {"run_id": "20261122", "pipeline": "flights", "state": state, "stages": stages, "outputs": outputs}


def test_a_run_is_told_in_one_line() -> None:
    run = document(stage("ingest", "succeeded", "hit"), stage("train", "succeeded"))

    assert run_line(run) == "flights: succeeded, 1 unchanged, 1 ran · run 20261122"


def test_a_run_that_failed_shows_the_failure_with_the_own_frames_and_what_was_not_run() -> None:
    error = {"kind": "exception", "type": "ValueError", "message": "<bad>", "hint": "Look & see."}
    frames = 'File "flights.py", line 41, in train\nValueError: <bad>'

    html = run_html(
        document(
            stage("train", "failed", error=error, traceback=frames),
            stage("deploy", "upstream_failed", None),
            state="failed",
        )
    )

    assert "train failed: ValueError: &lt;bad&gt;" in html
    assert "hint: Look &amp; see." in html
    assert "<pre>File &quot;flights.py&quot;, line 41, in train</pre>" in html
    assert "not run because of that: deploy" in html


def test_a_run_that_succeeded_shows_what_the_pipeline_returned() -> None:
    html = run_html(document(stage("train", "succeeded"), model="sha256:abc", receipt=None))

    assert "sha256:abc" in html and "skipped" in html


def test_a_fan_out_of_ten_thousand_is_a_short_page() -> None:
    error = {"kind": "exception", "type": "ValueError", "message": "bad", "hint": None}
    items = [stage(f"score#{number}", "failed", error=error) for number in range(10_000)]

    html = run_html(
        document(*items, *(stage(f"s{number}", "succeeded") for number in range(500)), state="failed")
    )

    assert "score (10,000 of them)" in html and "and 471 more" in html
    assert len(html) < 20_000
