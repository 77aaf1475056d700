"""``lineal doctor``: what it asks for, how findings are shown, and the code it exits with."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from lineal_cli.render.doctor import render_doctor

RENDERED = Path(__file__).parent / "rendered" / "doctor.txt"
Load = Callable[[str], Any]


def test_findings_are_shown_line_by_line_with_what_to_do_below(document: Load) -> None:
    shown = click.unstyle(render_doctor(document("doctor"))) + "\n"
    if os.environ.get("LINEAL_WRITE_GOLDEN"):
        RENDERED.write_text(shown, "utf-8")

    assert shown == RENDERED.read_text("utf-8")


def test_when_all_is_well_the_last_line_says_so(document: Load) -> None:
    findings = document("doctor")
    findings["checks"] = findings["checks"][:1]

    assert click.unstyle(render_doctor(findings)).splitlines()[-1] == "1 check, all is well"


def test_no_finding_can_move_the_cursor_and_one_of_several_lines_stays_in_its_column(document: Load) -> None:
    findings = document("doctor")
    findings["checks"][1] |= {"detail": "one\x1b[2J\ntwo\r", "hint": "first\nthen\x07"}

    shown = click.unstyle(render_doctor(findings))

    assert not {character for character in shown if ord(character) < 32} - {"\n"}
    [column] = {
        line.index(word)
        for line in shown.splitlines()
        for word in ("one", "two", "hint: first")
        if word in line
    }
    assert f"\n{' ' * column}      then" in shown


@pytest.mark.parametrize(
    ("failing", "exit_code"), [([], 0), (["python"], 1), (["store"], 5), (["python", "store writing"], 5)]
)
def test_it_exits_with_5_when_a_store_has_failed_and_with_1_when_something_else(
    project: Any, call: Callable[..., Any], document: Load, failing: list[str], exit_code: int
) -> None:
    findings = copy.deepcopy(document("doctor"))
    for check in findings["checks"]:
        check["state"] = "failed" if check["name"] in failing else "warning"
    project.answers["doctor"] = findings

    called = call("doctor", "--json")

    assert (called.exit_code, called.document) == (exit_code, findings)
    assert [(verb, given) for verb, given, _ in project.calls] == [("doctor", ())]


def test_the_store_to_look_at_may_be_given(project: Any, call: Callable[..., Any], document: Load) -> None:
    project.answers["doctor"] = document("doctor")

    call("doctor", "--store", "s3://ml/churn", "--profile", "production")

    [(_, options)] = project.opened
    assert options["profile"] == "production"
    assert options["overrides"]["store"] == "s3://ml/churn"


def test_a_configuration_that_cannot_be_read_exits_with_2(
    call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lineal.toml").write_text("stoer = 's3://ml/churn'\n")

    called = call("doctor", "--json")

    assert (called.exit_code, called.document["error"]["kind"]) == (2, "configuration")


def test_a_real_project_fits_the_schema(
    call: Callable[..., Any],
    misfits: Callable[[Any, str], list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LINEAL_STORE", raising=False)

    called = call("doctor", "--json")

    assert misfits(called.document, "doctor") == []
