"""What every codec is, and the two things that can go wrong with one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from lineal.errors import LinealError

Description = dict[str, Any]
"""What a record keeps about a value beside its digest: JSON-like, at most `MAX_DESCRIPTION_BYTES`."""

MAX_DESCRIPTION_COLUMNS = 200
MAX_DTYPE_LENGTH = 200
MAX_DESCRIPTION_BYTES = 4096


class Codec(Protocol):
    """A way to write values of some classes as canonical bytes, and to read them back."""

    name: str
    """What records call it: json, bytes, arrow, pandas, polars, numpy, sklearn, pickle, file, directory."""
    suffix: str
    """What a file of these bytes is usually called, ``.parquet`` for example; may be empty."""
    executes_code: bool
    """Whether reading runs code that the bytes name: such bytes are read only from trusted runs."""

    def encode(self, value: Any, annotation: object, path: Path) -> Description:
        """Write ``value`` to ``path``, which does not exist yet. Raises `UnsupportedValue`."""
        ...

    def decode(self, path: Path, annotation: object) -> Any:
        """The value that `encode` wrote. Raises `UnreadableValue` for any other bytes."""
        ...

    def preview(self, path: Path, limit: int = 20) -> Mapping[str, Any]:
        """Facts and at most ``limit`` rows, items or lines, for people; never unpickles.

        Raises `UnreadableValue`.
        """
        ...


class InMemoryCodec:
    """A codec for values that are whole in memory as bytes too: what has the bytes needs no file to read them."""

    name: str

    def dump(self, value: Any, annotation: object) -> tuple[bytes, Description]:
        """What `encode` writes, and returns."""
        raise NotImplementedError

    def load(self, data: bytes, annotation: object) -> Any:
        """What `decode` answers for a file of ``data``."""
        raise NotImplementedError

    def encode(self, value: Any, annotation: object, path: Path) -> Description:
        data, description = self.dump(value, annotation)
        path.write_bytes(data)
        return description

    def decode(self, path: Path, annotation: object) -> Any:
        return self.load(path.read_bytes(), annotation)


class StreamCodec:
    """A codec that writes its bytes from the first to the last, so that they can be digested on their way."""

    def write(self, value: Any, annotation: object, stream: BinaryIO) -> Description:
        """Write to ``stream`` what `encode` writes to its file; raises the same."""
        raise NotImplementedError

    def encode(self, value: Any, annotation: object, path: Path) -> Description:
        with path.open("wb") as stream:
            return self.write(value, annotation, stream)


class UnsupportedValue(LinealError):
    """A value cannot be kept as an artifact, or is not what its annotation says.

    ``place`` is the part of the value that is meant, ``value["a"][3]`` or ``column 'x'``; empty for the whole.
    """

    kind = "contract"

    def __init__(self, problem: str, hint: str | None = None, place: str = "") -> None:
        super().__init__(problem, hint, place)  # pickle rebuilds errors from args
        self.problem, self.hint, self.place = problem, hint, place

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}" if self.place else self.problem


class UnreadableValue(LinealError):
    """Bytes do not hold a value of the codec they are read with, or of the annotation asked for."""

    kind = "contract"
    hint = "Look at the artifact with `lineal show`; the stage that made it may declare another type."

    def __init__(self, codec: str, problem: str) -> None:
        super().__init__(codec, problem)
        self.codec, self.problem = codec, problem

    def __str__(self) -> str:
        return f"the bytes cannot be read as {self.codec}: {self.problem}"


def check_plain_frame(value: object, kinds: Sequence[type[Any]]) -> None:
    """Refuse a subclass of a library's frame or series: what it holds besides would be dropped. `UnsupportedValue`."""
    if type(value) not in kinds:
        raise UnsupportedValue(
            f"{class_name(type(value))} would come back as a plain DataFrame or Series",
            "Convert it, or name the class itself in the annotation.",
        )


def class_name(kind: object) -> str:
    """A class as people write it: ``pandas.DataFrame``, ``list``, ``churn.models.Trained``.

    >>> class_name(list), class_name(Codec)
    ('list', 'lineal.artifacts.codecs.protocol.Codec')
    """
    module = getattr(kind, "__module__", "builtins")
    name = getattr(kind, "__qualname__", None) or str(kind)
    return name if module == "builtins" else f"{module}.{name}"


def described_columns(columns: Mapping[str, str]) -> Description:
    """Columns with their types, long ones cut, up to what fits into a record; ``columns_left_out`` says how many do not."""
    kept: dict[str, str] = {}
    room = MAX_DESCRIPTION_BYTES - 512
    for name, dtype in columns.items():
        if len(dtype) > MAX_DTYPE_LENGTH:  # an Enum has all its categories there
            dtype = dtype[: MAX_DTYPE_LENGTH - 1] + "…"
        room -= len(name.encode("utf-8", "replace")) + len(dtype.encode("utf-8", "replace")) + 6
        if room < 0 or len(kept) == MAX_DESCRIPTION_COLUMNS:
            return {"columns": kept, "columns_left_out": len(columns) - len(kept)}
        kept[name] = dtype
    return {"columns": kept}
