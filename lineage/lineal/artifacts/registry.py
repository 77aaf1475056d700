"""Which codec a value goes by: its annotation decides, and where that says nothing, the value."""

from __future__ import annotations

import importlib
from pathlib import Path, PurePath
from typing import Any

from msgspec import Struct

from lineal.artifacts.annotations import class_of, required, says_nothing, spelled, union_members
from lineal.artifacts.codecs.protocol import (
    Codec,
    Description,
    InMemoryCodec,
    UnreadableValue,
    UnsupportedValue,
    class_name,
)
from lineal.artifacts.files import Directory, File
from lineal.artifacts.types import Secret

NAMES = ("json", "bytes", "arrow", "pandas", "polars", "numpy", "sklearn", "pickle", "file", "directory")


class Encoded(Struct, frozen=True):
    """A value as bytes: ``path`` is a file, or with the directory codec a folder, that belongs to the caller."""

    codec: str
    path: Path
    description: Description


class EncodedInMemory(Struct, frozen=True):
    """A value as ``data``."""

    codec: str
    data: bytes
    description: Description


def encode(value: object, annotation: object, path: Path) -> Encoded:
    """Write ``value`` as canonical bytes to ``path``, which does not exist yet.

    Raises `UnsupportedValue` where the value is not what ``annotation`` declares, or is of a kind that
    would not come back equal and of the same type. What lies at ``path`` after an error is of no use.
    """
    codec, wanted = _chosen(value, annotation)
    return Encoded(codec.name, path, codec.encode(value, wanted, path))


def encode_in_memory(value: object, annotation: object) -> EncodedInMemory | None:
    """The bytes that `encode` would write, where its codec has them in memory first; raises the same."""
    codec, wanted = _chosen(value, annotation)
    if not isinstance(codec, InMemoryCodec):
        return None
    data, description = codec.dump(value, wanted)
    return EncodedInMemory(codec.name, data, description)


def _chosen(value: object, annotation: object) -> tuple[Codec, object]:
    """The codec of ``value``, and the annotation for it."""
    wanted, optional = required(annotation)
    if value is None and optional:
        return codec_named("json"), None
    if isinstance(value, PurePath):
        raise UnsupportedValue(
            f"returned the path {str(value)!r}, which names a file but does not hold it",
            "Return lineal.File(path) with the annotation File, and the bytes are kept; or str(path).",
        )
    if isinstance(value, Secret):
        raise UnsupportedValue(
            "returned a Secret, which is never kept",
            "Pass the secret to the stages that need it as a parameter.",
        )
    if _root_and_name(type(value)) == ("polars", "LazyFrame"):
        raise UnsupportedValue(
            "returned a polars.LazyFrame, which is a plan of a frame and has no rows",
            "Return frame.collect() with the annotation polars.DataFrame.",
        )
    codec = codec_for(wanted) or codec_for_value(value)
    problem = misfit(value, wanted)
    if problem:
        raise UnsupportedValue(problem, "Correct the annotation or the value.")
    return codec, wanted


def decode(codec_name: str, path: Path, annotation: object) -> Any:
    """The value whose bytes lie at ``path``, under the annotation that it was encoded with.

    Codecs that are not JSON know the class from the bytes. Raises `UnreadableValue`.
    """
    codec = codec_named(codec_name)
    if isinstance(codec, InMemoryCodec):
        return decode_in_memory(codec, path.read_bytes(), annotation)
    wanted, _ = required(annotation)
    return _fitting(codec.decode(path, wanted), codec_name, wanted)


def decode_in_memory(codec: InMemoryCodec, data: bytes, annotation: object) -> Any:
    """The value whose bytes are ``data``; otherwise as `decode`."""
    wanted, optional = required(annotation)
    if optional and codec.name == "json" and data == b"null":
        return None
    return _fitting(codec.load(data, wanted), codec.name, wanted)


def _fitting(value: Any, codec_name: str, wanted: object) -> Any:
    """``value``, if it is what ``wanted`` declares."""
    if misfit(value, wanted):
        held = class_name(type(value))
        raise UnreadableValue(codec_name, f"they hold {held} where {spelled(wanted)} is declared")
    return value


