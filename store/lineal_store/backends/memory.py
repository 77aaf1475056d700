"""A backend in this process's memory: for tests, and the model that other backends are tested against."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lineal_store.errors import ObjectMissing
from lineal_store.protocols import ObjectInfo, Upload, check_folder, check_name, split_prefix

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory


class MemoryBackend:
    """Objects in a dict; safe to use from several threads, gone with the process."""

    def __init__(self, name: str = "") -> None:
        self._url = f"memory://{name}"
        self._objects: dict[str, tuple[bytes, ObjectInfo]] = {}
        self._lock = threading.Lock()
        self._spool: TemporaryDirectory[str] | None = None

    @property
    def url(self) -> str:
        return self._url

    @property
    def remote(self) -> bool:
        return False

    def create(self, uploads: Sequence[Upload]) -> Sequence[bool]:
        for upload in uploads:
            check_name(upload.name)
            self._check_source(upload.source)
        contents = [u.source if isinstance(u.source, bytes) else u.source.read_bytes() for u in uploads]
        now = datetime.now(UTC)
        made = []
        with self._lock:
            for upload, data in zip(uploads, contents, strict=True):
                made.append(upload.replace or upload.name not in self._objects)
                if made[-1]:
                    self._objects[upload.name] = data, ObjectInfo(upload.name, len(data), now)
        for upload in uploads:
            if isinstance(upload.source, Path):
                upload.source.unlink(missing_ok=True)
        return made

    def read(self, name: str) -> bytes:
        check_name(name)
        try:
            return self._objects[name][0]
        except KeyError:
            raise ObjectMissing(self._url, name) from None

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        return {name: data for name, (data, _) in self._present(names)}

    def open(self, name: str) -> BinaryIO:
        return BytesIO(self.read(name))

    def find(self, names: Iterable[str]) -> dict[str, ObjectInfo]:
        return {name: info for name, (_, info) in self._present(names)}

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        split_prefix(prefix)
        with self._lock:
            found = [info for name, (_, info) in self._objects.items() if name.startswith(prefix)]
        return iter(sorted(found, key=lambda info: info.name))

    def folders(self, prefix: str) -> Sequence[str]:
        check_folder(prefix)
        with self._lock:
            below = [name[len(prefix) :] for name in self._objects if name.startswith(prefix)]
        return sorted({rest.partition("/")[0] for rest in below if "/" in rest})

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            check_name(name)
            self._objects.pop(name, None)

    def local_path(self, name: str) -> Path | None:
        check_name(name)
        return None

    def spool(self) -> Path:
        with self._lock:
            if self._spool is None:
                import tempfile

                self._spool = tempfile.TemporaryDirectory(prefix="lineal-spool-")
            return Path(self._spool.name)

    def discard_spool(self) -> None:
        with self._lock:
            if self._spool is not None:
                self._spool.cleanup()
                self._spool = None

    def _check_source(self, source: bytes | Path) -> None:
        """ValueError unless ``source`` is ours to consume."""
        if isinstance(source, bytes):
            return
        if not source.resolve(strict=True).is_relative_to(self.spool().resolve()):
            raise ValueError(f"{source} is no file in the spool directory of {self._url}")

    def _present(self, names: Iterable[str]) -> Iterator[tuple[str, tuple[bytes, ObjectInfo]]]:
        for name in names:
            check_name(name)
            held = self._objects.get(name)
            if held is not None:
                yield name, held
