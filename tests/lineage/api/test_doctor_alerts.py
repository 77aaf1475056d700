"""What `lineal doctor` says of alerts, without sending anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineal.alerts import send
from lineal.api.config import Configuration
from lineal.api.doctor_alerts import check_alerts


def told(root: Path, to: str) -> tuple[str, str]:
    found = check_alerts(Configuration(root, "", alerts=({"to": to},)))
    return found.state, found.detail


def test_an_address_that_apprise_knows_is_fine(tmp_path: Path) -> None:
    assert told(tmp_path, "json://hooks.example/hunter2") == ("ok", "json://…")


def test_an_address_that_nobody_knows_is_told(tmp_path: Path) -> None:
    state, detail = told(tmp_path, "ftp://hooks.example/hunter2")

    assert state == "warning"
    assert detail == "ftp://… is no address that Lineal or apprise knows"


def test_that_apprise_is_not_there_is_told_with_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send, "find_spec", lambda name: None)
    state, detail = told(tmp_path, "json://hooks.example/hunter2")

    assert state == "warning"
    assert detail == "json://… needs apprise, which is not installed here: pip install 'lineal[alerts]'"
