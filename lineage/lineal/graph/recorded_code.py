"""The project's code as it was: source files out of the trees that results were recorded with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lineal.fingerprint.errors import FingerprintError
from lineal.fingerprint.sources import Sources
from lineal.graph.checked import read_blobs
from lineal_store import Digest, Store
from lineal_store.errors import BlobMissing, CorruptRecord, DigestMismatch, InvalidName
from lineal_store.tree import Tree, TreeEntry

_GONE = (BlobMissing, CorruptRecord, DigestMismatch, InvalidName)


class CodeTrees:
    """Code trees in ``store``, each file read once, and only where ``today`` (the project as it is) has other bytes."""

    def __init__(self, store: Store, today: Sources | None = None) -> None:
        self._store, self._today = store, today
        self._files: dict[Digest, bytes | None] = {}
        self._trees: dict[str, dict[str, TreeEntry] | None] = {}

    def find(self, tree: str, file: str) -> bytes | None:
        """The bytes of ``file`` in the tree with that digest; None where it has none, or they are lost."""
        entry = (self._entries(tree) or {}).get(file)
        if entry is None:
            return None
        self._read([entry.digest])
        return self._files[entry.digest]

    def find_sources(self, tree: str, root: Path, import_roots: Iterable[Path]) -> Sources | None:
        """The whole project as it was, as if it lay in ``root``; None where anything of it is lost."""
        entries = self._entries(tree)
        if entries is None:
            return None
        self._read([entry.digest for entry in entries.values()])
        files = {}
        for path, entry in entries.items():
            data = self._files[entry.digest]
            if data is None:
                return None
            files[path] = data
        return Sources(root, import_roots, files)

    def _entries(self, tree: str) -> dict[str, TreeEntry] | None:
        if self._today is not None:
            self._files.update((self._today.digest(file), data) for file, data in self._today.files.items())
            self._today = None
        if tree not in self._trees:
            try:
                found = Tree.decode(self._store.blobs.read(Digest.parse(tree)))
                self._trees[tree] = {entry.path: entry for entry in found.entries}
            except _GONE:
                self._trees[tree] = None
        return self._trees[tree]

    def _read(self, digests: Iterable[Digest]) -> None:
        unknown = list(dict.fromkeys(digest for digest in digests if digest not in self._files))
        if unknown:
            for digest, data in read_blobs(self._store, unknown).items():
                self._files[digest] = data if isinstance(data, bytes) else None


class Code:
    """One side of a comparison: the project ``today``, or as ``tree`` has it."""

    def __init__(
        self,
        trees: CodeTrees,
        root: Path,
        import_roots: Iterable[Path],
        *,
        today: Sources | None = None,
        tree: str | None = None,
    ) -> None:
        self._trees, self._root, self._import_roots = trees, root, tuple(import_roots)
        self._today, self._tree = today, tree
        self._sources: Sources | None = None

    def find(self, file: str) -> bytes | None:
        """The bytes of ``file``; None where it is not there, or they are lost."""
        if self._today is not None:
            try:
                return self._today.read(file)
            except FingerprintError:
                return None
        return self._trees.find(self._tree, file) if self._tree is not None else None

    def sources(self) -> Sources | None:
        """All of it; None where some is lost."""
        if self._sources is None:
            self._sources = self._today
            if self._sources is None and self._tree is not None:
                self._sources = self._trees.find_sources(self._tree, self._root, self._import_roots)
        return self._sources
