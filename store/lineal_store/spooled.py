"""A file on its way into a store: what it holds is digested, and sent to the disk, while it is being written."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from lineal_store import durable
from lineal_store.digest import Digest
from lineal_store.identity import LARGE_BYTES, Identity, identity_of

if TYPE_CHECKING:
    from typing_extensions import Buffer

_CHUNK_BYTES = 1 << 18


class Written(NamedTuple):
    """What a file held when it had been written: true of it as long as it has this identity."""

    digest: Digest
    identity: Identity


class SpooledFile(io.RawIOBase):
    """The new, read-only file ``path``, to be written from its beginning to its end.

    Of a large one ``written`` is known when it is closed, and with ``flush`` the disk has it. The digest is not that of
    what was given to ``write``, which its owner may change: a thread that follows reads back what the file holds by then,
    and the system still has in memory. OSError as the operating system gives it.
    """

    def __init__(self, path: Path, *, flush: bool) -> None:
        self._descriptor = durable.create_file(str(path))
        self._flush = flush
        self._size = 0
        # How much there is to digest; None when that is all.
        self._ends: SimpleQueue[int | None] = SimpleQueue()
        self._digest: Digest | None = None
        self._follower: threading.Thread | None = None
        self.written: Written | None = None

    def writable(self) -> bool:
        """Yes, and nothing else: it is neither read nor sought in."""
        return True

    def write(self, data: Buffer, /) -> int:
        """Append all of ``data``; its size in bytes."""
        size = durable.write_all(self._descriptor, data)
        self._size += size
        if self._follower is None and self._size >= LARGE_BYTES:
            self._follower = threading.Thread(target=self._follow, name="digest", daemon=True)
            self._follower.start()
        self._ends.put(self._size)
        return size

    def close(self) -> None:
        """Wait for the digest, and with ``flush`` for the disk, which go on side by side."""
        if self.closed:
            return
        try:
            self._end()
        finally:
            os.close(self._descriptor)
            super().close()

    def _end(self) -> None:
        self._ends.put(None)
        if self._follower is None:
            return
        try:
            if self._flush:
                os.fsync(self._descriptor)
        finally:
            self._follower.join()
        if self._digest is not None:
            self.written = Written(self._digest, identity_of(self._descriptor))

    def _follow(self) -> None:
        running, done = hashlib.sha256(), 0
        while (end := self._ends.get()) is not None:
            while done < end:
                try:
                    chunk = os.pread(self._descriptor, min(_CHUNK_BYTES, end - done), done)
                except OSError:
                    return  # who reads all of it later is told
                if not chunk:
                    return  # it has been cut short
                running.update(chunk)
                done += len(chunk)
        self._digest = Digest(running.hexdigest())
