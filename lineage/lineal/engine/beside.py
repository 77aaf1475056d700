"""What stages use besides the project's sources: kept with the run where there is anything, so that it can be rebuilt."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lineal.graph.records import Beside

if TYPE_CHECKING:
    from lineal.fingerprint.sources import Sources
    from lineal_store import Digest, Store
    from lineal_store.tree import TreeEntry

PROJECT, OUTSIDE = "project", "outside"
"""The folders of the tree."""


def keep_beside(
    store: Store, sources: Sources, read: Mapping[str, str], search: Callable[[], tuple[str, ...]]
) -> Beside | None:
    """Put the code that ``sources`` have from outside the project, and the declared files ``read`` (digests by name, as
    `hash_reads` gives them), into the store; nothing is stored twice. None where there is nothing.

    ``search`` gives the folders whose modules are used in place. A file that cannot be kept, or is no longer what it was when it
    was hashed, is left out.
    """
    outside = sources.outside()
    if not outside and not read:
        return None
    from lineal_store import Digest

    found = [*_code(sources, outside), *_files(sources, read)]
    tree = _encoded(found)
    if tree is None:  # a name that a tree cannot hold
        found = [file for file in found if _encoded([file]) is not None]
        tree = _encoded(found)
    if not found or tree is None:
        return None
    if Digest.of(tree) not in store.blobs.sizes([Digest.of(tree)]):  # children go before parents
        kept = _put(store, {file.entry.digest: file.content for file in found})
        tree = _encoded([file for file in found if file.entry.digest in kept])
        assert tree is not None  # as all of them did
        store.blobs.put(tree)
    folders = [folder for folder in search() if any(path.startswith(folder + "/") for path in outside)]
    return Beside(tree=str(Digest.of(tree)), search=folders)


class _Found(NamedTuple):
    """A file as the tree will have it, and where its bytes are."""

    entry: TreeEntry
    content: Path | bytes


def _code(sources: Sources, outside: Mapping[str, bytes]) -> Iterator[_Found]:
    from lineal_store.tree import TreeEntry

    for path, data in outside.items():
        yield _Found(TreeEntry(f"{OUTSIDE}{path}", 0o644, sources.digest(path), len(data)), data)


def _files(sources: Sources, read: Mapping[str, str]) -> Iterator[_Found]:
    from lineal_store import Digest
    from lineal_store.tree import TreeEntry

    for name, digest in read.items():
        if digest.startswith("sha256:"):  # else it says that this is a folder or a pattern, or absent
            path = sources.path(name)
            with suppress(OSError):
                status = path.stat()
                mode = 0o755 if status.st_mode & 0o100 else 0o644
                place = f"{OUTSIDE}{name}" if name.startswith("/") else f"{PROJECT}/{name}"
                yield _Found(TreeEntry(place, mode, Digest.parse(digest), status.st_size), path)


def _encoded(found: Iterable[_Found]) -> bytes | None:
    """The bytes of the tree with these files; None where it cannot be."""
    from lineal_store.tree import Tree

    entries = {file.entry.path: file.entry for file in found}  # a file may be code, and declared
    try:
        return Tree(tuple(entries[name] for name in sorted(entries))).encode()
    except ValueError:
        return None


def _put(store: Store, contents: Mapping[Digest, Path | bytes]) -> set[Digest]:
    """Keep those contents that the store lacks; the digests of all that it has then."""
    there = set(store.blobs.sizes(contents))
    wanted = {digest: content for digest, content in contents.items() if digest not in there}
    code = [content for content in wanted.values() if isinstance(content, bytes)]
    there.update(blob.digest for blob in store.blobs.put_many(code))
    for content in wanted.values():
        if isinstance(content, Path):
            spooled = store.backend.spool() / f"read-{os.urandom(6).hex()}"
            try:
                with suppress(OSError):
                    shutil.copyfile(content, spooled)
                    there.add(store.blobs.put_many([spooled])[0].digest)
            finally:
                spooled.unlink(missing_ok=True)
    return there
