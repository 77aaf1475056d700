"""What stages use besides the project's sources is kept with the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineal.engine.beside import keep_beside
from lineal.fingerprint.declared import hash_reads
from lineal.fingerprint.sources import Sources
from lineal.graph.records import Beside
from lineal_store import Digest, Store, Tree, open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """A project with data beside its code, and a library that it uses in place."""
    for name, text in (
        ("project/flow.py", "import shared\n"),
        ("project/data/words.txt", "words"),
        ("project/data/run.sh", "#!/bin/sh\n"),
        ("library/shared.py", "VALUE = 1\n"),
        ("elsewhere.txt", "elsewhere"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "project/data/run.sh").chmod(0o755)
    return Sources.capture(tmp_path / "project")


def kept(store: Store, beside: Beside | None) -> dict[str, tuple[int, bytes]]:
    assert beside is not None
    entries = Tree.decode(store.blobs.read(Digest.parse(beside.tree))).entries
    return {entry.path: (entry.mode, store.blobs.read(entry.digest)) for entry in entries}


def test_where_there_is_nothing_nothing_is_kept(store: Store, sources: Sources) -> None:
    assert keep_beside(store, sources, {}, lambda: ()) is None
    assert keep_beside(store, sources, {"missing.txt": "absent", "data": "folder"}, lambda: ()) is None
    assert list(store.blobs.list()) == []


def test_declared_files_and_code_from_outside_lie_in_folders_of_their_own(
    store: Store, sources: Sources, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    sources.read(f"{library}/shared.py")
    read = hash_reads(sources.root, ["data", tmp_path / "elsewhere.txt"])

    beside = keep_beside(store, sources, read, lambda: (str(library), str(tmp_path / "unused")))

    assert kept(store, beside) == {
        "project/data/words.txt": (0o644, b"words"),
        "project/data/run.sh": (0o755, b"#!/bin/sh\n"),
        f"outside{tmp_path}/elsewhere.txt": (0o644, b"elsewhere"),
        f"outside{library}/shared.py": (0o644, b"VALUE = 1\n"),
    }
    assert beside is not None
    assert beside.search == [str(library)]


def test_what_is_there_is_not_read_again(store: Store, sources: Sources, tmp_path: Path) -> None:
    read = hash_reads(sources.root, ["data"])
    first = keep_beside(store, sources, read, lambda: ())
    (tmp_path / "project/data/words.txt").write_text("WORDS")  # which would be seen
    before = list(store.blobs.list())

    assert keep_beside(store, sources, read, lambda: ()) == first
    assert list(store.blobs.list()) == before


def test_a_file_that_is_no_longer_what_was_hashed_is_left_out(
    store: Store, sources: Sources, tmp_path: Path
) -> None:
    read = hash_reads(sources.root, ["data"])
    (tmp_path / "project/data/words.txt").write_text("WORDS")

    assert list(kept(store, keep_beside(store, sources, read, lambda: ()))) == ["project/data/run.sh"]
