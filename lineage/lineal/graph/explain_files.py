"""Where two files begin to differ, read as text, CSV or Parquet: by bytes and headers, and never unpickled.

Each function says nothing where it cannot tell; none raises for what is in a file.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lineal.graph.explain_values import explain_values

MOST_BYTES = 64 << 20
"""Of larger files nothing is read but the headers."""

_CHUNK = 1 << 20
_LONGEST_LINE = 1 << 14
_SHOWN = 60
_MOST_COLUMNS = 8
_SEPARATORS = {".csv": ",;\t|", ".tsv": "\t", ".tab": "\t"}


def explain_files(before: Path, after: Path, name: str) -> list[str]:
    """In what two files differ; ``name`` tells by its suffix what they are."""
    try:
        if _begins(before) == _begins(after) == b"PAR1":
            return explain_parquet(before, after)
        if max(before.stat().st_size, after.stat().st_size) > MOST_BYTES:
            return _explain_headers(before, after, name)
        return _explain_headers(before, after, name) or _explain_lines(before, after, name)
    except OSError:
        return []


def explain_columns(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The columns (name and type) that are others, at most some of them."""
    found = [
        f"column `{name}`: {before[name]} → {after[name]}"
        for name in after
        if name in before and before[name] != after[name]
    ]
    found += [f"column `{name}` is new{_of(after[name])}" for name in after if name not in before]
    found += [f"column `{name}` is gone{_of(before[name])}" for name in before if name not in after]
    if not found and list(before) != list(after):
        return ["the columns are in another order"]
    if len(found) > _MOST_COLUMNS:
        found = [*found[:_MOST_COLUMNS], f"and {len(found) - _MOST_COLUMNS} more columns"]
    return found


def explain_numbers(noun: str, before: object, after: object) -> list[str]:
    """``rows 336,776 → 336,780``, or nothing."""
    if not isinstance(before, int) or not isinstance(after, int) or before == after:
        return []
    return [f"{noun} {before:,} → {after:,}"]


def explain_size(before: int | None, after: int | None) -> list[str]:
    """
    >>> explain_size(999, 5_600_000), explain_size(7, 7)
    (['999 B → 5.6 MB'], [])
    """
    if before is None or after is None or before == after:
        return []
    was, now = size_words(before), size_words(after)
    return [f"{was} → {now}"] if was != now else [f"{before:,} → {after:,} bytes"]


