"""What stages use besides the project's sources: kept with the run where there is anything, so that it can be rebuilt."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

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
    from lineal_store.tree import Tree, TreeEntry

    entries: dict[str, TreeEntry] = {}
    contents: dict[Digest, Path | bytes] = {}
    for name, digest, size, mode, content in (*_code(sources, outside), *_files(sources, read)):
        with suppress(ValueError):  # a name that a tree cannot hold
            [entry] = Tree((TreeEntry(name, mode, digest, size),)).entries
            entries[name], contents[digest] = entry, content
    if not entries:
        return None
    tree = _encoded(entries)
    if Digest.of(tree) not in store.blobs.sizes([Digest.of(tree)]):  # children go before parents
        kept = _put(store, contents)
        tree = _encoded({name: entry for name, entry in entries.items() if entry.digest in kept})
        store.blobs.put(tree)
    folders = [folder for folder in search() if any(path.startswith(folder + "/") for path in outside)]
    return Beside(tree=str(Digest.of(tree)), search=folders)


_Found = tuple[str, "Digest", int, int, "Path | bytes"]
"""A file: its name in the tree, its digest, size in bytes and mode, and where its bytes are."""


def _code(sources: Sources, outside: Mapping[str, bytes]) -> Iterator[_Found]:
    for path, data in outside.items():
        yield f"{OUTSIDE}{path}", sources.digest(path), len(data), 0o644, data


def _files(sources: Sources, read: Mapping[str, str]) -> Iterator[_Found]:
    from lineal_store import Digest

    for name, digest in read.items():
        if digest.startswith("sha256:"):  # else it says that this is a folder or a pattern, or absent
            path = sources.path(name)
            with suppress(OSError):
                status = path.stat()
                mode = 0o755 if status.st_mode & 0o100 else 0o644
                place = f"{OUTSIDE}{name}" if name.startswith("/") else f"{PROJECT}/{name}"
                yield place, Digest.parse(digest), status.st_size, mode, path


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


def _encoded(entries: Mapping[str, TreeEntry]) -> bytes:
    from lineal_store.tree import Tree

    return Tree(tuple(entries[name] for name in sorted(entries))).encode()
