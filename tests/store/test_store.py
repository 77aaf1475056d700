from __future__ import annotations

import json
import multiprocessing
import uuid
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal_store import StoreUnavailable, open_store
from lineal_store.store import HEADER, _checked_id


def test_a_store_is_made_where_there_is_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "deep" / "down" / "store")

    assert store.url == str(tmp_path / "deep" / "down" / "store")
    assert [path.name for path in Path(store.url).iterdir()] == [HEADER]
    header = json.loads(Path(store.url, HEADER).read_bytes())
    assert header["format"] == 1
    assert uuid.UUID(header["id"])


def test_a_store_is_opened_again_as_it_is(tmp_path: Path) -> None:
    digest = open_store(tmp_path / "store").blobs.put(b"data")
    header = (tmp_path / "store" / HEADER).read_bytes()

    for url in (
        str(tmp_path / "store"),
        tmp_path / "store",
        f"file://{tmp_path}/store",
        f"file://localhost{tmp_path}/store",
    ):
        assert open_store(url, create=False).blobs.read(digest) == b"data"
        assert open_store(url).blobs.read(digest) == b"data"
    assert (tmp_path / "store" / HEADER).read_bytes() == header


def test_a_file_url_is_unquoted(tmp_path: Path) -> None:
    assert open_store(f"file://{tmp_path}/my%20store").url == str(tmp_path / "my store")


def test_a_path_is_relative_to_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("store")
    monkeypatch.chdir("/")

    assert store.blobs.read(store.blobs.put(b"data")) == b"data"
    assert store.url == str(tmp_path / "store")


def test_memory_stores_are_shared_by_name() -> None:
    digest = open_store("memory://one").blobs.put(b"data")

    assert open_store("memory://one", create=False).blobs.read(digest) == b"data"
    assert open_store("memory://two").blobs.sizes([digest]) == {}
    assert open_store("memory://one").url == "memory://one"


def test_a_directory_of_only_hidden_files_is_fine(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*")

    open_store(tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {".gitignore", HEADER}


def test_a_directory_of_somebody_is_refused_and_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")

    with pytest.raises(StoreUnavailable, match=r"not empty: it holds thesis\.tex") as refusal:
        open_store(tmp_path)

    assert refusal.value.hint is not None
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_without_create_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    for url in (tmp_path / "absent", tmp_path / "empty", "memory://never made"):
        with pytest.raises(StoreUnavailable) as refusal:
            open_store(url, create=False)
        assert refusal.value.hint is not None
        assert refusal.value.exit_code == 5
    assert not (tmp_path / "absent").exists()
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    for create in (True, False):
        for path in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(StoreUnavailable, match="a file stands where a directory should be"):
                open_store(path, create=create)


@pytest.mark.parametrize("url", ["s3://", "gs://bucket", "ftp://x/y", "file://elsewhere/store", "://"])
def test_other_places_are_refused_with_a_hint(url: str) -> None:
    with pytest.raises(StoreUnavailable) as refusal:
        open_store(url)
    assert refusal.value.hint is not None


# -- the header ------------------------------------------------------------------------------------------------------


def with_header(path: Path, data: bytes) -> Path:
    open_store(path)
    (path / HEADER).unlink()
    (path / HEADER).write_bytes(data)
    return path


def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    path = with_header(tmp_path / "store", b'{"format": 2, "id": "x", "new": []}')

    with pytest.raises(StoreUnavailable, match="format 2") as refusal:
        open_store(path)
    assert refusal.value.hint is not None and "Upgrade lineal" in refusal.value.hint
    assert refusal.value.exit_code == 5


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"id": "x"}',
        b'{"format": 1}',
        b'{"format": 1.0, "id": "x"}',
        b'{"format": "1", "id": "x"}',
        b'{"format": true, "id": "x"}',
        b'{"format": 0, "id": "x"}',
        b'{"format": 1, "id": 7}',
    ],
    ids=lambda data: repr(data[:30]),
)
def test_a_damaged_header_is_told(tmp_path: Path, data: bytes) -> None:
    path = with_header(tmp_path / "store", data)

    with pytest.raises(StoreUnavailable, match=HEADER) as refusal:
        open_store(path)
    assert refusal.value.hint is not None
    assert (path / HEADER).read_bytes() == data


@given(st.binary(max_size=60) | st.text('{}[]"format:,id01x', max_size=40).map(str.encode))
def test_reading_a_header_is_total(data: bytes) -> None:
    try:
        _checked_id("somewhere", data)
    except StoreUnavailable:
        pass


# -- several processes -----------------------------------------------------------------------------------------------


def make(root: str, barrier: Barrier) -> None:
    for turn in range(20):
        barrier.wait(timeout=30)
        store = open_store(f"{root}/{turn}")
        store.refs.append("a", Path(store.url, HEADER).read_bytes())


def test_processes_that_make_a_store_at_once_make_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    makers = [context.Process(target=make, args=(str(tmp_path), barrier)) for _ in range(4)]
    for process in makers:
        process.start()
    for process in makers:
        process.join()

    assert [process.exitcode for process in makers] == [0] * 4
    for turn in range(20):
        seen = open_store(tmp_path / str(turn), create=False).refs.log("a")
        assert len(seen) == 4
        assert len(set(seen)) == 1
