"""A store, opened: where it is, and the four things it keeps."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lineal_store.actions import Actions
from lineal_store.blobs import Blobs
from lineal_store.digest import Digest
from lineal_store.errors import ObjectMissing, StoreUnavailable
from lineal_store.protocols import Backend, Upload
from lineal_store.refs import Refs
from lineal_store.runs import Runs
from lineal_store.upstream import Upstream

if TYPE_CHECKING:
    from lineal_store.backends.caching import CachingBackend
    from lineal_store.backends.s3 import S3Backend
    from lineal_store.claims import Claims
    from lineal_store.signs import Signs

FORMAT = 1
"""The format of stores that this version reads and writes (``docs/formats.md``)."""

HEADER = "lineal-store.json"

_CONDITIONS_TRUSTED_SECONDS = 24 * 3600


class Place(NamedTuple):
    """Where a store is, and how it is used from here. Pickles, so that another process can open the same.

    ``url`` is as ``open_store`` takes it; ``upstream`` are the URLs of stores to read through. ``cache`` is a folder of
    this machine for copies of what lies in remote stores, at most ``cache_limit_bytes`` of it, or None. With
    ``single_writer`` the caller vouches that nobody else writes to the store, where its server cannot keep two writers
    apart. ``known_id`` is the id of a store whose header has been read already.
    """

    url: str
    upstream: tuple[str, ...] = ()
    cache: str | None = None
    cache_limit_bytes: int = 10 << 30
    single_writer: bool = False
    known_id: str | None = None


class Store:
    """Blobs, action results, runs and refs in one place. Make one with ``open_store``.

    ``upstream`` is where what is missing here is looked for, or None.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        place: Place | None = None,
        upstream: Upstream | None = None,
        cache: CachingBackend | None = None,
    ) -> None:
        self.backend, self.upstream = backend, upstream
        self.place = place if place is not None else Place(backend.url)
        self._cache = cache
        self._origin = cache.wrapped if cache is not None else backend
        self.blobs = Blobs(backend, upstream, origin=self._origin)
        self.actions = Actions(backend)
        self.runs = Runs(backend)
        self.refs = Refs(backend)

    @property
    def url(self) -> str:
        """Where the store is, as ``open_store`` takes it."""
        return self.backend.url

    def claims(self, run_id: str) -> Claims:
        """What the run executes, as other runs see it."""
        from lineal_store.claims import Claims  # a run of hits executes nothing

        return Claims(self._origin, run_id)

    def signs(self) -> Signs:
        """By what runs show that they live, and are asked to stop."""
        from lineal_store.signs import Signs

        return Signs(self._origin)

    @property
    def fetched(self) -> int:
        """How many objects had to be fetched over a network so far, since this machine had no copy of them."""
        return self._cache.fetched if self._cache is not None else 0

    def trim_cache(self) -> None:
        """Keep this machine's copies within their limit, where there are any: for a process that is done."""
        if self._cache is not None:
            self._cache.trim()

    def __repr__(self) -> str:
        return f"<Store {self.url}>"


def open_store(at: str | os.PathLike[str] | Place, *, create: bool = True) -> Store:
    """The store at a path, ``file:///path``, ``s3://bucket/prefix``, or ``memory://name`` (shared within this process).

    With ``create`` the store is about to be written: it is made where there is none (the directory, and in it the
    header; of S3 the header alone, a bucket never), and a server that cannot keep two writers apart is refused. A
    directory that holds anything else but hidden files is refused too, so that no store is scattered over somebody's
    folder. StoreUnavailable for that, for a newer format, a damaged header, and whatever keeps the place from being used.
    """
    place = at if isinstance(at, Place) else Place(os.fspath(at))
    backend: Backend
    cache = None
    if place.url.startswith("s3://"):
        s3, store_id = _open_s3(place, create=create)
        cache = _open_cache(s3, place, store_id)
        backend = cache or s3
    else:
        backend = _backend(place.url, create=create)
        store_id = place.known_id or _checked_id(backend.url, _read_header(backend, create=create))
    openers = [
        partial(open_store, place._replace(url=url, upstream=(), known_id=None), create=False)
        for url in place.upstream
    ]
    return Store(
        backend,
        place=place._replace(url=backend.url, known_id=store_id),
        upstream=Upstream(openers) if openers else None,
        cache=cache,
    )


def preload(place: Place) -> None:
    """Load what using the store will need, for a process that forks many that use it. Starts no thread, reads nothing."""
    if place.url.startswith("s3://"):
        from lineal_store.backends import s3

        s3.preload()


_memory: dict[str, Backend] = {}


