"""The list of what a mapped stage returned, as a tree."""

from __future__ import annotations

import pytest

from lineal.artifacts.lists import Member, entries_of, listed, read_list
from lineal_store import Digest
from lineal_store.errors import CorruptRecord
from lineal_store.tree import Tree, TreeEntry

ONE, TWO, THREE = (Digest.of(text) for text in (b"1", b"2", b"3"))


def test_calls_come_back_in_their_order_each_output_under_its_name() -> None:
    tree = listed(
        entry
        for place, name, digest in [(10, "score", ONE), *((at, "score", TWO) for at in range(10))]
        for entry in entries_of(place, name, "json", "", digest, 1, None)
    )

    assert read_list(tree, "a list") == [{"score": Member("json", "", TWO)}] * 10 + [
        {"score": Member("json", "", ONE)}
    ]


def test_files_are_called_by_place_output_codec_and_ending() -> None:
    (entry,) = entries_of(12, "table", "file", ".tar.gz", ONE, 5, None)

    assert entry.path == "00000012.table.file.tar.gz"
    assert read_list(listed([*entries_of(0, "table", "file", ".tar.gz", ONE, 5, None)]), "a list") == [
        {"table": Member("file", ".tar.gz", ONE)}
    ]


def test_a_directory_is_a_folder_of_its_files_and_an_empty_one_its_own_tree() -> None:
    full = Tree((TreeEntry("a.txt", 0o644, TWO, 1), TreeEntry("sub/b.txt", 0o755, THREE, 1)))
    empty = Tree(())
    tree = listed(
        [
            *entries_of(0, "result", "directory", "", ONE, 9, full),
            *entries_of(1, "result", "directory", "", Digest.of(empty.encode()), 9, empty),
        ]
    )

    assert [entry.mode for entry in tree.entries] == [0o644, 0o755, 0o644]
    assert read_list(tree, "a list") == [
        {"result": Member("directory", "", None, {"a.txt": TWO, "sub/b.txt": THREE})},
        {"result": Member("directory", "", Digest.of(empty.encode()))},
    ]


@pytest.mark.parametrize(
    "paths",
    [
        ["readme.txt"],
        ["00000000.result"],
        ["0000000a.result.json"],
        ["0.result.json"],
        ["00000001.result.json"],
        ["00000000.result.json", "00000002.result.json"],
        ["00000000.result.json", "00000000.result.json.gz"],
        ["00000000..json"],
    ],
)
def test_a_tree_that_is_no_list_is_refused(paths: list[str]) -> None:
    tree = Tree(tuple(TreeEntry(path, 0o644, ONE, 1) for path in paths))

    with pytest.raises(CorruptRecord, match="a list"):
        read_list(tree, "a list")
