"""`lineal serve`: whether and where it answers HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import lineal.api.serve
import lineal_web.listening
from lineal_cli.commands import serve


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the daemon was told, which ends at once."""
    told: dict[str, Any] = {}

    def end(projects: object, variables: object, **options: Any) -> dict[str, Any]:
        told.update(options)
        return {"going_on": []}

    monkeypatch.setattr(lineal.api.serve, "serve_projects", end)
    monkeypatch.setattr(lineal_web.listening, "answering_at", lambda *given: given)
    return told


def test_http_is_answered_for_this_machine_where_nothing_else_is_said(
    call: Callable[..., Any], served: dict[str, Any]
) -> None:
    assert call("serve").exit_code == 0
    assert served["beside"] == ("127.0.0.1:8420", ())


def test_it_may_be_answered_elsewhere_or_not_at_all(call: Callable[..., Any], served: dict[str, Any]) -> None:
    call("serve", "--listen", "0.0.0.0:80", "--host-name", "a", "--host-name", "b")
    assert served["beside"] == ("0.0.0.0:80", ("a", "b"))

    call("serve", "--no-http")
    assert served["beside"] is None


def test_without_what_it_needs_schedules_are_looked_after_all_the_same(
    call: Callable[..., Any], served: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "find_spec", lambda name: None)

    called = call("serve")

    assert called.exit_code == 0
    assert served["beside"] is None
    assert "pip install 'lineal[web,metrics]'" in called.stderr


def test_who_asks_for_what_is_not_installed_is_told_so(
    call: Callable[..., Any], served: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "find_spec", lambda name: None)

    called = call("serve", "--listen", "127.0.0.1:8420")

    assert called.exit_code == 2
    assert "pip install 'lineal[web,metrics]'" in called.stderr
    assert served == {}
