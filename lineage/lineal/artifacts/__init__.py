"""Artifacts: the values that stages take and make, and the bytes that stand for them.

An artifact is named by the digest of its bytes, so equal values must become equal bytes. `encode` finds the codec
by the annotation, checks that the value is what the annotation says, and writes canonical bytes; `decode` reads
them. `values` does the same for parameters, which go into keys. A `Schema` is the contract of a table.
`File`, `Directory`, `Metrics`, `LogicalDate` and `Secret` are what users annotate with.

This room knows no store and no stage. Libraries are imported only when a value of theirs comes by.
"""

from __future__ import annotations

from lineal.artifacts.codecs import Codec, InMemoryCodec, UnreadableValue, UnsupportedValue
from lineal.artifacts.files import Directory, File, NotLocal
from lineal.artifacts.registry import (
    Encoded,
    EncodedInMemory,
    codec_for,
    codec_for_value,
    codec_named,
    decode,
    decode_in_memory,
    encode,
    encode_in_memory,
    misfit,
)
from lineal.artifacts.schema import Schema, field, schema_of
from lineal.artifacts.types import LogicalDate, Metrics, Secret, is_marked

__all__ = [
    "Codec",
    "Directory",
    "Encoded",
    "EncodedInMemory",
    "File",
    "InMemoryCodec",
    "LogicalDate",
    "Metrics",
    "NotLocal",
    "Schema",
    "Secret",
    "UnreadableValue",
    "UnsupportedValue",
    "codec_for",
    "codec_for_value",
    "codec_named",
    "decode",
    "decode_in_memory",
    "encode",
    "encode_in_memory",
    "field",
    "is_marked",
    "misfit",
    "schema_of",
]
