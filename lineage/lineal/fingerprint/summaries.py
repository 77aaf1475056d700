"""Summaries of files, kept by the hash of their bytes: in this process, and in a file between processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xxhash

from lineal.fingerprint.syntax import Summary, summarize

if TYPE_CHECKING:
    from lineal.fingerprint.sources import Sources

_MOST_KEPT = 20_000
_kept: dict[bytes, Summary] = {}


class Summaries:
    """The summaries of files, by the hash of their bytes."""

    def get(self, sources: Sources, file: str) -> Summary:
        """The summary of ``file``; FingerprintError when it cannot be read or parsed."""
        data = sources.read(file)
        key = xxhash.xxh3_128_digest(data)
        found = _kept.get(key)
        if found is None:
            found = summarize(data, file)
            if len(_kept) >= _MOST_KEPT:
                _kept.clear()
            _kept[key] = found
        return found
