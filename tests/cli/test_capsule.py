"""``capsule create`` and ``capsule run`` as they are typed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lineal.api.capsule
from lineal.reproduce.archive import CapsuleRefused
from lineal_cli.commands.capsule import run
from lineal_cli.commands.reproduce import reproduce


def test_create_packs_what_was_named_into_a_file_from_here(
    project: Any, call: Callable[..., Any], document: Callable[[str], Any], tmp_path: Path
) -> None:
    project.answers["capsule_create"] = document("capsule_create")

    called = call("capsule", "create", "model.joblib", "-o", "model.lineal.tar.zst", "--json")

    assert (called.exit_code, called.document) == (0, document("capsule_create"))
    [(verb, given, _)] = project.calls
    assert (verb, given) == ("capsule_create", ("model.joblib", tmp_path / "model.lineal.tar.zst"))


def test_where_to_has_to_be_said(call: Callable[..., Any]) -> None:
    called = call("capsule", "create", "model.joblib")

    assert called.exit_code == 2
    assert "--output" in called.stderr


@pytest.mark.parametrize(("name", "code"), [("reproduce", 0), ("reproduce_different", 4)])
def test_run_answers_as_reproduce_does_and_opens_no_project(
    project: Any,
    call: Callable[..., Any],
    document: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    code: int,
) -> None:
    asked: list[Any] = []

    def run_capsule(path: Path, wish: Any, *, dry_run: bool, told: Any) -> Any:
        asked.append((path, wish.changes, wish.current_environment, dry_run))
        return document(name)

    monkeypatch.setattr(lineal.api.capsule, "run_capsule", run_capsule)

    called = call("capsule", "run", "model.lineal.tar.zst", "--with", "a=1", "--current-env", "--json")

    assert (called.exit_code, called.document) == (code, document(name))
    assert asked == [(Path("model.lineal.tar.zst"), ("a=1",), True, False)]
    assert project.opened == []


def test_a_file_that_is_no_capsule_exits_with_4(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise CapsuleRefused("model.bin", "it is no archive")

    monkeypatch.setattr(lineal.api.capsule, "run_capsule", refuse)

    called = call("capsule", "run", "model.bin")

    assert called.exit_code == 4
    assert called.stderr.startswith("error: model.bin cannot be used as a capsule: it is no archive\nhint: ")


def test_whatever_can_be_asked_of_a_reproduction_can_be_asked_of_a_capsule() -> None:
    settings = {"store", "profile", "namespace"}

    assert {option.name for option in run.params} - {"file"} == (
        {option.name for option in reproduce.params} - {"what"} - settings
    )
