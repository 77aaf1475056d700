"""What docs/schedules.md shows is what the commands print, and their documents fit the schemas."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text("utf-8")
[CONFIGURATION] = re.findall(r"<!-- file: lineal.toml -->\n```toml\n(.*?)```", PAGE, re.DOTALL)
SESSIONS = re.findall(r"```console\n\$ (lineal .*?)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lineal.toml").write_text(CONFIGURATION, "utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("typed", "shown"), SESSIONS, ids=[typed for typed, _ in SESSIONS])
def test_a_session_of_the_page_is_as_it_is_shown(call: Callable[..., Any], typed: str, shown: str) -> None:
    _, *arguments = shlex.split(typed)

    called = call(*arguments)

    assert (called.exit_code, called.stdout) == (0, shown)


def test_every_policy_is_shown_at_work() -> None:
    assert {word for typed, _ in SESSIONS for word in typed.split() if word.startswith("--")} == {
        "--from",
        "--to",
        "--down",
        "--takes",
    }
    for told in (
        "does not exist",
        "happens twice: its first",
        "the second of both",
        "missed",
        "still goes on",
    ):
        assert any(told in shown for _, shown in SESSIONS), told


def test_the_documents_fit_their_schemas(
    call: Callable[..., Any], misfits: Callable[[Any, str], list[str]]
) -> None:
    listed = call("schedule", "list", "--json").document
    simulated = call(
        "schedule", "simulate", "--json", "--down", "2026-03-29/2026-04-01", "--from", "2026-03-28"
    ).document

    assert misfits(listed, "schedule_list") == misfits(simulated, "schedule_simulate") == []
    assert [schedule["name"] for schedule in listed["schedules"]] == [
        "nightly",
        "hourly",
        "mirror",
        "on data",
    ]
    assert simulated["ticks"]
    assert simulated["passed_over"]


def test_an_unknown_schedule_exits_with_1_and_a_wrong_date_with_2(call: Callable[..., Any]) -> None:
    assert call("schedule", "simulate", "nightley").exit_code == 1
    assert call("schedule", "simulate", "--from", "soon").exit_code == 2


def test_a_wrong_schedule_is_refused_by_every_command(call: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "lineal.toml").write_text(CONFIGURATION.replace("30 2", "30 24"), "utf-8")

    for command in (["schedule", "list"], ["runs"]):
        called = call(*command, "--json")
        assert called.exit_code == 2
        assert "schedules[1].cron: hour: '24'" in called.document["error"]["message"]
