"""The name of content: SHA-256 of its bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lineal_store.errors import InvalidName

if TYPE_CHECKING:
    import os
    from typing import BinaryIO

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """SHA-256 of a byte string: the name under which a store keeps it.

    Two equal digests are taken to mean equal bytes (FIPS 180-4; no collision is known).
    ``hex`` is 64 lowercase hex digits (anything else: InvalidName). Printed as ``sha256:<64 hex>``,
    the form that the command line and the documents use too.

    >>> str(Digest.of(b""))[:23]
    'sha256:e3b0c44298fc1c14'
    >>> Digest.parse(str(Digest.of(b"x"))) == Digest.of(b"x")
    True
    """

    hex: str

    def __post_init__(self) -> None:
        if len(self.hex) != 64 or self.hex.strip("0123456789abcdef"):
            raise InvalidName(self.hex, "is not 64 lowercase hex digits")

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """The digest of ``data``."""
        return cls(hashlib.sha256(data).hexdigest())

    @classmethod
    def of_stream(cls, stream: BinaryIO) -> tuple[Digest, int]:
        """The digest of what is left in ``stream``, and its size in bytes."""
        running, size = hashlib.sha256(), 0
        while chunk := stream.read(_CHUNK_BYTES):
            running.update(chunk)
            size += len(chunk)
        return cls(running.hexdigest()), size

    @classmethod
    def of_file(cls, path: str | os.PathLike[str]) -> tuple[Digest, int]:
        """The digest of the file at ``path``, and its size in bytes; OSError when it cannot be read."""
        with open(path, "rb", buffering=0) as stream:
            return cls.of_stream(stream)

    @classmethod
    def parse(cls, text: str) -> Digest:
        """The digest that ``text`` (``sha256:<64 lowercase hex>``) writes out; else InvalidName."""
        algorithm, _, hexadecimal = text.partition(":")
        if algorithm != "sha256":
            raise InvalidName(text, "is not a digest", "Write sha256: and 64 lowercase hex digits.")
        return cls(hexadecimal)

    @property
    def short(self) -> str:
        """The first twelve hex digits: enough for people, never for records."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"sha256:{self.hex}"
