"""The memory backend conforms."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lineal_store.backends.memory import MemoryBackend
from lineal_store.protocols import Backend, ObjectInfo
from lineal_store.testing import BackendTests


class TestMemoryBackend(BackendTests):
    @pytest.fixture
    def backend(self) -> Backend:
        return MemoryBackend("test")

    def plant(self, backend: Backend, name: str, data: bytes) -> None:
        assert isinstance(backend, MemoryBackend)
        backend._objects[name] = data, ObjectInfo(name, len(data), datetime.now(UTC))

    def peek(self, backend: Backend, name: str) -> bytes | None:
        assert isinstance(backend, MemoryBackend)
        return backend._objects[name][0] if name in backend._objects else None
