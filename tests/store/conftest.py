"""A store in each place that needs no server."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineal_store import Store
from lineal_store.backends.local import LocalBackend
from lineal_store.backends.memory import MemoryBackend
from lineal_store.protocols import Backend


@pytest.fixture
def local(tmp_path: Path) -> LocalBackend:
    (tmp_path / "store").mkdir()
    return LocalBackend(tmp_path / "store")


@pytest.fixture(params=["memory", "local"])
def backend(request: pytest.FixtureRequest) -> Backend:
    backend: Backend = MemoryBackend() if request.param == "memory" else request.getfixturevalue("local")
    return backend


@pytest.fixture
def store(backend: Backend) -> Store:
    return Store(backend)