def codec_for(annotation: object) -> Codec | None:
    """The codec of values so annotated, or None where only the value can tell.

    Libraries are recognised by the names of the annotation's base classes, so that none is imported for it.
    """
    if isinstance(annotation, str):
        raise TypeError(f"the annotation {annotation!r} has not been resolved to what it names")
    wanted, _ = required(annotation)
    if says_nothing(wanted):
        return None
    kind = class_of(wanted)
    if kind is not None and len(union_members(wanted)) == 1:
        name = _name_for_class(kind)
        if name is not None:
            return codec_named(name)
    from lineal.artifacts.codecs import shapes

    if shapes.supports(wanted):
        return codec_named("json")
    return codec_named("pickle") if kind is not None else None


def codec_for_value(value: object) -> Codec:
    """The codec for a value of which no annotation speaks."""
    name = _name_for_class(type(value))
    if name is not None:
        return codec_named(name)
    if value is None or isinstance(value, _WITH_SPELLED_TYPES) or _is_numpy_scalar(type(value)):
        return codec_named("json")
    return codec_named("pickle")


_WITH_SPELLED_TYPES = (bool, int, float, str, list, dict, tuple, set, frozenset)


def codec_named(name: str) -> Codec:
    """The codec that records call ``name``. Raises KeyError for a name that no codec has."""
    codec = _loaded.get(name)
    if codec is None:
        if name not in NAMES:
            raise KeyError(name)
        module = importlib.import_module(f"lineal.artifacts.codecs.{name}")
        codec = _loaded[name] = module.CODEC
    return codec


_loaded: dict[str, Codec] = {}


def misfit(value: object, annotation: object) -> str | None:
    """Why ``value`` is no instance of what ``annotation`` declares, or None where it is.

    The inside of containers is looked at by the codec; numbers are taken as type checkers take them, an
    int for a float and a numpy scalar for its Python type.

    >>> misfit([], dict[str, int])
    'returned list where dict[str, int] is declared'
    """
    members = union_members(annotation)
    if any(_may_be(value, member) for member in members):
        return None
    return f"returned {class_name(type(value))} where {spelled(annotation)} is declared"


def _may_be(value: object, member: object) -> bool:
    kind = class_of(member)
    if kind is None or says_nothing(member):
        return True
    if kind in (int, float, bool, str) and not isinstance(value, kind):
        return _is_numpy_scalar(type(value)) or (kind is float and type(value) is int)
    if kind is int and isinstance(value, bool):
        return False
    try:
        return isinstance(value, kind)
    except TypeError:  # TypedDict and protocols that cannot be checked at run time: the codec looks inside
        return True


# -- classes, by name -------------------------------------------------------------------------

_BY_BASE = {("sklearn", "BaseEstimator"): "sklearn"}
_BY_CLASS = {
    ("pandas", "DataFrame"): "pandas",
    ("pandas", "Series"): "pandas",
    ("polars", "DataFrame"): "polars",
    ("polars", "Series"): "polars",
    ("pyarrow", "Table"): "arrow",
    ("numpy", "ndarray"): "numpy",
    ("numpy", "memmap"): "numpy",
}


def _name_for_class(kind: type[Any]) -> str | None:
    """The codec of a class that is one of a library's own; a subclass may hold what its base's codec would drop."""
    if kind is bytes:
        return "bytes"
    if issubclass(kind, File):
        return "file"
    if issubclass(kind, Directory):
        return "directory"
    own = _BY_CLASS.get(_root_and_name(kind))
    if own is not None:
        return own
    return next((_BY_BASE[key] for base in kind.__mro__ if (key := _root_and_name(base)) in _BY_BASE), None)


def _root_and_name(kind: type[Any]) -> tuple[str, str]:
    return kind.__module__.partition(".")[0], kind.__name__


def _is_numpy_scalar(kind: type[Any]) -> bool:
    return any(_root_and_name(base) == ("numpy", "generic") for base in kind.__mro__)
