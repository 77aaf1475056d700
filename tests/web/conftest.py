"""A project with schedules, looked after by nobody, and what answers of it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from lineal.api.config import load_configuration
from lineal.api.serve import Served
from lineal_web.app import make_app
from lineal_web.prometheus import Metrics
from lineal_web.watching import Watched, checker

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOST = "127.0.0.1:8420"
PROJECT = """
[[schedules]]
name = "labels"
on = { webhook = "labels", secret = "${LABELS_KEY}" }

[[schedules]]
name = "nightly"
cron = "30 2 * * *"
"""


@dataclass
class Site:
    """A project in ``root`` and what answers of it; ``now`` and ``monotonic`` are what the clocks say."""

    root: Path
    now: datetime = NOON
    monotonic: float = 0.0
    logged: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.served = Served(
            lambda: load_configuration(self.root, environ={}), {}, self.log, most_runs=1, log_form="text"
        )
        self.metrics = Metrics({"project": self.served}, lambda: self.now)
        self.watched = Watched("project", checker(self.served), lambda: self.monotonic)

    def log(self, at: datetime, level: str, message: str, **facts: object) -> None:
        self.logged.append((level, message))

    def take_up(self) -> None:
        """What a scheduler does first."""
        with self.served.open_state() as state:
            state.take_up({name: each.timing for name, each in self.served.schedules.items()}, self.now)

    @cached_property
    def client(self) -> TestClient:
        return self.client_of(self.metrics.text)

    def client_of(self, metrics: Callable[[], bytes] | None) -> TestClient:
        projects = {"project": self.served}
        app = make_app(projects, [self.watched], metrics, {HOST}, self.log, lambda: self.now)
        return TestClient(app, base_url=f"http://{HOST}", raise_server_exceptions=False)

    def call(self, body: bytes = b"{}", *, name: str = "labels", **headers: str) -> Any:
        """Call a webhook; without other headers signed with its key, now."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return self.client.post(f"/hooks/{name}", content=body, headers=named or self.signed(body))

    def signed(self, body: bytes, *, key: bytes = b"a key", late_seconds: int = 0) -> dict[str, str]:
        at = int(self.now.timestamp()) - late_seconds
        return {
            "Lineal-Signature": f"t={at},v1={hmac.new(key, b'%d.%b' % (at, body), hashlib.sha256).hexdigest()}"
        }

    def jobs(self) -> list[Any]:
        with self.served.open_state() as state:
            return state.jobs()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("LABELS_KEY", "a key")
    root = tmp_path / "project"
    root.mkdir()
    (root / "lineal.toml").write_text(PROJECT)
    site = Site(root)
    site.take_up()
    return site
