"""numpy arrays, as ``.npy`` files without pickles."""

from __future__ import annotations

import math
import mmap
import os
from pathlib import Path
from typing import Any, BinaryIO, get_args

import numpy as np

from lineal.artifacts.codecs.protocol import (
    Description,
    StreamCodec,
    UnreadableValue,
    UnsupportedValue,
    class_name,
)

MAPPED_BYTES = 64 << 20
"""Files from this size on are mapped. Each holds a file open as long as its array lives, and of those a process has a
thousand or so; smaller ones are read in a hundredth of a second."""

_PART_BYTES = 16 << 20


class NumpyCodec(StreamCodec):
    """``.npy`` in C order, with its byte order, with zeros between the fields of records, and with one NaN.

    Memory order is not kept: it is how an array lies, not what it holds. A large array is not read but mapped, copy on
    write: it can be written to like any other, and the file is not changed by that.
    """

    name = "numpy"
    suffix = ".npy"
    executes_code = False

    def write(self, value: Any, annotation: object, stream: BinaryIO) -> Description:
        if type(value) not in (np.ndarray, np.memmap):
            raise UnsupportedValue(
                f"{class_name(type(value))} would come back as a plain numpy.ndarray",
                "Return numpy.asarray(value), or name the class itself in the annotation.",
            )
        _refuse_unportable(value.dtype)
        _refuse_other_dtype(value.dtype, annotation)
        array = canonical_array(np.asarray(value))
        _write(array, stream)
        return {"shape": list(array.shape), "dtype": _dtype_text(array.dtype)}

    def decode(self, path: Path, annotation: object) -> Any:
        try:
            with path.open("rb") as stream:
                if os.fstat(stream.fileno()).st_size >= MAPPED_BYTES:
                    return _mapped(stream)
                return np.lib.format.read_array(stream, allow_pickle=False)
        except _UNREADABLE as error:
            raise UnreadableValue(self.name, str(error)) from None

    def preview(self, path: Path, limit: int = 20) -> Description:
        try:
            array = np.lib.format.open_memmap(path, mode="r")
            first = array.reshape(-1)[:limit]
            values = [
                repr(item) if not isinstance(item, (int, float, str)) else item for item in first.tolist()
            ]
        except _UNREADABLE as error:
            raise UnreadableValue(self.name, str(error)) from None
        return {"shape": list(array.shape), "dtype": _dtype_text(array.dtype), "values": values}


def _write(array: Any, stream: BinaryIO) -> None:
    """Write ``array`` in C order, a part at a time: where it lies otherwise, a copy of it would be as large again.

    Raises OSError with its number, which numpy's own writer keeps to itself.
    """
    try:
        header = np.lib.format.header_data_from_array_1_0(array) | {"fortran_order": False}
        np.lib.format.write_array_header_1_0(stream, header)
    except ValueError:  # field names that take a later version of the format
        np.lib.format.write_array(stream, np.asarray(array, order="C"), allow_pickle=False)
        return
    if array.nbytes:
        rows = np.atleast_1d(array)
        step = max(1, _PART_BYTES * len(rows) // array.nbytes)
        stream.writelines(
            np.ascontiguousarray(rows[start : start + step]).reshape(-1).view("u1").data
            for start in range(0, len(rows), step)
        )


def _mapped(stream: BinaryIO) -> Any:
    """The array in ``stream`` as private pages of that file, each of which is read when it is first looked at."""
    version = np.lib.format.read_magic(stream)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read_header:  # field names beyond Latin-1
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False)
    shape, fortran_order, dtype = read_header[version](stream)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects")
    pages = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    # Through a memoryview: what joblib takes for a mapped file it gives to its workers as that file, without what was
    # written to the pages since.
    items = np.frombuffer(memoryview(pages), dtype, math.prod(shape), stream.tell())
    return items.reshape(shape, order="F" if fortran_order else "C")


_UNREADABLE = (ValueError, TypeError, EOFError, OSError, SyntaxError, OverflowError, MemoryError)


def canonical_array(array: Any) -> Any:
    """``array`` itself, or where equal arrays could differ in bytes, an equal one in which nothing is left to chance.

    What lies between the fields of records is set to zero, and every NaN becomes the one of ``numpy.nan``.
    """
    if array.dtype.names is not None:
        clean = np.zeros(array.shape, array.dtype)
        for name in array.dtype.names:
            clean[name] = canonical_array(array[name])
        return clean
    if array.dtype.kind not in "fc":
        return array
    with np.errstate(invalid="ignore"):  # a signalling NaN
        if array.dtype.kind == "f" and not (array.size and np.isnan(array.max())):  # which is NaN if any is
            return array
    holes = np.isnan(array)
    if not holes.any():
        return array
    if array.dtype.kind == "f":
        bits = array.view(array.dtype.str.replace("f", "u"))
        if (bits[holes] == np.array(np.nan, array.dtype).view(bits.dtype)).all():
            return array
        clean = array.copy()
        clean[holes] = np.nan
        return clean
    clean = array.copy()
    clean.real[np.isnan(clean.real)] = np.nan
    clean.imag[np.isnan(clean.imag)] = np.nan
    return clean


def _refuse_unportable(dtype: Any) -> None:
    if dtype.hasobject:
        raise UnsupportedValue(
            f"an array of dtype {dtype} would have to be pickled",
            "Give it a dtype of its own, array.astype(str) or astype(float) for example; or return a list.",
        )
    names = [dtype] if dtype.names is None else [dtype[name].base for name in dtype.names]
    if any(name.kind in "fc" and name.char in "gG" for name in names):
        raise UnsupportedValue(
            f"dtype {dtype} differs from machine to machine", "Convert it with array.astype('float64')."
        )
    try:
        kept = np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype))
    except (ValueError, TypeError):
        kept = None
    if kept != dtype or dtype.metadata or dtype.kind not in "biufcmMSUV":
        raise UnsupportedValue(
            f"the .npy format does not keep the dtype {dtype}", "Convert it to a plain dtype."
        )


def _refuse_other_dtype(dtype: Any, annotation: object) -> None:
    """``numpy.ndarray[shape, numpy.dtype[numpy.float32]]``, which ``NDArray`` stands for, names the scalar."""
    for argument in get_args(annotation)[1:2]:
        for scalar in get_args(argument)[:1]:
            if isinstance(scalar, type) and not issubclass(dtype.type, scalar):
                raise UnsupportedValue(
                    f"an array of {dtype} where {class_name(scalar)} is declared",
                    "Correct the annotation or the dtype.",
                )


def _dtype_text(dtype: Any) -> str:
    text = str(dtype)
    return text if len(text) <= 1000 else text[:999] + "…"


CODEC = NumpyCodec()
