"""Is everything there, and whole? Looks, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lineal_store.blobs import parse_name
from lineal_store.digest import Digest
from lineal_store.errors import CorruptRecord
from lineal_store.store import Store


@dataclass(frozen=True, slots=True)
class Bad:
    """A blob (``what`` is its digest as text) or an object (its name) with a problem, in words."""

    what: str
    problem: str


@dataclass(frozen=True, slots=True)
class Report:
    """How many blobs were looked at, and what was found, sorted by ``what``."""

    checked: int
    bad: tuple[Bad, ...]


def check(store: Store, *, read_data: bool, referenced: Iterable[tuple[Digest, int]] = ()) -> Report:
    """Look at every blob, and at those that records name with a size (``referenced``).

    Without ``read_data`` only presence, names and sizes are compared; with it everything is read and hashed.
    """
    expected: dict[Digest, set[int]] = {}
    for digest, size in referenced:
        expected.setdefault(digest, set()).add(size)
    bad: list[Bad] = []
    present: set[Digest] = set()
    for info in store.backend.list("blobs/"):
        try:
            digest = parse_name(info.name)
        except CorruptRecord as error:
            bad.append(Bad(info.name, error.problem))
            continue
        present.add(digest)
        problem = store.blobs.verify(digest) if read_data else None
        wrong = sorted(expected.get(digest, set()) - {info.size_bytes})
        if problem is None and wrong:
            problem = f"has {info.size_bytes} bytes, and is recorded with {wrong[0]}"
        if problem is not None:
            bad.append(Bad(str(digest), problem))
    missing = expected.keys() - present
    bad += [Bad(str(digest), "is missing") for digest in missing]
    return Report(len(present) + len(missing), tuple(sorted(bad, key=lambda one: one.what)))
