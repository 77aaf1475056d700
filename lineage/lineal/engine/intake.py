"""Takes outside files into the store: content is their identity, and a copy is kept."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import xxhash
from msgspec import Struct

from lineal.artifacts import Directory, File
from lineal.engine.memo import Identity, identity_of, is_settled
from lineal.errors import LinealError, spooling
from lineal.notes import write_note
from lineal_store import Digest, Store
from lineal_store.blobs import name_of
from lineal_store.canonical import decode, encode
from lineal_store.errors import CorruptRecord
from lineal_store.tree import Tree, TreeEntry

_HASHED_EACH_TIME_BYTES = 1 << 20  # a memory of smaller files costs more than reading them
_CLOCK_GRANULARITY_NS = 2_000_000_000  # the coarsest file system in use keeps two seconds (FAT)
_TRIES = 3
_DEEPEST_FOLDER = 64


class SourceUnavailable(LinealError):
    """Outside data cannot be taken in: absent, unreadable, of the wrong kind, or written to meanwhile."""

    kind = "contract"

    def __init__(self, url: str, problem: str, hint: str | None = None) -> None:
        super().__init__(url, problem, hint)
        self.url, self.problem, self.hint = url, problem, hint

    def __str__(self) -> str:
        return f"cannot read {self.url}: {self.problem}"


class Taken(Struct, frozen=True):
    """Outside data as the store holds it; ``type`` is ``file`` or ``directory``."""

    digest: Digest
    type: str
    url: str


class Intake:
    """Takes sources into ``store``, each once per run; without ``keep`` it only says what their digests are.

    Relative paths start at ``root``; a source that is held already (`File.held`) is taken from where it lies. ``memory`` is a folder of this machine in which the digests of large
    files are remembered under their identity (device, inode, size, mtime and ctime in ns).
    """

    def __init__(self, store: Store, root: Path, memory: Path, *, keep: bool = True) -> None:
        self._store, self._root, self._memory, self._keep = store, root, memory, keep
        self._taken: dict[tuple[type, str], Taken] = {}

    def take(self, source: File | Directory) -> Taken:
        """The content of ``source``, durable in the store. Raises `SourceUnavailable`."""
        known = (type(source), source.url)
        if known not in self._taken:
            self._taken[known] = self._take(source)
        return self._taken[known]

    def grounds(self, at_ns: int) -> tuple[dict[str, Identity], dict[str, int]] | None:
        """What of this machine says that taking everything in again would give the same, and the blobs that it needs
        with their sizes, by their names; None where that cannot be told by looking at files and folders.

        ``at_ns`` is a moment of the wall clock that has just passed.
        """
        paths: dict[str, Identity] = {}
        blobs: dict[str, int] = {}
        again = Intake(self._store, self._root, self._memory, keep=False)
        for (kind, url), taken in self._taken.items():
            path = self._local_path(url)
            if path is None:
                return None
            looked_at = [path] if kind is File else [path, *_everything_below(path)]
            for each in looked_at:
                status = each.stat()
                paths[str(each)] = identity_of(str(each))
                if not is_settled(paths[str(each)], at_ns) or not self._is_cheap(each, status):
                    return None
            if again.take(kind(url)).digest != taken.digest:
                return None
            if kind is File:
                blobs[name_of(taken.digest)] = path.stat().st_size
            else:
                tree = again._tree(path, url)
                blobs[name_of(taken.digest)] = len(tree.encode())
                blobs.update((name_of(entry.digest), entry.size_bytes) for entry in tree.entries)
        return paths, blobs

    def _is_cheap(self, path: Path, status: os.stat_result) -> bool:
        return status.st_size < _HASHED_EACH_TIME_BYTES or self._remembered(path, status) is not None

    def heal(self, digest: Digest) -> bool:
        """Replace damaged bytes that this run took in; False where their source has other content by now."""
        return any(self._heal(taken, digest) for taken in list(self._taken.values()))

    def _heal(self, taken: Taken, digest: Digest) -> bool:
        path = self._local_path(taken.url)
        if path is None:  # what is remote was read, and mended, when it was taken
            return False
        try:
            if taken.type == "file":
                return taken.digest == digest and self._replace(path, digest)
            tree = self._tree(path, taken.url)
            if Digest.of(tree.encode()) == digest:
                return self._store.blobs.heal(tree.encode()) == digest
            return any(
                self._replace(path / entry.path, digest) for entry in tree.entries if entry.digest == digest
            )
        except (OSError, SourceUnavailable):
            return False

    def _replace(self, path: Path, digest: Digest) -> bool:
        with self._spooled() as spooled:
            shutil.copyfile(path, spooled)
            return Digest.of_file(spooled)[0] == digest and self._store.blobs.heal(spooled) == digest

    def _take(self, source: File | Directory) -> Taken:
        path = source.path if source.is_held else self._local_path(source.url)
        try:
            if isinstance(source, Directory):
                if path is None:
                    raise SourceUnavailable(
                        source.url,
                        "directories are taken from local paths only",
                        "Copy it to this machine first.",
                    )
                return Taken(self._take_directory(path, source.url), "directory", source.url)
            digest = self._take_remote(source.url) if path is None else self._take_file(path, source.url)
            return Taken(digest, "file", source.url)
        except FileNotFoundError:
            where = f" (looked for {path})" if path is not None and str(path) != source.url else ""
            raise SourceUnavailable(
                source.url, f"no such file{where}", "Relative paths start at the project's folder."
            ) from None
        except IsADirectoryError:
            raise SourceUnavailable(source.url, "it is a directory", "Use Directory(...).") from None
        except OSError as error:
            raise SourceUnavailable(source.url, error.strerror or str(error)) from error

    def _local_path(self, url: str) -> Path | None:
        parts = urlsplit(url)
        if parts.scheme == "file":
            return Path(unquote(parts.path))
        return None if "://" in url else self._root / Path(url).expanduser()

    def _take_file(self, path: Path, url: str) -> Digest:
        for _ in range(_TRIES):
            before = path.stat()
            if stat.S_ISDIR(before.st_mode):
                raise IsADirectoryError(path)
            if not stat.S_ISREG(before.st_mode):
                raise SourceUnavailable(url, "it is not a regular file")
            digest = self._remembered(path, before)
            if digest is None and (before.st_size < _HASHED_EACH_TIME_BYTES or not self._keep):
                digest, _ = Digest.of_file(path)
            if self._keep and (
                digest is None or self._store.blobs.sizes([digest]).get(digest) != before.st_size
            ):
                digest = self._copy(path)
            assert digest is not None
            if _identity(path.stat()) == _identity(before):
                self._remember(path, before, digest)
                return digest
        raise SourceUnavailable(url, "it is being written to", "Take it in when its writer has finished.")

    def _copy(self, path: Path) -> Digest:
        """Copy the file into the store; what is hashed is the copy, so that name and bytes agree."""
        with self._spooled() as spooled:
            shutil.copyfile(path, spooled)
            return self._store.blobs.put_many([spooled])[0].digest

    def _take_remote(self, url: str) -> Digest:
        import fsspec

        try:
            with self._spooled() as spooled:
                with fsspec.open(url, "rb") as remote, spooled.open("wb") as local:
                    shutil.copyfileobj(remote, local, 1 << 20)
                return self._store.blobs.heal(spooled) if self._keep else Digest.of_file(spooled)[0]
        except (ImportError, ValueError) as error:
            raise SourceUnavailable(
                url, str(error), "Is the fsspec package for this protocol installed?"
            ) from error

    def _take_directory(self, folder: Path, url: str) -> Digest:
        tree = self._tree(folder, url).encode()
        return self._store.blobs.put(tree) if self._keep else Digest.of(tree)

    def _tree(self, folder: Path, url: str) -> Tree:
        """The files of ``folder``, each taken in."""
        if not folder.is_dir():
            if folder.exists():
                raise SourceUnavailable(url, "it is not a directory", "Use File(...).")
            raise SourceUnavailable(
                url,
                f"no such directory (looked for {folder})",
                "Relative paths start at the project's folder.",
            )
        entries = []
        for path in _files_below(folder):
            if path.is_file():
                mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
                digest = self._take_file(path, str(path))
                entries.append(
                    TreeEntry(path.relative_to(folder).as_posix(), mode, digest, path.stat().st_size)
                )
        return Tree(tuple(sorted(entries, key=lambda entry: entry.path)))

    @contextmanager
    def _spooled(self) -> Iterator[Path]:
        """A name for a file in the store's spool, which is removed at the end."""
        path = self._store.backend.spool() / f"source-{os.urandom(6).hex()}"
        try:
            with spooling(self._store.url):
                yield path
        finally:
            path.unlink(missing_ok=True)

    # -- memory -------------------------------------------------------------------------------

    def _note(self, path: Path) -> Path:
        return self._memory / xxhash.xxh3_128_hexdigest(os.fsencode(path.absolute()))

    def _remembered(self, path: Path, status: os.stat_result) -> Digest | None:
        if status.st_size < _HASHED_EACH_TIME_BYTES:
            return None
        try:
            note: Any = decode(self._note(path).read_bytes())
            if note["identity"] == _identity(status) and note["path"] == str(path.absolute()):
                return Digest.parse(note["digest"])
        except (OSError, CorruptRecord, KeyError, TypeError, ValueError):
            pass  # a memory that cannot be read is none
        return None

    def _remember(self, path: Path, status: os.stat_result, digest: Digest) -> None:
        # an edit within the clock's granularity of the last one leaves the same times: never trust those
        settled = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _CLOCK_GRANULARITY_NS
        if status.st_size < _HASHED_EACH_TIME_BYTES or not settled:
            return
        note = {"path": str(path.absolute()), "identity": _identity(status), "digest": str(digest)}
        try:
            write_note(self._note(path), encode(note), mode=0o666)
        except OSError:
            pass  # a memory is a saving, not a duty


def _everything_below(folder: Path) -> Iterator[Path]:
    """The folders and files that `_files_below` comes by."""
    yield from _files_below(folder)
    for above, folders, _ in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if name != ".lineal"]
        yield from (Path(above, name) for name in folders)


def _files_below(folder: Path) -> Iterator[Path]:
    """All files, those in linked folders too, but for Lineal's own."""
    for above, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if name != ".lineal"]
        if len(Path(above).parts) - len(folder.parts) > _DEEPEST_FOLDER:
            raise OSError(f"folders are nested too deeply at {above}: does a link lead back?")
        yield from (Path(above, name) for name in names)


def _identity(status: os.stat_result) -> list[int]:
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