def _backend(url: str, *, create: bool) -> Backend:
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _local(url, create=create)
    if scheme == "file":
        from urllib.parse import unquote

        host, _, path = rest.partition("/")
        if host not in ("", "localhost"):
            raise StoreUnavailable(url, "a file URL names no other host", "Write file:///path/to/store.")
        return _local("/" + unquote(path), create=create)
    if scheme == "memory":
        from lineal_store.backends.memory import MemoryBackend

        return _memory.setdefault(rest, MemoryBackend(rest))
    hint = "Set LINEAL_STORE to the path of a directory, or to s3://bucket/prefix."
    raise StoreUnavailable(url, f"{scheme}:// is no kind of store", hint)


def _open_s3(place: Place, *, create: bool) -> tuple[S3Backend, str]:
    """The bucket, and the id of the store in it; with ``create`` one that several may write to at once."""
    from lineal_store.backends.s3 import S3Backend

    s3 = S3Backend(
        place.url,
        single_writer=place.single_writer,
        is_known=place.known_id is not None,
    )
    store_id = place.known_id
    if store_id is None:
        header = _read_header(s3, create=create, check=s3.check_bucket)
        store_id = _checked_id(s3.url, header)
        if create and not place.single_writer:
            _refuse_careless_server(s3, header, _cache_folder(place, store_id))
    return s3, store_id


def _open_cache(s3: S3Backend, place: Place, store_id: str) -> CachingBackend | None:
    folder = _cache_folder(place, store_id)
    if folder is None:
        return None
    from lineal_store.backends.caching import CachingBackend

    s3.spool_root = folder / "spool"  # on the disk of the copies, so that they are links
    return CachingBackend(s3, folder, place.cache_limit_bytes)


def _cache_folder(place: Place, store_id: str) -> Path | None:
    """Where this machine keeps copies of that store. An id comes from elsewhere, and is no path."""
    return Path(place.cache, Digest.of(store_id.encode()).hex[:32]) if place.cache is not None else None


def _refuse_careless_server(s3: S3Backend, header: bytes, memory: Path | None) -> None:
    """StoreUnavailable where the server would let two writers overwrite each other; asked once a day, if noted."""
    note = memory / "conditions-honoured" if memory is not None else None
    with suppress(OSError):
        if note is not None and 0 <= time.time() - note.stat().st_mtime < _CONDITIONS_TRUSTED_SECONDS:
            return
    if not s3.honours_conditions(HEADER, header):
        raise StoreUnavailable(
            s3.url,
            "its server ignores conditional writes (If-None-Match), so two people who write at once could overwrite "
            "each other's results",
            "Use a server that honours them (AWS, MinIO, SeaweedFS, …), or, if you alone write to it, set "
            "single_writer = true in the configuration (LINEAL_SINGLE_WRITER=1).",
        )
    with suppress(OSError):
        if note is not None:
            note.parent.parent.mkdir(parents=True, exist_ok=True)
            note.parent.mkdir(mode=0o700, exist_ok=True)
            note.touch()


def _read_header(backend: Backend, *, create: bool, check: Callable[[], None] = lambda: None) -> bytes:
    """The store's header, written with ``create`` where there is none, after ``check``."""
    try:
        return backend.read(HEADER)
    except ObjectMissing:
        check()
        if not create:
            hint = "Check where it should be; the first `lineal run` makes a store."
            raise StoreUnavailable(backend.url, "there is no store", hint) from None
        backend.create([Upload(HEADER, _new_header())])
        return backend.read(HEADER)  # of two that create a store at once, one is first


def _local(path: str, *, create: bool) -> Backend:
    from lineal_store.backends.local import LocalBackend, prepare_directory

    backend = LocalBackend(path)
    if create:
        prepare_directory(backend.url, HEADER)
    return backend


def _new_header() -> bytes:
    import uuid

    return json.dumps({"format": FORMAT, "id": str(uuid.uuid4())}).encode() + b"\n"


def _checked_id(url: str, data: bytes) -> str:
    """The id of the store with that header; StoreUnavailable unless this version can read and write it."""
    try:
        header = json.loads(data)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or type(header.get("format")) is not int or header["format"] < 1:
        raise StoreUnavailable(
            url,
            f"its header {HEADER} is damaged",
            f'Write {{"format": {FORMAT}, "id": "<any UUID>"}} into it if this is a store; nothing else is lost.',
        )
    if header["format"] > FORMAT:
        raise StoreUnavailable(
            url,
            f"it has format {header['format']}, and this version of Lineal knows {FORMAT}",
            "Upgrade lineal: pip install --upgrade lineal",
        )
    if not isinstance(header.get("id"), str):
        raise StoreUnavailable(url, f"its header {HEADER} names no id", 'Add an "id" to it: any UUID.')
    return str(header["id"])
