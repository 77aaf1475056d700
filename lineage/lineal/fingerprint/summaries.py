"""Summaries of files, kept by the hash of their bytes: in this process, and in a file between processes."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import xxhash

from lineal.fingerprint.syntax import SUMMARY_VERSION, Summary, summarize

if TYPE_CHECKING:
    from lineal.fingerprint.cache import SummaryCache
    from lineal.fingerprint.sources import Sources

_MOST_KEPT = 20_000
_kept: dict[bytes, Summary] = {}


class Summaries:
    """The summaries of files by the hash of their bytes, kept in this process and, where there is one, in
    ``cache``.
    """

    def __init__(self, cache: SummaryCache | None = None) -> None:
        self._cache = cache

    def get(self, sources: Sources, file: str) -> Summary:
        """The summary of ``file``; FingerprintError when it cannot be read or parsed."""
        data = sources.read(file)
        key = xxhash.xxh3_128_digest(data, seed=SUMMARY_VERSION)
        found = _kept.get(key)
        if found is not None:
            return found
        if self._cache is not None:
            found = self._cache.find_summary(key)
        if found is None:
            found = _summarize(data, file)
            if self._cache is not None:
                self._cache.keep_summary(key, found)
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        _kept[key] = found
        return found


def _summarize(data: bytes, file: str) -> Summary:
    collecting = gc.isenabled()
    gc.disable()  # syntax trees hold no cycles, and looking for them takes as long as the parsing
    try:
        return summarize(data, file)
    finally:
        if collecting:
            gc.enable()