def size_words(value: int) -> str:
    """
    >>> [size_words(value) for value in (0, 999, 1234, 56_700_000)]
    ['0 B', '999 B', '1.2 kB', '56.7 MB']
    """
    amount, units = float(value), ["B", "kB", "MB", "GB", "TB", "PB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{value} B" if value < 1000 else f"{amount:.1f} {units[0]}"


def _of(kind: str) -> str:
    return f" ({kind})" if kind else ""


def _begins(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(4)


# -- text -------------------------------------------------------------------------------------


def _explain_headers(before: Path, after: Path, name: str) -> list[str]:
    """The columns of two CSV files, by their first lines."""
    separators = _SEPARATORS.get(Path(name).suffix.lower())
    if separators is None:
        return []
    with before.open("rb") as one, after.open("rb") as other:
        first = [_decoded(stream.readline(_LONGEST_LINE)) for stream in (one, other)]
    if first[0] is None or first[1] is None:
        return []
    headers = [_fields(line, max(separators, key=line.count)) for line in first if line is not None]
    if any(len(set(header)) != len(header) for header in headers):
        return []
    return explain_columns(*(dict.fromkeys(header, "") for header in headers))


def _explain_lines(before: Path, after: Path, name: str) -> list[str]:
    """The first line in which two files differ, and how many they have."""
    with before.open("rb") as one, after.open("rb") as other:
        place = _first_difference(one, other)
        if place is None:
            return []
        number, offset = place
        lines = []
        for stream in (one, other):
            stream.seek(max(0, offset - _LONGEST_LINE))
            start = stream.read(min(offset, _LONGEST_LINE)).rpartition(b"\n")[2]
            stream.seek(offset - len(start))
            lines.append(_decoded(stream.readline(_LONGEST_LINE)))
        if lines[0] is None or lines[1] is None:
            return [f"different from byte {offset + 1:,} on"] if offset else []
        one.seek(0)
        header = _decoded(one.readline(_LONGEST_LINE)) or ""
        found = _explain_line(lines[0], lines[1], header, number, name)
        return [*found, *explain_numbers("lines", _count_lines(one), _count_lines(other))]


def _explain_line(old: str, new: str, header: str, number: int, name: str) -> list[str]:
    separators = _SEPARATORS.get(Path(name).suffix.lower())
    if not old or not new:
        return [f"line {number} is {'new' if new else 'gone'}: {_cut(new or old)}"]
    if separators is not None and number > 1:
        separator = max(separators, key=header.count)
        columns, was, now = (_fields(line, separator) for line in (header, old, new))
        if len(columns) == len(was) == len(now):
            differing = [
                f"line {number}, `{column}`: {_cut(one)} → {_cut(other)}"
                for column, one, other in zip(columns, was, now, strict=True)
                if one != other
            ]
            return differing[:3] + ([f"and {len(differing) - 3} more columns"] if len(differing) > 3 else [])
    return [f"line {number}: {_cut(old)} → {_cut(new)}"]


def _first_difference(one: Any, other: Any) -> tuple[int, int] | None:
    """The line (from 1) and the offset of the first byte that differs."""
    lines = offset = 0
    while True:
        was, now = one.read(_CHUNK), other.read(_CHUNK)
        if was != now:
            pairs = enumerate(zip(was, now, strict=False))
            shared = next((at for at, (a, b) in pairs if a != b), min(len(was), len(now)))
            return lines + was[:shared].count(b"\n") + 1, offset + shared
        if not was:
            return None
        lines += was.count(b"\n")
        offset += len(was)


def _count_lines(stream: Any) -> int:
    stream.seek(0)
    count, last = 0, b"\n"
    while chunk := stream.read(_CHUNK):
        count += chunk.count(b"\n")
        last = chunk[-1:]
    return count + (last != b"\n")


def _decoded(line: bytes) -> str | None:
    """A line as text without its end; None where it is no text."""
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text.rstrip("\r\n")


def _fields(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


# -- values -----------------------------------------------------------------------------------


def explain_json(before: Path, after: Path) -> list[str]:
    """The places in which two JSON texts differ."""
    try:
        if max(before.stat().st_size, after.stat().st_size) > _CHUNK:
            return []
        return explain_values(*(_tagged(json.loads(path.read_bytes())) for path in (before, after)))
    except (OSError, ValueError, RecursionError):
        return []


def _tagged(value: Any) -> Any:
    """JSON as parameters are encoded."""
    if isinstance(value, dict):
        return {"dict": [[key, _tagged(item)] for key, item in value.items()]}
    return [_tagged(item) for item in value] if isinstance(value, list) else value


def explain_parquet(before: Path, after: Path) -> list[str]:
    """Columns, types and rows of two Parquet files by their footers; where those are equal, the values."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(before) as one, pq.ParquetFile(after) as other:
            types = [{field.name: str(field.type) for field in file.schema_arrow} for file in (one, other)]
            rows = [file.metadata.num_rows for file in (one, other)]
            found = explain_columns(*types) + explain_numbers("rows", *rows)
            if found or max(before.stat().st_size, after.stat().st_size) > MOST_BYTES:
                return found
            for name in types[0]:
                found += _explain_column(name, one.read([name])[0], other.read([name])[0])
                if len(found) == _MOST_COLUMNS:
                    break
            return found
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError):
        return []


def _explain_column(name: str, before: Any, after: Any) -> list[str]:
    import pyarrow as pa
    import pyarrow.compute as pc

    old, new = before.combine_chunks(), after.combine_chunks()
    if old.equals(new):
        return []
    if pa.types.is_floating(old.type):  # a NaN is no difference from a NaN
        old, new = (pc.if_else(pc.is_nan(column), None, column) for column in (old, new))
    try:
        apart = pc.or_(pc.fill_null(pc.not_equal(old, new), False), pc.xor(pc.is_null(old), pc.is_null(new)))
    except pa.ArrowException:  # a type that cannot be compared
        return [f"column `{name}`: other values"]
    count = pc.sum(apart).as_py() or 0
    if not count:
        return []
    first = pc.index(apart, True).as_py()
    was, now = (_cut(str(column[first].as_py())) for column in (before, after))
    return [f"column `{name}`: {count:,} of {len(old):,} values differ, first in row {first}: {was} → {now}"]


def explain_arrays(before: Path, after: Path) -> list[str]:
    """How many values of two ``.npy`` files of one shape differ."""
    try:
        import numpy as np

        if max(before.stat().st_size, after.stat().st_size) > MOST_BYTES:
            return []
        old, new = (np.lib.format.open_memmap(path, mode="r").reshape(-1) for path in (before, after))
        apart = (old != new) & ~((old != old) & (new != new))  # noqa: PLR0124 (a NaN)
        count = int(apart.sum())
        if not count:
            return []
        first = int(apart.argmax())
        return [
            f"{count:,} of {len(old):,} values differ, first at {first}: {_cut(str(old[first]))} → {_cut(str(new[first]))}"
        ]
    except (ImportError, OSError, ValueError, TypeError, AttributeError, MemoryError):
        return []


EXPLAINERS: Mapping[str, Callable[[Path, Path], list[str]]] = {
    "json": explain_json,
    "arrow": explain_parquet,
    "pandas": explain_parquet,
    "polars": explain_parquet,
    "numpy": explain_arrays,
}
"""By the codec whose bytes they compare."""
