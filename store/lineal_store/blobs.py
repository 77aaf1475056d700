"""Bytes under their digests: written once, checked whenever they are read."""

from __future__ import annotations

import io
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from lineal_store import durable
from lineal_store.digest import Digest
from lineal_store.errors import BlobMissing, CorruptRecord, DigestMismatch, ObjectMissing, StoreUnavailable
from lineal_store.identity import LARGE_BYTES, Identity, identity_of
from lineal_store.protocols import Backend, ObjectInfo, Upload

if TYPE_CHECKING:
    from lineal_store.spooled import Written
    from lineal_store.upstream import Upstream

_PREFIX = "blobs/"
_NAME = re.compile(r"blobs/([0-9a-f]{2})/([0-9a-f]{62})")
_COPY_BYTES = 1 << 20


class Blob(NamedTuple):
    """Content that a store holds: its digest, and its size."""

    digest: Digest
    size_bytes: int


class Blobs:
    """The blobs of one store.

    What is read is hashed and compared with its name; a local file once per identity (device, inode, size, mtime
    and ctime) and process, so that an edit through a hard link is seen, and a second read is free. A large one that this
    process has written with ``writer``, or another has told of (``known``, ``trust``), is not hashed as long as it has the
    identity of then. What this store lacks is read from ``upstream``. ``origin`` is the backend behind the copies that
    ``backend`` keeps, where it does.
    """

    def __init__(
        self,
        backend: Backend,
        upstream: Upstream | None = None,
        *,
        origin: Backend | None = None,
        clock_nanoseconds: Callable[[], int] = time.time_ns,
    ) -> None:
        self._backend, self._upstream = backend, upstream
        self._origin = origin if origin is not None else backend
        # Read where they lie; else each process has copies of its own.
        self._in_place = not backend.remote and backend.local_path(_PREFIX[:-1]) is not None
        self._clock = clock_nanoseconds
        self._verified: dict[Digest, Identity] = {}
        self._written: dict[Path, Written] = {}

    @contextmanager
    def writer(self, path: Path) -> Iterator[BinaryIO]:
        """The new file ``path`` in ``backend.spool()``, as a stream to write to and not to seek in.

        Given to ``put_many`` or ``mend`` as it then is, it is not read again for its digest.
        """
        from lineal_store.spooled import SpooledFile  # a run of hits writes nothing large

        file = SpooledFile(path, flush=self._in_place)
        with io.BufferedWriter(file, _COPY_BYTES) as stream:
            yield stream
        if file.written is not None:
            self._written[path] = file.written

    def put(self, data: bytes) -> Digest:
        """Keep ``data``; durable on return."""
        return self.put_many([data])[0].digest

    def put_many(self, sources: Sequence[bytes | Path]) -> Sequence[Blob]:
        """Keep contents, in one durable batch; the blobs, in the order of ``sources``.

        A Path lies in ``backend.spool()`` and is consumed. What the store holds at the right size is not written
        again; a blob of the wrong size is replaced. OSError when a source cannot be read: nothing is kept then.
        """
        contents = [(self._blob_of(source), source) for source in sources]
        # A file is looked for before it is sent; small contents are sent, and looked at where they were there.
        sizes = self.sizes({blob.digest for blob, source in contents if not isinstance(source, bytes)})
        wrong = _of_other_size(contents, sizes)
        there = self._create(contents, whole=sizes.keys() - wrong, damaged=wrong)
        small = [(blob, source) for blob, source in there if isinstance(source, bytes)]
        wrong = _of_other_size(small, self.sizes({blob.digest for blob, _ in small}))
        self._create([one for one in small if one[0].digest in wrong], damaged=wrong)
        return [blob for blob, _ in contents]

    def mend(self, sources: Sequence[bytes | Path]) -> Sequence[Blob]:
        """Keep contents as ``put_many`` does, and replace what lies under their digests where its bytes are wrong."""
        contents = [(self._blob_of(source), source) for source in sources]
        held = self._backend.find({name_of(blob.digest) for blob, _ in contents})
        damaged = {parse_name(name) for name, info in held.items() if self._is_damaged(info)}
        self._create(contents, whole={parse_name(name) for name in held} - damaged, damaged=damaged)
        return [blob for blob, _ in contents]

    def heal(self, source: bytes | Path) -> Digest:
        """Keep one content as ``mend`` does."""
        return self.mend([source])[0].digest

    def read(self, digest: Digest) -> bytes:
        """The bytes under ``digest``; BlobMissing, or DigestMismatch when they are not what was kept."""
        name = name_of(digest)
        for last in self._tries():
            try:
                data = self._backend.read(name)
            except ObjectMissing:
                break
            actual = Digest.of(data)
            if actual == digest:
                return data
            if last:
                raise DigestMismatch(digest, actual, f"{self._backend.url}/{name}")
        found = self._upstream.read(digest) if self._upstream is not None else None
        if found is None:
            raise BlobMissing(self._backend.url, digest)
        return found

    def fetch(self, digest: Digest) -> Path:
        """A read-only local file that holds the blob, checked; errors as of ``read``.

        On a local disk it is the store's own file: link or copy it, never write to it. It may be deleted with the
        store's object; of another store it is a copy, gone with this process. What comes from upstream is kept.
        """
        path, stream = self._opened(digest)
        stream.close()
        return path

    def open(self, digest: Digest) -> BinaryIO:
        """The blob as a stream, checked before the first byte is given, which the caller closes; otherwise as ``fetch``."""
        return self._opened(digest)[1]

    def sizes(self, digests: Iterable[Digest]) -> dict[Digest, int]:
        """The sizes in bytes of those of ``digests`` that this store itself holds, in one batch, unread."""
        digest_by_name = {name_of(digest): digest for digest in digests}
        found = self._backend.find(digest_by_name) if digest_by_name else {}
        return {digest_by_name[name]: info.size_bytes for name, info in found.items()}

    def list(self) -> Iterator[Blob]:
        """Every blob, sorted by digest, unread; CorruptRecord for an object among them that is not named as one."""
        for info in self._backend.list(_PREFIX):
            yield Blob(parse_name(info.name), info.size_bytes)

    def verify(self, digest: Digest) -> str | None:
        """What is wrong with the blob, in words, after reading all of it where it lies; None when nothing is."""
        try:
            with self._origin.open(name_of(digest)) as stream:
                actual, size = Digest.of_stream(stream)
        except ObjectMissing:
            return "is missing"
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        return None if actual == digest else f"holds {size} bytes of {actual}"

    @property
    def known(self) -> Mapping[Digest, Identity]:
        """Large blobs that are not hashed when they are read, and the identities of the files that were found to hold them."""
        return {digest: one for digest, one in self._verified.items() if one.size_bytes >= LARGE_BYTES}

    def trust(self, known: Mapping[Digest, Identity]) -> None:
        """Take the word of another process on this machine, which says it is ``known`` to it."""
        self._verified.update(known)

    # -- writing ----------------------------------------------------------------------------------------------------

    def _create(
        self,
        contents: Sequence[tuple[Blob, bytes | Path]],
        *,
        whole: Collection[Digest] = (),
        damaged: Collection[Digest] = (),
    ) -> Sequence[tuple[Blob, bytes | Path]]:
        """Create blobs, replacing those ``damaged``; those of ``contents`` that were there, whatever they hold.

        A local disk is asked for those known to be ``whole`` too: they may be another process's, a moment old, and
        not durable yet. Over a network that would send them again.
        """
        sent, there = [], []
        for blob, source in contents:
            if self._backend.remote and blob.digest in whole:
                there.append((blob, source))
                if not isinstance(source, bytes):
                    source.unlink()
                    self._written.pop(source, None)
            else:
                sent.append((blob, source))
        uploads = [Upload(name_of(blob.digest), source, blob.digest in damaged) for blob, source in sent]
        made = self._backend.create(uploads) if uploads else []
        for (blob, source), new in zip(sent, made, strict=True):
            written = None if isinstance(source, bytes) else self._written.pop(source, None)
            if written is not None and new and self._in_place:
                self._remember(blob.digest, written.identity)
        return there + [one for one, new in zip(sent, made, strict=True) if not new]

    def _blob_of(self, source: bytes | Path) -> Blob:
        if isinstance(source, bytes):
            return Blob(Digest.of(source), len(source))
        written = self._written.get(source)
        if written is not None and written.identity == identity_of(source):
            return Blob(written.digest, written.identity.size_bytes)
        return Blob(*Digest.of_file(source))

    def _remember(self, digest: Digest, written: Identity) -> None:
        """Trust the file under ``digest``, which had the identity ``written`` when its digest was that, and got its name since.

        Nothing but what names it may have changed it. From here on the times are others after any change, since the clock has
        moved on; where it moves in long steps the file is not trusted.
        """
        path = self._backend.local_path(name_of(digest))
        assert path is not None  # read in place
        with suppress(OSError):  # who reads it is told
            identity = identity_of(path)
            unchanged = identity._replace(changed_ns=written.changed_ns) == written
            if unchanged and durable.wait_for_tick(identity.changed_ns, str(self._backend.spool())):
                self._verified[digest] = identity

    def _is_damaged(self, info: ObjectInfo) -> bool:
        """Whether the blob holds other bytes than its name says; it is read unless its place says their hash."""
        digest = parse_name(info.name)
        return info.sha256 != digest.hex and (info.sha256 is not None or self.verify(digest) is not None)

    # -- reading ----------------------------------------------------------------------------------------------------

    def _opened(self, digest: Digest) -> tuple[Path, BinaryIO]:
        """A local file that holds the blob, and that file as a stream, checked and at its start."""
        for last in self._tries():
            try:
                path, stream = self._find_file(digest)
            except ObjectMissing:
                if not self._keep_from_upstream(digest):
                    raise BlobMissing(self._backend.url, digest) from None
                path, stream = self._find_file(digest)
            except OSError as error:
                raise self._unreadable(digest, error) from error
            try:
                self._check_file(digest, stream)
            except BaseException as error:
                stream.close()
                if isinstance(error, OSError):
                    raise self._unreadable(digest, error) from error
                if last or not isinstance(error, DigestMismatch):
                    raise
                path.unlink(missing_ok=True)
                continue
            return path, stream
        raise AssertionError("one try is the last")

    def _tries(self) -> Sequence[bool]:
        """For each try to read a blob whether it is the last. Copies, and what came over a network, may be worse than the original."""
        return (True,) if self._in_place else (False, True)

    def _find_file(self, digest: Digest) -> tuple[Path, BinaryIO]:
        name = name_of(digest)
        if self._in_place:
            stream = self._backend.open(name)
            return Path(stream.name), stream
        path = self._backend.spool() / f"held-{digest.hex}"
        if not path.exists():
            self._bring(name, path)
        return path, path.open("rb")

    def _bring(self, name: str, path: Path) -> None:
        """Make ``path`` a private copy of an object that lies elsewhere, or a link to the cached one."""
        part = path.with_name(f".{path.name}-{os.urandom(4).hex()}")
        try:
            with self._backend.open(name) as source:  # which fills the cache, where there is one
                cached = self._backend.local_path(name)
                if cached is None or not _linked(cached, part):
                    with part.open("wb") as target:
                        shutil.copyfileobj(source, target, _COPY_BYTES)
                    part.chmod(0o444)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _keep_from_upstream(self, digest: Digest) -> bool:
        """Copy the blob here from a store upstream, if one has it."""
        if self._upstream is None:
            return False
        path = self._backend.spool() / f"upstream-{os.urandom(8).hex()}"
        try:
            return self._upstream.copy(digest, path) and bool(self.put_many([path]))
        finally:
            path.unlink(missing_ok=True)

    def _check_file(self, digest: Digest, stream: BinaryIO) -> None:
        """DigestMismatch unless ``stream``, a local file, holds the blob; leaves it at its start."""
        identity = identity_of(stream.fileno())
        if self._verified.get(digest) == identity:
            return
        begun = self._clock()
        actual, _ = Digest.of_stream(stream)
        if actual != digest:
            raise DigestMismatch(digest, actual, f"{self._backend.url}/{name_of(digest)}")
        stream.seek(0)
        if identity.is_settled(begun) and identity_of(stream.fileno()) == identity:
            self._verified[digest] = identity

    def _unreadable(self, digest: Digest, error: OSError) -> StoreUnavailable:
        problem = f"{name_of(digest)} cannot be read: {error.strerror}"
        return StoreUnavailable(self._backend.url, problem, "Check the disk; the system's log says more.")


def name_of(digest: Digest) -> str:
    """The name in the store of the blob under ``digest``."""
    return f"{_PREFIX}{digest.hex[:2]}/{digest.hex[2:]}"


def parse_name(name: str) -> Digest:
    """The digest of the blob that is called ``name`` in the store; CorruptRecord when no blob is called so."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise CorruptRecord(name, "no blob is named so")
    return Digest(match[1] + match[2])


def _of_other_size(contents: Iterable[tuple[Blob, object]], sizes: Mapping[Digest, int]) -> set[Digest]:
    """The digests of those ``contents`` that lie in the store with another size."""
    return {blob.digest for blob, _ in contents if sizes.get(blob.digest, blob.size_bytes) != blob.size_bytes}


def _linked(source: Path, path: Path) -> bool:
    """Give ``source`` the further name ``path``; False where that cannot be."""
    try:
        os.link(source, path)
    except OSError:
        return False
    return True
