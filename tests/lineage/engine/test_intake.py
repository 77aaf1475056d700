"""Outside data comes in by content; a memory of large files must never hide an edit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import pytest

from lineal.artifacts import Directory, File
from lineal.engine import intake as intake_module
from lineal.engine.intake import Intake, SourceUnavailable
from lineal_store import Digest, Store, open_store
from lineal_store.tree import Tree

LARGE = 2 << 20


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def take(store: Store, root: Path, url: str, *, keep: bool = True) -> Digest:
    """As a new run would: with nothing but the memory on the disk."""
    return Intake(store, root, root / "observed", keep=keep).take(File(url)).digest


def test_a_file_is_named_by_its_content_and_kept(store: Store, root: Path) -> None:
    (root / "raw.csv").write_bytes(b"a,b\n")

    digest = take(store, root, "raw.csv")

    assert digest == Digest.of(b"a,b\n")
    (root / "raw.csv").unlink()
    assert store.blobs.read(digest) == b"a,b\n"


@pytest.mark.parametrize("form", ["raw.csv", "{root}/raw.csv", "file://{root}/raw.csv"])
def test_paths_start_at_the_project_and_urls_say_where_they_are(store: Store, root: Path, form: str) -> None:
    (root / "raw.csv").write_bytes(b"x")

    assert take(store, root, form.format(root=root)) == Digest.of(b"x")


def test_a_remote_file_is_taken_through_fsspec(store: Store, root: Path) -> None:
    import fsspec

    with fsspec.open("memory://intake/raw.csv", "wb") as file:
        file.write(b"remote")

    digest = take(store, root, "memory://intake/raw.csv")

    assert store.blobs.read(digest) == b"remote"


def test_looking_keeps_nothing(store: Store, root: Path) -> None:
    (root / "raw.csv").write_bytes(b"x")

    digest = take(store, root, "raw.csv", keep=False)

    assert digest == Digest.of(b"x")
    assert not store.blobs.sizes([digest])


@pytest.mark.parametrize("size", [10, LARGE])
def test_a_same_size_edit_with_its_old_time_restored_is_seen(store: Store, root: Path, size: int) -> None:
    path = root / "raw.bin"
    path.write_bytes(b"a" * size)
    before = path.stat()
    first = take(store, root, "raw.bin")

    path.write_bytes(b"b" * size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert take(store, root, "raw.bin") != first


def test_a_touched_file_is_the_same_content(store: Store, root: Path) -> None:
    path = root / "raw.bin"
    path.write_bytes(b"a" * LARGE)
    first = take(store, root, "raw.bin")

    os.utime(path)

    assert take(store, root, "raw.bin") == first


def test_a_large_file_that_has_settled_is_not_read_again(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "raw.bin").write_bytes(b"a" * LARGE)
    monkeypatch.setattr(intake_module, "_CLOCK_GRANULARITY_NS", -1)
    first = take(store, root, "raw.bin")

    def read(*_: object) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(intake_module.Digest, "of_file", read)
    monkeypatch.setattr(intake_module.shutil, "copyfile", read)

    assert take(store, root, "raw.bin") == first


def test_a_file_written_within_the_clocks_granularity_is_not_remembered(store: Store, root: Path) -> None:
    (root / "raw.bin").write_bytes(b"a" * LARGE)

    take(store, root, "raw.bin")

    assert not (root / "observed").exists()


def test_a_damaged_memory_is_none(store: Store, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "raw.bin").write_bytes(b"a" * LARGE)
    monkeypatch.setattr(intake_module, "_CLOCK_GRANULARITY_NS", -1)
    first = take(store, root, "raw.bin")
    for note in (root / "observed").iterdir():
        note.write_bytes(b"\xff\x00")

    assert take(store, root, "raw.bin") == first


def test_a_file_whose_blob_was_deleted_is_kept_again(store: Store, root: Path) -> None:
    (root / "raw.bin").write_bytes(b"a")
    digest = take(store, root, "raw.bin")
    store.backend.delete([f"blobs/{digest.hex[:2]}/{digest.hex[2:]}"])

    take(store, root, "raw.bin")

    assert store.blobs.read(digest) == b"a"


def test_a_file_that_is_written_to_while_it_is_read_is_refused(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / "raw.bin"
    path.write_bytes(b"a" * LARGE)
    copy = intake_module.shutil.copyfileobj

    def copy_and_append(source: BinaryIO, target: BinaryIO, length: int) -> None:
        copy(source, target, length)
        with path.open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr(intake_module.shutil, "copyfileobj", copy_and_append)

    with pytest.raises(SourceUnavailable, match=r"raw.bin: it is being written to"):
        take(store, root, "raw.bin")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "it is a directory"),
        (lambda path: os.mkfifo(path), "it is not a regular file"),
    ],
)
def test_what_is_no_file_is_refused_with_a_reason(store: Store, root: Path, make, problem: str) -> None:
    make(root / "raw.csv")

    with pytest.raises(SourceUnavailable, match=problem):
        take(store, root, "raw.csv")


def test_an_unknown_protocol_is_refused_with_a_hint(store: Store, root: Path) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        take(store, root, "nowhere://raw.csv")

    assert caught.value.hint is not None


def test_a_directory_is_the_names_and_contents_of_its_files(store: Store, root: Path) -> None:
    (root / "raw" / "deep").mkdir(parents=True)
    (root / "raw" / "a.txt").write_bytes(b"a")
    (root / "raw" / "deep" / "b.txt").write_bytes(b"b")

    taken = Intake(store, root, root / "observed").take(Directory("raw"))

    tree = Tree.decode(store.blobs.read(taken.digest))
    assert [(entry.path, entry.digest) for entry in tree.entries] == [
        ("a.txt", Digest.of(b"a")),
        ("deep/b.txt", Digest.of(b"b")),
    ]


def test_damaged_bytes_of_a_source_are_healed_from_it(store: Store, root: Path) -> None:
    (root / "raw.bin").write_bytes(b"good")
    intake = Intake(store, root, root / "observed")
    digest = intake.take(File("raw.bin")).digest
    path = store.backend.local_path(f"blobs/{digest.hex[:2]}/{digest.hex[2:]}")
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(b"evil")

    assert intake.heal(digest)
    assert store.blobs.read(digest) == b"good"


def test_a_source_of_other_content_heals_nothing(store: Store, root: Path) -> None:
    (root / "raw.bin").write_bytes(b"good")
    intake = Intake(store, root, root / "observed")
    digest = intake.take(File("raw.bin")).digest
    (root / "raw.bin").write_bytes(b"new")

    assert not intake.heal(digest)
