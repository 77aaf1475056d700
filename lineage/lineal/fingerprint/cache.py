"""What fingerprinting found out, kept in a file between processes: summaries of files, and fingerprints of an
unchanged project.

Losing the file costs time only. It is read whole, checked by a hash, and written atomically; a damaged one,
or one of another version of Python or of Lineal's summaries, counts as empty.
"""

from __future__ import annotations

import contextlib
import marshal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from lineal.notes import write_note

if TYPE_CHECKING:
    from lineal.fingerprint.syntax import Summary

_MAGIC = f"lineal fingerprints 1 {sys.version_info[0]}.{sys.version_info[1]}\n".encode()
_MOST_SUMMARIES = 20_000
_MOST_RESULTS = 5_000


class SummaryCache:
    """The file at ``path``: summaries by the hash of the source, and results by the hash of all they depend
    on.

    Nothing is written before `save`. What was asked for last is kept longest.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._summaries: dict[bytes, bytes] = {}
        self._results: dict[bytes, bytes] = {}
        self._loaded = False
        self._changed = False

    def find_summary(self, key: bytes) -> Summary | None:
        """The summary of the source with this hash, or None."""
        self._load()
        data = self._summaries.get(key)
        if data is None:
            return None
        from lineal.fingerprint.flat import summary_from

        return summary_from(marshal.loads(data))

    def keep_summary(self, key: bytes, summary: Summary) -> None:
        """Remember the summary of the source with this hash."""
        from lineal.fingerprint.flat import flat

        self._load()
        self._summaries[key] = marshal.dumps(flat(summary))
        self._changed = True

    def find_result(self, key: bytes) -> Any:
        """What was kept under ``key`` (plain tuples, text and numbers), or None."""
        self._load()
        data = self._results.get(key)
        return None if data is None else marshal.loads(data)

    def keep_result(self, key: bytes, result: Any) -> None:
        """Remember ``result`` (plain tuples, text and numbers) under ``key``."""
        self._load()
        self._results[key] = marshal.dumps(result)
        self._changed = True

    def save(self) -> None:
        """Write what is new; nothing when nothing is, or where the file cannot be written."""
        if not self._changed:
            return
        body = marshal.dumps((_last(self._summaries, _MOST_SUMMARIES), _last(self._results, _MOST_RESULTS)))
        with contextlib.suppress(OSError):  # a read-only project: the next run takes longer
            write_note(self.path, _MAGIC + xxhash.xxh3_128_digest(body) + body)
        self._changed = False

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        try:
            data = self.path.read_bytes()
        except OSError:
            return
        start = len(_MAGIC) + 16
        if data[: len(_MAGIC)] != _MAGIC or xxhash.xxh3_128_digest(data[start:]) != data[len(_MAGIC) : start]:
            return
        self._summaries, self._results = marshal.loads(memoryview(data)[start:])


def _last(entries: dict[bytes, bytes], most: int) -> dict[bytes, bytes]:
    return entries if len(entries) <= most else dict(list(entries.items())[-most:])
