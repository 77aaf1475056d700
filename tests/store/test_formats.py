"""The vectors of docs/formats.md hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lineal_store import CorruptRecord, Digest, Store, Tree, TreeEntry, canonical
from lineal_store.backends.memory import MemoryBackend
from lineal_store.blobs import name_of
from lineal_store.sealed import seal, unseal
from lineal_store.store import _checked_id

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()


def rows(first: str, second: str) -> Sequence[tuple[str, ...]]:
    """The rows of the table whose header starts with these two cells, without their backquotes."""
    lines = PAGE.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith(f"| {first} | {second} |"))

    def cells() -> Iterator[tuple[str, ...]]:
        for line in lines[at + 2 :]:
            if not line.startswith("|"):
                return
            yield tuple(cell.strip().strip("`") for cell in line.strip("|").split(" | "))

    return list(cells())


def value(text: str) -> object:
    return eval(text, {"__builtins__": {"float": float}})


@pytest.mark.parametrize(("data", "digest", "name"), rows("bytes (hex)", "digest"))
def test_digests_are_as_documented(data: str, digest: str, name: str) -> None:
    assert str(Digest.of(bytes.fromhex(data))) == digest
    assert name_of(Digest.parse(digest)) == name


@pytest.mark.parametrize(("text", "encoding"), rows("value", "encoding (hex)"))
def test_encodings_are_as_documented(text: str, encoding: str) -> None:
    assert canonical.encode(value(text)).hex() == encoding
    assert repr(canonical.decode(bytes.fromhex(encoding))) == repr(sort(value(text)))


def sort(one: object) -> object:
    return dict(sorted(one.items())) if isinstance(one, dict) else one


@pytest.mark.parametrize(("data", "because"), rows("refused (hex)", "because"))
def test_what_is_documented_as_refused_is(data: str, because: str) -> None:
    with pytest.raises(CorruptRecord):
        canonical.decode(bytes.fromhex(data))


@pytest.mark.parametrize(("text", "sealed"), rows("value", "sealed (hex)"))
def test_seals_are_as_documented(text: str, sealed: str) -> None:
    assert seal(value(text)).hex() == sealed
    assert unseal(bytes.fromhex(sealed)) == value(text)


@pytest.mark.parametrize(("files", "encoding", "digest"), rows("files (path, mode, content)", "tree (hex)"))
def test_trees_are_as_documented(files: str, encoding: str, digest: str) -> None:
    entries = value(files)
    assert isinstance(entries, list)
    tree = Tree(tuple(TreeEntry(path, mode, Digest.of(data), len(data)) for path, mode, data in entries))

    assert tree.encode().hex() == encoding
    assert str(Digest.of(tree.encode())) == digest
    assert Tree.decode(bytes.fromhex(encoding)) == tree


@pytest.mark.parametrize(("text", "sealed"), rows("retirement", "sealed (hex)"))
def test_retirements_are_as_documented(text: str, sealed: str) -> None:
    store = Store(MemoryBackend())
    store.actions.retire("a" * 32, 0, "forced", by="ann", at=datetime(2026, 11, 22, 12, tzinfo=UTC))

    assert store.backend.read(f"refs/retired/{'a' * 32}.0").hex() == sealed
    assert unseal(bytes.fromhex(sealed)) == value(text)


@pytest.mark.parametrize(("ref", "entry"), rows("ref", "first entry"))
def test_refs_are_named_as_documented(ref: str, entry: str) -> None:
    store = Store(MemoryBackend())
    store.refs.append(ref, b"")

    assert [info.name for info in store.backend.list("")] == [entry]


@pytest.mark.parametrize(("run_id", "begun", "finished"), rows("run id", "begun"))
def test_runs_are_named_as_documented(run_id: str, begun: str, finished: str) -> None:
    store = Store(MemoryBackend())
    store.runs.begin(run_id, b"")
    store.runs.finish(run_id, b"")

    assert [info.name for info in store.backend.list("")] == [finished, begun]


def test_the_header_is_as_documented() -> None:
    (header,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)

    _checked_id("somewhere", header.encode())
