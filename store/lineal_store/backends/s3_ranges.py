"""An object of S3 as a file that is read: by ranges, some of them ahead of the reader."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

RANGE_BYTES = 8 << 20

_AHEAD = 3
# A stream whose first bytes alone are looked at, as previews do, is not worth reading ahead in.
_LOOKED_AT_BYTES = 1 << 20


class Ranges(io.RawIOBase):
    """An object of ``size_bytes``, read by ranges, of which a few are under way ahead of who reads on.

    ``begin`` asks for the range that starts at an offset, ``result`` waits for it; ``first`` is what is known already.
    """

    def __init__(
        self,
        size_bytes: int,
        first: bytes | memoryview,
        begin: Callable[[int], Future[bytes | memoryview]],
        result: Callable[[Future[bytes | memoryview]], bytes | memoryview],
    ) -> None:
        self._size, self._begin, self._result = size_bytes, begin, result
        self._position = 0
        self._held: tuple[int, memoryview] | None = (0, memoryview(first))
        self._ahead: dict[int, Future[bytes | memoryview]] = {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"there is nothing before the start: {start + offset}")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        piece = self._rest()[: len(target)]
        target[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def readall(self) -> bytes:
        pieces = []
        while piece := self._rest():
            pieces.append(piece)
            self._position += len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        for range_ in self._ahead.values():
            range_.cancel()
        self._ahead.clear()
        super().close()

    def _rest(self) -> memoryview:
        """What is held, or comes next, from the position on; empty at the end."""
        if self._position >= self._size:
            return memoryview(b"")
        start = self._position - self._position % RANGE_BYTES
        if self._held is None or self._held[0] != start:
            self._held = None
            self._read_ahead(start, start)
            self._held = start, memoryview(self._result(self._ahead.pop(start)))
        if self._position >= _LOOKED_AT_BYTES:
            self._read_ahead(start + RANGE_BYTES, start)
        return self._held[1][self._position - start :]

    def _read_ahead(self, start: int, position: int) -> None:
        """See that the ranges from ``start`` on are under way, and none that is not near ``position``."""
        end = min(position + (_AHEAD + 1) * RANGE_BYTES, self._size)
        for other in [other for other in self._ahead if not position <= other < end]:
            self._ahead.pop(other).cancel()
        for wanted in range(start, end, RANGE_BYTES):
            if wanted not in self._ahead:
                self._ahead[wanted] = self._begin(wanted)
