"""A directory as a value: which files it holds, with their modes, digests and sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lineal_store import canonical
from lineal_store.digest import Digest
from lineal_store.errors import CorruptRecord, InvalidName

MAX_TREE_BYTES = 64 << 20
"""A tree is a blob, not a record: some 500,000 files fit."""

MODES = (0o644, 0o755)
"""An ordinary file, and one that may be executed; no other permissions are kept."""

_FORMAT = "lineal.tree/1"
_MAX_SEGMENT_BYTES = 255


class TreeEntry(NamedTuple):
    """One file: its path below the directory (``/``-separated), its mode (one of MODES), its content."""

    path: str
    mode: int
    digest: Digest
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Tree:
    """The files of a directory, sorted by path; directories exist by the files in them.

    InvalidName for a path that is absolute, has an empty part, ``.``, ``..``, a backslash or a NUL, or is too long;
    ValueError when the entries are unsorted, name a path twice, name a file as the directory of another, or have a
    mode or size that a file cannot have.
    """

    entries: tuple[TreeEntry, ...]

    def __post_init__(self) -> None:
        before: str | None = None
        files = {entry.path for entry in self.entries}
        for entry in self.entries:
            _check_path(entry.path)
            if before is not None and entry.path <= before:
                raise ValueError(f"a tree's paths are sorted, each once: {entry.path!r:.200}")
            if entry.mode not in MODES or entry.size_bytes < 0:
                raise ValueError(f"no file has this mode or size: {entry.path!r:.200}")
            above = entry.path.rpartition("/")[0]
            while above:
                if above in files:
                    raise ValueError(f"a file and a directory have the same path: {above!r:.200}")
                above = above.rpartition("/")[0]
            before = entry.path

    @property
    def size_bytes(self) -> int:
        """The sizes of all files together."""
        return sum(entry.size_bytes for entry in self.entries)

    def encode(self) -> bytes:
        """The tree's canonical bytes, whose digest names it; RecordTooLarge beyond MAX_TREE_BYTES."""
        rows = [
            [entry.path, entry.mode, bytes.fromhex(entry.digest.hex), entry.size_bytes]
            for entry in self.entries
        ]
        return canonical.encode({"entries": rows, "format": _FORMAT}, limit=MAX_TREE_BYTES)

    @classmethod
    def decode(cls, data: bytes, *, what: str = "a tree") -> Tree:
        """The tree that ``data`` is the encoding of; CorruptRecord (naming ``what``) for any other bytes."""
        record = canonical.decode(data, what=what, limit=MAX_TREE_BYTES)
        if (
            not isinstance(record, dict)
            or set(record) != {"entries", "format"}
            or record["format"] != _FORMAT
        ):
            raise CorruptRecord(what, "it is no tree")
        rows = record["entries"]
        if not isinstance(rows, list):
            raise CorruptRecord(what, "it is no tree")
        try:
            return cls(tuple(_entry(row) for row in rows))
        except (InvalidName, ValueError) as refusal:
            raise CorruptRecord(what, str(refusal)) from None


def _entry(row: object) -> TreeEntry:
    match row:
        case [str(path), int(mode), bytes(digest), int(size)] if (
            len(digest) == 32 and type(size) is type(mode) is int
        ):
            return TreeEntry(path, mode, Digest(digest.hex()), size)
    raise ValueError("an entry of a tree is a path, a mode, 32 bytes of digest and a size")


def _check_path(path: str) -> None:
    for segment in path.split("/"):
        if segment in ("", ".", "..") or "\\" in segment or "\0" in segment:
            raise InvalidName(path, "cannot be a path in a tree")
        try:
            size = len(segment.encode())
        except UnicodeEncodeError:
            raise InvalidName(path, "cannot be a path in a tree: it is not Unicode text") from None
        if size > _MAX_SEGMENT_BYTES:
            raise InvalidName(path, "cannot be a path in a tree: a part of it is too long")
