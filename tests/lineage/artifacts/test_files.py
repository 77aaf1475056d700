"""`File` and `Directory`."""

from __future__ import annotations

import gzip
import os
import pickle
from pathlib import Path

import pytest

from lineal.artifacts import Directory, File, NotLocal


def test_a_file_is_named_by_what_the_user_wrote() -> None:
    assert File("raw/flights.csv").url == "raw/flights.csv"
    assert File(Path("raw") / "flights.csv").url == "raw/flights.csv"
    assert repr(File("s3://raw/flights.csv")) == "File('s3://raw/flights.csv')"


def test_a_local_file_is_a_path() -> None:
    assert os.fspath(File("raw/flights.csv")) == "raw/flights.csv"
    assert File("file:///raw/flights.csv").path == Path("/raw/flights.csv")


def test_places_are_equal_when_class_and_url_are() -> None:
    assert File("a") == File("a")
    assert hash(File("a")) == hash(File.held("a", "/store/1"))
    assert File("a") != File("b")
    assert File("a") != Directory("a")


def test_a_held_file_lies_where_it_is_held_and_keeps_its_url(tmp_path: Path) -> None:
    copy = tmp_path / "flights.csv"
    copy.write_bytes(b"carrier\n")

    held = File.held("s3://raw/flights.csv", copy)

    assert held.url == "s3://raw/flights.csv"
    assert held.path == copy
    assert held.is_held
    with held.open() as stream:
        assert stream.read() == b"carrier\n"


def test_pandas_reads_a_file_and_takes_the_compression_from_its_name(tmp_path: Path) -> None:
    import pandas as pd

    blob = tmp_path / "ab12"
    blob.write_bytes(gzip.compress(b"carrier\nAA\n"))
    link = tmp_path / "flights.csv.gz"
    link.symlink_to(blob)

    frame = pd.read_csv(File.held("s3://raw/flights.csv.gz", link))

    assert frame["carrier"].tolist() == ["AA"]


def test_a_remote_file_has_no_path_until_a_run_brings_it_here() -> None:
    with pytest.raises(NotLocal, match=r"s3://raw/x\.csv is remote") as caught:
        os.fspath(File("s3://raw/x.csv"))

    assert caught.value.hint is not None
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_remote_file_opens_through_fsspec() -> None:
    import fsspec

    fsspec.filesystem("memory").pipe_file("/raw/x.txt", b"far away")

    with File("memory://raw/x.txt").open() as stream:
        assert stream.read() == b"far away"


@pytest.mark.parametrize("place", [File("raw/a"), File.held("s3://a", "/b/a"), Directory("raw")])
def test_a_place_survives_pickling(place: File | Directory) -> None:
    back = pickle.loads(pickle.dumps(place))

    assert back == place
    assert back.is_held == place.is_held


@pytest.mark.parametrize("nothing", ["", b"raw", 3, None])
def test_a_place_needs_a_url(nothing: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        File(nothing)  # type: ignore[arg-type]


def test_a_directory_lists_its_files_in_the_order_of_their_relative_paths(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)

    found = Directory(tmp_path).files()

    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a.txt", "a/z.txt", "b.txt"]
