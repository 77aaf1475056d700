"""Mutable names made of immutable entries: a ref is a log, and its newest entry is its value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from lineal_store.errors import CorruptRecord, InvalidName
from lineal_store.protocols import Backend, Upload, is_name

_PREFIX = "refs/"
_RETIRED = "refs/retired/"  # kept by ``actions``, and no ref
_ENTRY = re.compile(r"refs/(.+)/([0-9]{8})")
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789._-")


class Refs:
    """The refs of one store. An entry is created once under the next number, which is what makes the swap compare.

    A name is any text of ``/``-separated, non-empty segments (else InvalidName); entries are opaque bytes, numbered
    from 1.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def append(self, name: str, data: bytes) -> int:
        """Add an entry, durable on return; its number. Of writers at the same time each gets a number of its own."""
        folder = _folder(name)
        seq = max(self._numbers(folder), default=0) + 1
        while not self._create(folder, seq, data):
            seq += 1
        return seq

    def compare_and_append(self, name: str, expected_seq: int, data: bytes) -> bool:
        """Add an entry if the newest one is ``expected_seq`` (0: if there is none); whether it was added."""
        folder = _folder(name)
        if max(self._numbers(folder), default=0) != expected_seq:
            return False
        return self._create(folder, expected_seq + 1, data)

    def log(self, name: str) -> Sequence[bytes]:
        """Every entry, oldest first; none when there is no such ref. CorruptRecord when one is missing."""
        folder = _folder(name)
        numbers = self._numbers(folder)
        names = [_entry(folder, seq) for seq in range(1, max(numbers, default=0) + 1)]
        found = self._backend.read_many(names)
        for entry in names:
            if entry not in found:
                raise CorruptRecord(entry, "it is missing from its log")
        return [found[entry] for entry in names]

    def newest(self, name: str) -> tuple[int, bytes] | None:
        """The newest entry and its number, or None when there is no such ref."""
        folder = _folder(name)
        seq = max(self._numbers(folder), default=0)
        return (seq, self._backend.read(_entry(folder, seq))) if seq else None

    def names(self, prefix: str = "") -> Sequence[str]:
        """The names of all refs that start with ``prefix``, sorted.

        CorruptRecord for an object among them that is not named as a ref's entry.
        """
        above = prefix.rpartition("/")[0]
        names = set()
        for info in self._backend.list(_folder(above) if above else _PREFIX):
            if not info.name.startswith(_RETIRED):
                names.add(_parse(info.name)[0])
        return sorted(name for name in names if name.startswith(prefix))

    @staticmethod
    def folder(name: str) -> str:
        """The prefix that the objects of the ref's entries share, with a final slash."""
        return _folder(name)

    def _numbers(self, folder: str) -> Iterator[int]:
        for info in self._backend.list(folder):
            last = info.name[len(folder) :]
            if "/" not in last:  # else the entry of another ref, whose name goes on below this one
                yield _parse(info.name)[1]

    def _create(self, folder: str, seq: int, data: bytes) -> bool:
        return self._backend.create([Upload(_entry(folder, seq), data)])[0]


def quote(name: str) -> str:
    """The part of an object's name that stands for the ref ``name``; InvalidName when it cannot be one.

    Lowercase ASCII letters, digits and ``. _ -`` stand for themselves, every other byte of the UTF-8 for ``=`` and
    two lowercase hex digits. So does a segment's first character where the segment would start with a dot, be
    only digits (an entry's number), or be the first and ``retired``: any name is free for users.

    >>> quote("tags/v1.0 RC/2026")
    'tags/v1.0=20=52=43/=32026'
    """
    try:
        segments = [segment.encode() for segment in name.split("/")]
    except UnicodeEncodeError:
        raise InvalidName(name, "cannot name a ref: it is not Unicode text") from None
    if not all(segments):
        raise InvalidName(name, "cannot name a ref: it has an empty part", "Join parts by single slashes.")
    quoted = "/".join(_quote_segment(segment, first=not at) for at, segment in enumerate(segments))
    if not is_name(f"{_PREFIX}{quoted}/{0:08}"):
        raise InvalidName(name[:80], "cannot name a ref: it is too long")
    return quoted


def unquote(quoted: str) -> str:
    """The name that ``quote`` made ``quoted`` of; CorruptRecord for any other text."""
    parts = quoted.split("=")
    try:
        data = parts[0].encode() + b"".join(bytes.fromhex(part[:2]) + part[2:].encode() for part in parts[1:])
        name = data.decode()
        if quote(name) == quoted:
            return name
    except ValueError:
        pass
    raise CorruptRecord(_PREFIX + quoted, "no ref is named so")


def _quote_segment(segment: bytes, *, first: bool) -> str:
    escape_first = segment[:1] == b"." or segment.isdigit() or (first and segment == b"retired")
    return "".join(
        chr(byte) if byte in _PLAIN and not (escape_first and at == 0) else f"={byte:02x}"
        for at, byte in enumerate(segment)
    )


def _folder(name: str) -> str:
    return f"{_PREFIX}{quote(name)}/"


def _entry(folder: str, seq: int) -> str:
    return f"{folder}{seq:08}"


def _parse(object_name: str) -> tuple[str, int]:
    match = _ENTRY.fullmatch(object_name)
    if match is None or match[2] == "00000000":
        raise CorruptRecord(object_name, "no entry of a ref is named so")
    return unquote(match[1]), int(match[2])
