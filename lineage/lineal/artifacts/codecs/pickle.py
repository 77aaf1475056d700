"""Objects of other classes, as pickles."""

from __future__ import annotations

import pickle
import pickletools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from lineal.artifacts.canonical_pickle import dump
from lineal.artifacts.codecs.protocol import (
    MAX_DESCRIPTION_BYTES,
    Description,
    StreamCodec,
    UnreadableValue,
    UnsupportedValue,
    class_name,
)


class PickleCodec(StreamCodec):
    """A canonical pickle, protocol 5. Reading one runs what it names."""

    name = "pickle"
    suffix = ".pickle"
    executes_code = True

    def write(self, value: Any, annotation: object, stream: BinaryIO) -> Description:
        return pickled(value, stream)

    def decode(self, path: Path, annotation: object) -> Any:
        return unpickled(self.name, path)

    def preview(self, path: Path, limit: int = 20) -> Description:
        return preview_of_pickle(self.name, path)


def pickled(value: object, stream: BinaryIO) -> Description:
    """Write the pickle and say what it is of.

    ``names`` are the classes and functions in it that belong to no library known to us: when they change,
    so does what the bytes mean. ``names_left_out`` counts those that a record has no room for.
    """
    _refuse_local(value)
    try:
        names = dump(value, stream)
    except RecursionError:
        raise UnsupportedValue(
            f"{class_name(type(value))} is nested too deeply to be pickled",
            "Hold its parts in a list rather than in one another.",
        ) from None
    except OSError:
        raise
    except Exception as error:  # __reduce__ and __getstate__ are the value's own and may raise anything
        raise UnsupportedValue(
            f"{class_name(type(value))} cannot be pickled: {error}",
            "Take out of it what cannot be kept (locks, connections, open files, lambdas, local functions), or"
            " return the parts that matter as a table, array, dict or File.",
        ) from error
    return {"class": class_name(type(value))} | _bounded_names(
        [name for name in names if name.partition(":")[0].partition(".")[0] not in _LIBRARIES]
    )


def unpickled(codec: str, path: Path) -> Any:
    """The value. Runs what the pickle names: for the bytes of trusted runs only."""
    try:
        with path.open("rb") as stream:
            return pickle.load(stream)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # what a pickle runs may raise anything
        raise UnreadableValue(codec, f"{type(error).__name__}: {error}") from error


def preview_of_pickle(codec: str, path: Path) -> Description:
    """Class and size, read off the first opcodes: nothing is unpickled."""
    with path.open("rb") as stream:
        head = stream.read(256 * 1024)
    if head[:1] != pickle.PROTO:
        raise UnreadableValue(codec, "they are no pickle")
    return {"class": next(_globals_in(head), None), "length": path.stat().st_size}


def _globals_in(head: bytes) -> Iterator[str]:
    """What the pickle names, in order, as far as its head tells."""
    memo: list[str] = []
    texts: list[str] = []
    try:
        for opcode, found, _ in pickletools.genops(head):
            argument: Any = found
            if opcode.name in ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"):
                texts.append(argument)
            elif opcode.name == "MEMOIZE":
                memo.append(texts[-1] if texts else "")
            elif opcode.name in ("BINGET", "LONG_BINGET"):
                texts.append(memo[argument])
            elif opcode.name == "STACK_GLOBAL":
                yield f"{texts[-2]}.{texts[-1]}"
            elif opcode.name == "GLOBAL":
                yield argument.replace(" ", ".")
    except (ValueError, IndexError, KeyError):
        return  # the head ends inside of an opcode, or the bytes are hostile


def _refuse_local(value: object) -> None:
    qualname = getattr(type(value), "__qualname__", "")
    own = getattr(value, "__qualname__", "") if callable(value) else ""
    if not isinstance(own, str):
        own = ""
    for name, kind in ((own, "function"), (qualname, "class")):
        if "<lambda>" in name or "<locals>" in name:
            what = "a lambda" if "<lambda>" in name else f"the local {kind} {name}"
            raise UnsupportedValue(
                f"{what} cannot be kept: no later process could find it",
                f"Move the {'function' if '<lambda>' in name else kind} to the top level of its module.",
            )


def _bounded_names(names: list[str]) -> Description:
    kept: list[str] = []
    room = MAX_DESCRIPTION_BYTES - 512
    for name in names:
        room -= len(name.encode("utf-8", "replace")) + 4
        if room < 0:
            return {"names": kept, "names_left_out": len(names) - len(kept)}
        kept.append(name)
    return {"names": kept} if kept else {}


_LIBRARIES = sys.stdlib_module_names | {"joblib", "numpy", "pandas", "polars", "scipy", "sklearn"}

CODEC = PickleCodec()
