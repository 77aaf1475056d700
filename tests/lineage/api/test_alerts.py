"""Runs that take longer than usual are told of while they go on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from lineal.alerts import rules, tell
from lineal.alerts.outbox import Outbox
from lineal.api import alerts
from lineal.api.project import open_project

FLOW = """
import time
from pathlib import Path

from lineal import pipeline, stage


@stage(cache=False)
def wait(file: str, told: str) -> int:
    end = time.monotonic() + 60
    while Path(file).exists() and not list(Path(told).glob("*.json")) and time.monotonic() < end:
        time.sleep(0.01)
    return 1


@pipeline
def flow(file: str, told: str) -> int:
    return wait(file, told)
"""


def test_a_stage_that_takes_longer_than_usual_is_told_of_before_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage ends when the message is there: it is told while the stage runs, or not at all."""
    monkeypatch.setattr(tell, "start_deliverer", lambda root: None)
    monkeypatch.setattr(alerts, "LOOKS_AGAIN_SECONDS", 0.05)
    (tmp_path / "slow_flow.py").write_text(FLOW)
    (tmp_path / "lineal.toml").write_text(
        'namespace = "tests"\nexecutor = "inline"\n[[alerts]]\nto = "command:true"\non = ["slow"]\n'
    )
    hangs, outbox = tmp_path / "hangs", tmp_path / ".lineal" / "outbox"
    monkeypatch.syspath_prepend(tmp_path)
    given = ["slow_flow.py", [f"file={hangs}", f"told={outbox}"]]
    project = open_project(tmp_path)

    def run() -> dict[str, Any]:
        sys.modules.pop("slow_flow", None)
        return project.run(*given)  # type: ignore[arg-type]

    assert run()["state"] == "succeeded"
    assert Outbox(tmp_path).due() == []
    hangs.touch()
    monkeypatch.setattr(rules, "_LEAST_SLOWER_SECONDS", 0.1)
    document = run()

    assert document["state"] == "succeeded" and document["warnings"] == []
    ((_, name),) = Outbox(tmp_path).due()
    told = Outbox(tmp_path).find(name)
    assert told is not None
    assert (told.message["event"], told.message["state"], told.message["stage"]) == (
        "slow",
        "running",
        "wait",
    )
