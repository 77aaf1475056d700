"""The record of past reproductions: kept in the store beside what was reproduced, and told by its trace from then on."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from lineal.errors import LinealError
from lineal_store import Digest, Store
from lineal_store.errors import CorruptRecord
from lineal_store.sealed import seal, unseal

_FOLDER = "reproductions/"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt to make an artifact again ended: when (ISO 8601, UTC), by whom, in which environment.

    ``report`` is the digest of the JSON document that `lineal reproduce` printed.
    """

    verdict: str
    environment: str | None
    at: str
    who: str
    report: str


def keep_report(store: Store, digests: Iterable[str], entry: Entry) -> None:
    """Add ``entry`` to the log of each artifact; its report is in the store already."""
    for digest in digests:
        store.refs.append(_name(digest), seal(msgspec.to_builtins(entry)))


def find_entries(store: Store, digests: Collection[str]) -> dict[str, list[Entry]]:
    """The entries of those of ``digests`` that have some, oldest first. What cannot be read is passed over."""
    try:
        names = set(store.refs.names(_FOLDER))
    except CorruptRecord:
        return {}
    return {digest: _read(store, digest) for digest in digests if _name(digest) in names}


def _read(store: Store, digest: str) -> list[Entry]:
    found = []
    try:
        for data in store.refs.log(_name(digest)):
            entry: Any = unseal(data, what="the record of a reproduction")
            found.append(msgspec.convert(entry, Entry))
    except (LinealError, msgspec.ValidationError):
        pass  # `store verify` tells
    return found


def _name(digest: str) -> str:
    return _FOLDER + Digest.parse(digest).hex
