"""numpy arrays, as ``.npy`` files without pickles."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np

from lineal.artifacts.codecs.protocol import Description, UnreadableValue, UnsupportedValue, class_name


class NumpyCodec:
    """``.npy`` in C order, with its byte order, with zeros between the fields of records, and with one NaN.

    Memory order is not kept: it is how an array lies, not what it holds.
    """

    name = "numpy"
    suffix = ".npy"
    executes_code = False

    def encode(self, value: Any, annotation: object, path: Path) -> Description:
        if type(value) not in (np.ndarray, np.memmap):
            raise UnsupportedValue(
                f"{class_name(type(value))} would come back as a plain numpy.ndarray",
                "Return numpy.asarray(value), or name the class itself in the annotation.",
            )
        _refuse_unportable(value.dtype)
        _refuse_other_dtype(value.dtype, annotation)
        array = canonical_array(np.asarray(value))
        with path.open("wb") as stream:
            np.lib.format.write_array(stream, np.asarray(array, order="C"), allow_pickle=False)
        return {"shape": list(array.shape), "dtype": _dtype_text(array.dtype)}

    def decode(self, path: Path, annotation: object) -> Any:
        try:
            with path.open("rb") as stream:
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
    holes = np.isnan(array)
    if not holes.any():
        return array
    clean = array.copy()
    if array.dtype.kind == "f":
        clean[holes] = np.nan
    else:
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
