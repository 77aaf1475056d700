"""The list of what a mapped stage returned, as a tree: a file for each output of each of its calls.

A file is called ``00000012.model.sklearn``: the place of the call, the output, its codec, and of a file how its name ends.
A directory is a folder of that name, or where it is empty a file that holds its own, empty tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct, field

from lineal_store import Digest
from lineal_store.errors import CorruptRecord
from lineal_store.tree import Tree, TreeEntry


class Member(Struct, frozen=True):
    """One output of one call; of a directory that is not empty, its files by their paths within it."""

    codec: str
    suffix: str
    digest: Digest | None
    files: dict[str, Digest] = field(default_factory=dict)


def entries_of(
    place: int, output: str, codec: str, suffix: str, digest: Digest, size_bytes: int, tree: Tree | None
) -> Iterator[TreeEntry]:
    """The entries of one output; ``tree`` is that of a directory."""
    path = f"{place:08}.{output}.{codec}{suffix}"
    if tree is None or not tree.entries:
        yield TreeEntry(path, 0o644, digest, size_bytes)
        return
    for entry in tree.entries:
        yield TreeEntry(f"{path}/{entry.path}", entry.mode, entry.digest, entry.size_bytes)


def listed(entries: Iterable[TreeEntry]) -> Tree:
    """The tree of a list, in its canonical order."""
    return Tree(tuple(sorted(entries, key=lambda entry: entry.path)))


def read_list(tree: Tree, what: str) -> list[dict[str, Member]]:
    """What the calls returned, in their order, each by output. CorruptRecord, naming ``what``, for another tree."""
    calls: list[dict[str, Member]] = []
    for entry in tree.entries:
        name, _, within = entry.path.partition("/")
        place, _, rest = name.partition(".")
        output, _, rest = rest.partition(".")
        codec, dot, ending = rest.partition(".")
        if not (len(place) == 8 and place.isdecimal() and output and codec):
            raise CorruptRecord(what, f"it has a file called {entry.path!r:.200}")
        if int(place) == len(calls):
            calls.append({})
        if int(place) != len(calls) - 1 or (not within and output in calls[-1]):
            raise CorruptRecord(what, f"{entry.path!r:.200} is not in its place")
        digest = None if within else entry.digest
        member = calls[-1].setdefault(output, Member(codec, dot + ending, digest))
        if within:
            member.files[within] = entry.digest
    return calls
