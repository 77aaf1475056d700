"""A record with its own checksum: what is damaged on disk is noticed even where it still decodes.

Content is checked by its name. A record filed under a key, a run id or a ref has no such name, so a sealed record
carries the SHA-256 of its canonical encoding: ``c1 4c 4e 4c`` (no MessagePack starts so), 32 bytes of SHA-256,
the encoding. This finds damage, not malice: whoever can write a record can seal it.
"""

from __future__ import annotations

import hashlib

from lineal_store import canonical
from lineal_store.errors import CorruptRecord

_MAGIC = b"\xc1LNL"
_HEADER_BYTES = len(_MAGIC) + hashlib.sha256().digest_size


def seal(value: object, *, limit: int = canonical.MAX_RECORD_BYTES) -> bytes:
    """The canonical encoding of ``value`` under its checksum; errors as of ``canonical.encode``."""
    return seal_encoded(canonical.encode(value, limit=limit))


def seal_encoded(data: bytes) -> bytes:
    """``data``, which is a canonical encoding, under its checksum."""
    return _MAGIC + hashlib.sha256(data).digest() + data


def unseal(data: bytes, *, what: str = "a record", limit: int = canonical.MAX_RECORD_BYTES) -> object:
    """The value that ``seal`` made ``data`` of; CorruptRecord (naming ``what``) for any other bytes.

    >>> unseal(seal({"by": "ann"}))
    {'by': 'ann'}
    """
    if not data.startswith(_MAGIC) or len(data) < _HEADER_BYTES:
        raise CorruptRecord(what, "it does not start as a sealed record does")
    payload = data[_HEADER_BYTES:]
    if hashlib.sha256(payload).digest() != data[len(_MAGIC) : _HEADER_BYTES]:
        raise CorruptRecord(what, "its bytes do not match their checksum")
    return canonical.decode(payload, what=what, limit=limit)
