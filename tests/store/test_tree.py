from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal_store import CorruptRecord, Digest, InvalidName, Tree, TreeEntry, canonical

X = Digest.of(b"x")
HOSTILE = [
    "",
    "/",
    "/etc/passwd",
    "..",
    "../x",
    "a/../x",
    ".",
    "./x",
    "a/.",
    "a//b",
    "a/",
    "a\\b",
    "..\\x",
    "a\0b",
]
HOSTILE += ["x" * 256, "a/" + "é" * 128, "\ud800"]

paths = st.lists(st.text("abé.-_ \n😀", min_size=1, max_size=5), min_size=1, max_size=4).map("/".join)


def entry(path: str, mode: int = 0o644, size_bytes: int = 1) -> TreeEntry:
    return TreeEntry(path, mode, X, size_bytes)


def encoded(rows: object, **more: object) -> bytes:
    return canonical.encode({"entries": rows, "format": "lineal.tree/1", **more})


@given(st.sets(paths, max_size=8))
def test_what_is_encoded_is_decoded(names: set[str]) -> None:
    try:
        tree = Tree(tuple(entry(name) for name in sorted(names)))
    except ValueError:
        return

    assert Tree.decode(tree.encode()) == tree


def test_a_tree_knows_the_size_of_its_files() -> None:
    assert Tree((entry("a", size_bytes=2), entry("b/c", 0o755, size_bytes=40))).size_bytes == 42
    assert Tree(()).size_bytes == 0


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: repr(path[:20]))
def test_a_path_that_could_lead_out_of_a_directory_is_refused(path: str) -> None:
    with pytest.raises(InvalidName):
        Tree((entry(path),))
    if path != "\ud800":
        with pytest.raises(CorruptRecord):
            Tree.decode(encoded([[path, 0o644, bytes(32), 1]]))


@pytest.mark.parametrize(
    "entries",
    [
        (entry("b"), entry("a")),
        (entry("a"), entry("a")),
        (entry("a"), entry("a/b")),
        (entry("a"), entry("a-b"), entry("a/b/c")),
        (entry("a", 0o777),),
        (entry("a", 0o4755),),
        (entry("a", size_bytes=-1),),
    ],
    ids=[
        "unsorted",
        "twice",
        "file as directory",
        "file as directory, apart",
        "mode",
        "setuid",
        "negative size",
    ],
)
def test_what_no_directory_can_be_is_refused(entries: tuple[TreeEntry, ...]) -> None:
    with pytest.raises(ValueError):
        Tree(entries)
    with pytest.raises(CorruptRecord, match="release"):
        Tree.decode(encoded([[e.path, e.mode, bytes(32), e.size_bytes] for e in entries]), what="release")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        canonical.encode(None),
        canonical.encode([]),
        canonical.encode({"entries": []}),
        canonical.encode({"entries": [], "format": "lineal.tree/2"}),
        canonical.encode({"entries": [], "format": "lineal.tree/1", "more": 1}),
        encoded({}),
        encoded([{}]),
        encoded([["a", 0o644, bytes(32)]]),
        encoded([["a", 0o644, bytes(31), 1]]),
        encoded([["a", 0o644, "0" * 64, 1]]),
        encoded([[b"a", 0o644, bytes(32), 1]]),
        encoded([["a", 420.0, bytes(32), 1]]),
        encoded([["a", 0o644, bytes(32), True]]),
        encoded([["a", 0o644, bytes(32), 1, 1]]),
    ],
)
def test_what_is_no_tree_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptRecord):
        Tree.decode(data)


@given(st.binary(max_size=50), st.data())
def test_decoding_is_total_and_what_it_accepts_is_canonical(noise: bytes, data: st.DataObject) -> None:
    whole = bytearray(Tree((entry("a/b"), entry("c", 0o755))).encode())
    at = data.draw(st.integers(0, len(whole)))
    whole[at : at + data.draw(st.integers(0, 4))] = noise[:6]
    for damaged in (noise, bytes(whole)):
        try:
            tree = Tree.decode(damaged)
        except CorruptRecord:
            continue
        assert tree.encode() == damaged


def test_a_tree_may_be_larger_than_a_record() -> None:
    tree = Tree(tuple(entry(f"images/{n:06}.png") for n in range(30_000)))

    assert len(tree.encode()) > canonical.MAX_RECORD_BYTES
    assert Tree.decode(tree.encode()) == tree
