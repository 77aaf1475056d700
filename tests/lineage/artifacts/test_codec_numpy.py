"""numpy arrays."""

from __future__ import annotations

import errno
import io
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib._memmapping_reducer import _get_backing_memmap
from support import spelled

from lineal.artifacts import UnreadableValue, UnsupportedValue, codec_named, decode, encode
from lineal.artifacts.codecs import numpy as codec_module

PADDED = np.dtype([("flag", "u1"), ("value", "f8")], align=True)


def put(array: Any, folder: Path) -> bytes:
    encoded = encode(array, np.ndarray, folder / "value.npy")
    return encoded.path.read_bytes()


@pytest.fixture(params=["read", "mapped"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once as small arrays are decoded, and once as large ones."""
    if request.param == "mapped":
        monkeypatch.setattr(codec_module, "MAPPED_BYTES", 0)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype="int32").reshape(2, 3),
        np.array(5.0),
        np.zeros((0, 3)),
        np.array(["", ""]),
        np.array([1, 2], dtype=">i4"),
        np.array([True, False]),
        np.array([1 + 2j]),
        np.array(["a", "ü"]),
        np.array([b"a"]),
        np.array(["2026-01-01", "NaT"], dtype="datetime64[D]"),
        np.array([1.5], dtype="float16"),
        np.array([(1, 2.0)], dtype=PADDED),
        np.array([(1, [1.0, 2.0])], dtype=[("a", "i4"), ("b", "f4", (2,))]),
    ],
    ids=lambda array: str(array.dtype)[:30],
)
def test_an_array_comes_back_with_its_values_shape_and_dtype(array: Any, tmp_path: Path) -> None:
    put(array, tmp_path)

    back = decode("numpy", tmp_path / "value.npy", np.ndarray)

    assert back.dtype == array.dtype
    assert back.dtype.byteorder == array.dtype.byteorder
    assert back.shape == array.shape
    assert np.array_equal(back, array, equal_nan=array.dtype.kind == "M")
    assert back.flags.writeable


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of an array that is large enough to be mapped."""
    monkeypatch.setattr(codec_module, "MAPPED_BYTES", 1 << 20)
    put(np.arange((1 << 20) / 8), tmp_path)
    return tmp_path / "value.npy"


def test_a_large_array_can_be_written_to_and_its_file_stays_as_it_is(large: Path) -> None:
    before = large.read_bytes()
    array = decode("numpy", large, np.ndarray)

    array[:] = -1.0

    assert array.sum() == -len(array)
    assert large.read_bytes() == before


def test_a_large_array_takes_no_memory_before_it_is_looked_at(large: Path) -> None:
    decode("numpy", large, np.ndarray)
    tracemalloc.start()
    array = decode("numpy", large, np.ndarray)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes < array.nbytes / 10
    assert np.array_equal(array, np.arange(len(array)))


def test_a_large_array_outlives_the_name_of_its_file(large: Path) -> None:
    array = decode("numpy", large, np.ndarray)
    large.unlink()

    assert array[-1] == len(array) - 1


def test_what_is_written_to_a_large_array_is_sent_to_other_processes_with_it(large: Path) -> None:
    array = decode("numpy", large, np.ndarray)
    array[0] = 7.0

    assert _get_backing_memmap(array) is None  # else joblib sends the file's name
    assert pickle.loads(pickle.dumps(array))[0] == 7.0


def test_an_array_in_fortran_order_that_others_wrote_is_read(tmp_path: Path, either_way: None) -> None:
    array = np.asfortranarray(np.arange(6).reshape(2, 3))
    np.save(tmp_path / "value.npy", array)

    assert np.array_equal(decode("numpy", tmp_path / "value.npy", np.ndarray), array)


@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
def test_field_names_of_any_language_come_back(tmp_path: Path, either_way: None) -> None:
    array = np.array([(1.0,)], dtype=[("長さ", "f8")])
    put(array, tmp_path)

    assert decode("numpy", tmp_path / "value.npy", np.ndarray).dtype == array.dtype


@pytest.mark.parametrize("part_bytes", [1, 64, 1 << 20], ids=["row by row", "in parts", "whole"])
def test_equal_arrays_give_equal_bytes_however_they_lie_in_memory(
    part_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec_module, "_PART_BYTES", part_bytes)
    array = np.arange(12.0).reshape(3, 4)
    strided = np.zeros((6, 4))
    strided[::2] = array

    same = [put(same, tmp_path) for same in (array, np.asfortranarray(array), strided[::2], array.T.copy().T)]

    assert set(same) == {same[0]}
    assert np.array_equal(np.load(tmp_path / "value.npy"), array)


def test_what_lies_between_fields_does_not_count(tmp_path: Path) -> None:
    clean = np.zeros(2, PADDED)
    memory = bytearray(b"\xaa" * 2 * PADDED.itemsize)  # numpy itself copies no padding
    dirty = np.frombuffer(memory, PADDED)
    dirty["flag"], dirty["value"] = 0, 0

    assert any(memory)
    assert put(clean, tmp_path) == put(dirty, tmp_path)


def test_every_nan_is_one(tmp_path: Path) -> None:
    other = np.array([0xFFF8000000000001], dtype="u8").view("f8")

    for shape in ([np.nan], [1.0, np.nan, -np.inf], np.full((2, 2), np.nan)):
        same = np.array(shape)
        different = np.where(np.isnan(same), other, same)
        assert put(same, tmp_path) == put(different, tmp_path)
    assert put(np.array([-0.0]), tmp_path) != put(np.array([0.0]), tmp_path)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8"])
def test_an_array_whose_nans_are_that_one_is_not_copied(dtype: str) -> None:
    array = np.array([[1.0, np.nan], [np.inf, np.nan]], dtype)
    clean = np.array([1.0, np.inf], dtype)

    assert codec_module.canonical_array(array) is array
    assert codec_module.canonical_array(clean) is clean


def test_a_mapped_array_is_kept_as_the_array_that_it_shows(tmp_path: Path) -> None:
    np.save(tmp_path / "raw.npy", np.arange(3))

    assert put(np.load(tmp_path / "raw.npy", mmap_mode="r"), tmp_path) == put(np.arange(3), tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_full_disk_is_told_as_one() -> None:
    with pytest.raises(OSError) as caught:
        encode(np.zeros(100_000), np.ndarray, Path("/dev/full"))

    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([object()]), "would have to be pickled"),
        (np.array([(1, None)], dtype=[("a", "i4"), ("b", "O")]), "would have to be pickled"),
        (np.zeros(1, np.longdouble), "differs from machine to machine"),
        (np.ma.masked_array([1], mask=[True]), "MaskedArray would come back as a plain numpy.ndarray"),
        (np.rec.array([(1,)], dtype=[("a", "i4")]), "recarray would come back"),
        (np.array(["a"], dtype=np.dtypes.StringDType()), "does not keep the dtype|would have to be pickled"),
    ],
    ids=spelled,
)
def test_what_npy_files_do_not_hold_is_refused(array: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedValue, match=message) as caught:
        encode(array, np.ndarray, tmp_path / "value")

    assert caught.value.hint is not None


