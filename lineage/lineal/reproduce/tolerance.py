"""Are two artifacts equal as far as their user cares? Tables by rows and columns, arrays by norm, numbers by difference."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NO_DIFFERENCE = "no value differs"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Two numbers are equal within it when they are no more than ``atol`` plus ``rtol`` times the expected one apart."""

    rtol: float = 0.0
    atol: float = 0.0

    def holds(self, expected: float, difference: float) -> bool:
        return difference <= self.atol + self.rtol * abs(expected)

    def __str__(self) -> str:
        return f"rtol={self.rtol:g}, atol={self.atol:g}"


def compare_within(codec: str, expected: Path, actual: Path, tolerance: Tolerance) -> tuple[bool, str] | None:
    """Whether two files of a codec are equal within the tolerance, and how far apart they are.

    None where that cannot be told: their shapes differ, or they are of a kind that has no numbers.
    """
    compare = _BY_CODEC.get(codec)
    try:
        return compare(expected, actual, tolerance) if compare is not None else None
    except (ImportError, OSError, ValueError, RecursionError, MemoryError):
        return None


def _compare_json(expected: Path, actual: Path, tolerance: Tolerance) -> tuple[bool, str] | None:
    """Numbers may differ, nothing else."""
    farthest, holds = ("", 0.0), True
    values = [json.loads(path.read_bytes()) for path in (expected, actual)]
    for place, old, new in _numbers(values[0], values[1], ""):
        difference = abs(new - old)
        holds = holds and tolerance.holds(old, difference)
        if difference >= farthest[1]:
            farthest = (place, difference)
    place, difference = farthest
    if difference == 0:
        return holds, NO_DIFFERENCE
    return holds, f"largest difference {difference:.3g}" + (f" at {place}" if place else "")


def _numbers(old: Any, new: Any, place: str) -> Iterator[tuple[str, float, float]]:
    """The pairs of numbers of two values that differ in nothing else; ValueError where they do."""
    if isinstance(old, dict) and isinstance(new, dict) and list(old) == list(new):
        for key in old:
            yield from _numbers(old[key], new[key], f"{place}[{json.dumps(key)}]")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for at, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _numbers(one, other, f"{place}[{at}]")
    elif type(old) in (int, float) and type(new) in (int, float):
        if old != new:
            if not (math.isfinite(old) and math.isfinite(new)):
                raise ValueError("no difference can be told")
            yield place, old, new
    elif old != new or type(old) is not type(new):
        raise ValueError("they differ in more than numbers")


def _compare_tables(expected: Path, actual: Path, tolerance: Tolerance) -> tuple[bool, str] | None:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(expected) as one, pq.ParquetFile(actual) as other:
            types = [{field.name: field.type for field in file.schema_arrow} for file in (one, other)]
            if types[0] != types[1] or one.metadata.num_rows != other.metadata.num_rows:
                return None
            farthest, holds = ("", 0.0, 0), True
            for name, kind in types[0].items():
                old, new = (file.read([name])[name].combine_chunks() for file in (one, other))
                if old.equals(new):
                    continue
                if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
                    return None
                old, new = (pc.cast(column, pa.float64()) for column in (old, new))
                blank = [
                    pc.or_kleene(pc.is_null(each), pc.fill_null(pc.is_nan(each), True)) for each in (old, new)
                ]
                if not blank[0].equals(blank[1]):
                    return None
                old, new = (pc.if_else(blank[0], 0.0, column) for column in (old, new))
                same = pc.equal(old, new)  # equal infinities have no difference
                apart = pc.if_else(same, 0.0, pc.abs(pc.subtract(new, old)))
                most = pc.add(tolerance.atol, pc.multiply(tolerance.rtol, pc.abs(old)))
                near = pc.and_(pc.is_finite(apart), pc.less_equal(apart, most))
                holds = holds and bool(pc.all(pc.or_(same, near)).as_py())
                difference = pc.max(apart).as_py()
                if not difference <= farthest[1]:
                    farthest = (name, difference, pc.index(apart, difference).as_py())
    except pa.ArrowException:
        return None
    name, difference, row = farthest
    if difference == 0:
        return holds, NO_DIFFERENCE
    where = f" in column `{name}`, row {row}" if name else ""
    return holds, f"largest difference {difference:.3g}{where}"


def _compare_arrays(expected: Path, actual: Path, tolerance: Tolerance) -> tuple[bool, str] | None:
    import numpy as np

    old, new = (np.load(path, mmap_mode="r", allow_pickle=False) for path in (expected, actual))
    if old.shape != new.shape or old.dtype != new.dtype or old.dtype.kind not in "fiuc":
        return None
    norm, apart = norms(old, new)
    if apart == 0:
        return True, NO_DIFFERENCE
    return tolerance.holds(norm, apart), f"norm of the difference {apart:.3g}, of the array {norm:.3g}"


def norms(old: Any, new: Any) -> tuple[float, float]:
    """The norm of one array, and that of its difference to another; what is NaN or equal in both does not differ."""
    import numpy as np

    kind = np.complex128 if old.dtype.kind == "c" else np.float64
    one, other = (np.asarray(each, kind).reshape(-1) for each in (old, new))
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    difference = np.where(same, 0, other - one)
    finite = np.where(np.isfinite(one), one, 0)
    apart = float(np.linalg.norm(difference))
    return float(np.linalg.norm(finite)), math.inf if math.isnan(apart) else apart


_BY_CODEC: Mapping[str, Callable[[Path, Path, Tolerance], tuple[bool, str] | None]] = {
    "json": _compare_json,
    "arrow": _compare_tables,
    "pandas": _compare_tables,
    "polars": _compare_tables,
    "numpy": _compare_arrays,
}
