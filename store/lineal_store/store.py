"""A store, opened: where it is, and the four things it keeps."""

from __future__ import annotations

import json
import os

from lineal_store.actions import Actions
from lineal_store.blobs import Blobs
from lineal_store.errors import ObjectMissing, StoreUnavailable
from lineal_store.protocols import Backend, Upload
from lineal_store.refs import Refs
from lineal_store.runs import Runs

FORMAT = 1
"""The format of stores that this version reads and writes (``docs/formats.md``)."""

HEADER = "lineal-store.json"


class Store:
    """Blobs, action results, runs and refs in one place. Make one with ``open_store``."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.blobs = Blobs(backend)
        self.actions = Actions(backend)
        self.runs = Runs(backend)
        self.refs = Refs(backend)

    @property
    def url(self) -> str:
        """Where the store is, as ``open_store`` takes it."""
        return self.backend.url

    def __repr__(self) -> str:
        return f"<Store {self.url}>"


def open_store(url: str | os.PathLike[str], *, create: bool = True) -> Store:
    """The store at ``url``: a path, ``file:///path``, or ``memory://name`` (shared within this process).

    With ``create`` a store is made where there is none: the directory, and in it the header. A directory that
    holds anything else but hidden files is refused, so that no store is scattered over somebody's folder.
    StoreUnavailable for that, for a newer format, a damaged header, and whatever keeps the place from being used.
    """
    backend = _backend(os.fspath(url), create=create)
    try:
        header = backend.read(HEADER)
    except ObjectMissing:
        if not create:
            raise StoreUnavailable(
                backend.url, "there is no store", "Check the path; the first `lineal run` makes a store."
            ) from None
        backend.create([Upload(HEADER, _new_header())])
        header = backend.read(HEADER)  # of two that create a store at once, one is first
    _check_header(backend.url, header)
    return Store(backend)


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
    problem = "S3 is not supported yet" if scheme == "s3" else f"{scheme}:// is no kind of store"
    raise StoreUnavailable(url, problem, "Set LINEAL_STORE to the path of a directory.")


def _local(path: str, *, create: bool) -> Backend:
    from lineal_store.backends.local import LocalBackend, prepare_directory

    backend = LocalBackend(path)
    if create:
        prepare_directory(backend.url, HEADER)
    return backend


def _new_header() -> bytes:
    import uuid

    return json.dumps({"format": FORMAT, "id": str(uuid.uuid4())}).encode() + b"\n"


def _check_header(url: str, data: bytes) -> None:
    """StoreUnavailable unless this version can read and write the store."""
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