def test_the_description_says_shape_and_dtype(tmp_path: Path) -> None:
    encoded = encode(np.zeros((2, 3), "f4"), np.ndarray, tmp_path / "value")

    assert encoded.description == {"shape": [2, 3], "dtype": "float32"}


def hostile_files() -> list[bytes]:
    pickled = io.BytesIO()
    np.save(pickled, np.array([object], dtype=object), allow_pickle=True)
    plain = io.BytesIO()
    np.save(plain, np.arange(10))
    header = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999,), }"
    return [
        b"",
        b"\x93NUMPY",
        pickle.dumps(1),
        pickled.getvalue(),
        plain.getvalue()[:-8],
        header.ljust(127) + b"\n",
        b"PK\x03\x04",
    ]


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("data", hostile_files(), ids=range(7))
def test_other_bytes_give_one_typed_error(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "value").write_bytes(data)

    with pytest.raises(UnreadableValue):
        decode("numpy", tmp_path / "value", np.ndarray)
    with pytest.raises(UnreadableValue):
        codec_named("numpy").preview(tmp_path / "value")


@pytest.mark.parametrize(
    ("array", "values"),
    [(np.arange(100.0).reshape(10, 10), [0.0, 1.0]), (np.array(3), [3]), (np.zeros(0), [])],
    ids=["two", "none", "empty"],
)
def test_a_preview_shows_the_first_values(array: Any, values: list[float], tmp_path: Path) -> None:
    put(array, tmp_path)

    assert codec_named("numpy").preview(tmp_path / "value.npy", 2)["values"] == values
