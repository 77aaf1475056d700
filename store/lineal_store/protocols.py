"""The narrow waist: what a place to keep bytes must do, and nothing else.

Calls take batches, so that a local disk flushes once and an object store answers many requests side by side.
Names are ``/``-separated segments of lowercase ASCII letters, digits and ``. _ - =``; no segment is empty or starts
with a dot, so that no name can leave the store, and none differ by case alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from lineal_store.errors import InvalidName

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

MAX_NAME_LENGTH = 900  # object stores end at 1024 bytes, and a prefix in the bucket comes on top
_NAME = re.compile(r"(?:[a-z0-9_=-][a-z0-9._=-]{0,199}/){0,31}[a-z0-9_=-][a-z0-9._=-]{0,199}")


def is_name(name: str) -> bool:
    """Whether an object may be called ``name``."""
    return len(name) <= MAX_NAME_LENGTH and _NAME.fullmatch(name) is not None


def check_name(name: str) -> None:
    """InvalidName unless an object may be called ``name``."""
    if not is_name(name):
        raise InvalidName(name, "cannot name an object of a store")


def split_prefix(prefix: str) -> tuple[str, str]:
    """The folder part of ``prefix`` (empty, or ending in ``/``) and what follows it; InvalidName if it is none."""
    folder, slash, start = prefix.rpartition("/")
    if slash:
        check_name(folder)
    return folder + slash, start


def check_folder(prefix: str) -> None:
    """InvalidName unless ``prefix`` is empty, or a name with a final ``/``."""
    if prefix and (not prefix.endswith("/") or not is_name(prefix[:-1])):
        raise InvalidName(prefix, "is no folder of a store")


class Upload(NamedTuple):
    """An object to create.

    A Path source lies in ``backend.spool()`` and is consumed: it is gone when ``create`` has returned, and is left
    where it was when ``create`` raised. With ``replace`` an object of that name gives way, at once and whole. What is
    not ``lasting`` need not outlive a power cut, and costs no wait for the disk.
    """

    name: str
    source: bytes | Path
    replace: bool = False
    lasting: bool = True


class ObjectInfo(NamedTuple):
    """What a backend knows of an object without reading it; ``modified`` is aware UTC.

    ``sha256`` (64 hex) is what the place itself says of the bytes it keeps; None where it does not say.
    """

    name: str
    size_bytes: int
    modified: datetime
    sha256: str | None = None


class Backend(Protocol):
    """Bytes under names. Every method may raise StoreUnavailable; a malformed name raises InvalidName."""

    @property
    def url(self) -> str:
        """Where this is, as ``open_store`` takes it."""

    @property
    def remote(self) -> bool:
        """Whether a call costs a round trip over a network, so that a stat by stat check is too dear."""

    def create(self, uploads: Sequence[Upload]) -> Sequence[bool]:
        """Create objects; for each upload, in order, whether this call put it there.

        An object appears whole or not at all. False: the name existed, and is untouched. On return every name of the
        batch that is to last is durable, also those that were there. When this raises, some of the batch may be there, each
        whole, and the same batch can be given again.
        """

    def read(self, name: str) -> bytes:
        """The bytes of an object; ObjectMissing when there is none."""

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """The bytes of those of ``names`` that exist, in one batch."""

    def open(self, name: str) -> BinaryIO:
        """An object as a stream, which the caller closes; ObjectMissing when there is none."""

    def find(self, names: Iterable[str]) -> dict[str, ObjectInfo]:
        """Those of ``names`` that exist, in one batch."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose name starts with ``prefix``, sorted by name; only complete ones."""

    def folders(self, prefix: str) -> Sequence[str]:
        """The segments that follow ``prefix`` (empty, or ending in ``/``) in names that go on below them, sorted.

        A segment may be listed for a while after the last name below it was deleted.
        """

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; absent ones are fine. After a power cut one may be there again."""

    def local_path(self, name: str) -> Path | None:
        """Where the object lies, or would lie, as a local file; None where the backend has no such place.

        Of a ``remote`` backend it is a cached copy, which another process may remove at any time, or None.
        """

    def spool(self) -> Path:
        """A private directory, of this process, for files that ``create`` is to take over."""
        ...

    def discard_spool(self) -> None:
        """Remove the spool directory with all that is in it, where this process has one."""
        ...
