"""A backend in front of a remote one, with copies of its objects on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from lineal_store.copies import Copies, is_blob
from lineal_store.protocols import Backend, ObjectInfo, Upload, check_name


class CachingBackend:
    """The backend ``wrapped``, with copies of its objects in ``folder``, about ``limit_bytes`` of them.

    An object is created once, and what replaces a damaged blob is the blob: an object that was read or created once
    is given from its copy from then on, also when another machine has deleted it since. Absence is never
    remembered; ``find``, ``list`` and ``folders`` ask the wrapped backend.

    Every copy is checked when it is used. One that is damaged is dropped, and the object fetched again. A copy that
    cannot be kept (no room, no right to write, an object of more than a quarter of the limit) is no error.

    Processes and threads of one user may share a folder, and may be killed at any time. Nothing in it is worth
    flushing: it may be deleted whole or in part, also while it is used.
    """

    def __init__(
        self,
        backend: Backend,
        folder: Path,
        limit_bytes: int,
        *,
        clock_nanoseconds: Callable[[], int] = time.time_ns,
    ) -> None:
        self.wrapped = backend
        self.fetched = 0  # objects that had to be read from the wrapped backend
        self._copies = Copies(folder, limit_bytes, clock_nanoseconds)

    @property
    def url(self) -> str:
        return self.wrapped.url

    @property
    def remote(self) -> bool:
        return self.wrapped.remote

    def create(self, uploads: Sequence[Upload]) -> Sequence[bool]:
        for upload in uploads:
            check_name(upload.name)
        second_names: dict[int, str] = {}
        try:
            for place, upload in enumerate(uploads):
                # The wrapped backend consumes the file; by another name it outlives that.
                if isinstance(upload.source, Path) and is_blob(upload.name):
                    temporary = self._copies.link(upload.source)
                    if temporary is not None:
                        second_names[place] = temporary
                # There is no copy of what is created, unless it is of an object that was deleted elsewhere.
                if not is_blob(upload.name):
                    self._copies.drop(upload.name)
            made = self.wrapped.create(uploads)
            last: dict[str, int] = {}  # of a batch that creates a name and replaces it
            for place, (upload, is_ours) in enumerate(zip(uploads, made, strict=True)):
                # Of what was there we know the bytes by their name, or not at all.
                if is_ours or (is_blob(upload.name) and self._copies.find_raw(upload.name) is None):
                    last[upload.name] = place
            for name, place in last.items():
                source = uploads[place].source
                if isinstance(source, bytes):
                    self._copies.keep(name, source)
                elif place in second_names:
                    self._copies.adopt(name, second_names[place])
        finally:
            self._copies.discard(second_names.values())
        return made

    def read(self, name: str) -> bytes:
        check_name(name)
        data = self._copies.read(name)
        if data is None:
            data = self.wrapped.read(name)
            self.fetched += 1
            self._copies.keep(name, data)
        return data

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        wanted = dict.fromkeys(names)
        for name in wanted:
            check_name(name)
        held = {name: data for name in wanted if (data := self._copies.read(name)) is not None}
        rest = [name for name in wanted if name not in held]
        fetched = self.wrapped.read_many(rest) if rest else {}
        self.fetched += len(fetched)
        for name, data in fetched.items():
            self._copies.keep(name, data)
        found = held | fetched
        return {name: found[name] for name in wanted if name in found}

    def open(self, name: str) -> BinaryIO:
        check_name(name)
        stream = self._copies.open(name)
        return stream if stream is not None else self._copies.keep_stream(name, self.wrapped.open)

    def find(self, names: Iterable[str]) -> dict[str, ObjectInfo]:
        return self.wrapped.find(names)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self.wrapped.list(prefix)

    def folders(self, prefix: str) -> Sequence[str]:
        return self.wrapped.folders(prefix)

    def delete(self, names: Iterable[str]) -> None:
        wanted = list(names)
        for name in wanted:
            check_name(name)
        try:
            self.wrapped.delete(wanted)
        finally:  # of a batch that failed, some may be gone
            for name in wanted:
                self._copies.drop(name)

    def local_path(self, name: str) -> Path | None:
        """The copy of a blob that was read or created before, unchecked (``open`` checks it); else None."""
        check_name(name)
        return self._copies.find_raw(name)

    def spool(self) -> Path:
        return self.wrapped.spool()

    def discard_spool(self) -> None:
        self.wrapped.discard_spool()

    def trim(self) -> int:
        """Remove the copies that were used longest ago, to four fifths of the limit if they exceed it; bytes removed.

        Also removes what processes that died more than a day ago have left behind. A process that adds copies does
        this by itself every now and then; one that is done should, too.
        """
        return self._copies.trim()
