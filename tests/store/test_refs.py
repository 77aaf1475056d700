from __future__ import annotations

import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lineal_store import CorruptRecord, InvalidName, Store
from lineal_store.actions import Actions
from lineal_store.backends.memory import MemoryBackend
from lineal_store.protocols import Backend, Upload, is_name
from lineal_store.refs import Refs, quote, unquote

names = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4).map("/".join)
plain_names = st.lists(st.text("aR0./é", min_size=1, max_size=8), min_size=1, max_size=3).map("/".join)


def test_a_ref_is_a_log_and_its_newest_entry_its_value(store: Store) -> None:
    assert store.refs.newest("tags/v1") is None
    assert store.refs.log("tags/v1") == []

    assert [store.refs.append("tags/v1", data) for data in (b"one", b"two", b"three")] == [1, 2, 3]

    assert store.refs.newest("tags/v1") == (3, b"three")
    assert store.refs.log("tags/v1") == [b"one", b"two", b"three"]
    assert store.backend.read("refs/tags/v1/00000001") == b"one"


def test_the_swap_compares(store: Store) -> None:
    swap = store.refs.compare_and_append

    assert not swap("a", 1, b"too early")
    assert swap("a", 0, b"one")
    assert not swap("a", 0, b"too late")
    assert not swap("a", 2, b"too early")
    assert swap("a", 1, b"two")
    assert store.refs.log("a") == [b"one", b"two"]


def test_a_writer_that_loses_the_race_takes_the_next_number(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = Refs(backend), Refs(backend)
    theirs.append("a", b"one")
    real = backend.list

    def list_and_be_overtaken(prefix: str) -> object:
        listed = list(real(prefix))
        monkeypatch.setattr(backend, "list", real)
        theirs.append("a", b"two")
        theirs.append("a", b"three")
        return iter(listed)

    monkeypatch.setattr(backend, "list", list_and_be_overtaken)
    assert ours.append("a", b"ours") == 4
    assert ours.log("a") == [b"one", b"two", b"three", b"ours"]

    monkeypatch.setattr(backend, "list", list_and_be_overtaken)
    assert not ours.compare_and_append("a", 4, b"ours")


def test_appending_at_once_loses_no_entry(backend: Backend) -> None:
    def write(writer: int) -> None:
        for turn in range(10):
            Refs(backend).append("a", f"{writer}.{turn}".encode())

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    log = Refs(backend).log("a")
    assert sorted(log) == sorted(f"{writer}.{turn}".encode() for writer in range(4) for turn in range(10))
    for writer in range(4):  # each in its own order
        own = [entry for entry in log if entry.startswith(f"{writer}.".encode())]
        assert own == sorted(own)


def test_names_are_listed_by_prefix(store: Store) -> None:
    for name in ("tags/v1", "tags/v1/rc", "tags/V2", "deployed/é", "20261122", "retired", "tags/v1"):
        store.refs.append(name, name.encode())

    assert store.refs.names() == ["20261122", "deployed/é", "retired", "tags/V2", "tags/v1", "tags/v1/rc"]
    assert store.refs.names("tags/") == ["tags/V2", "tags/v1", "tags/v1/rc"]
    assert store.refs.names("tags/v") == ["tags/v1", "tags/v1/rc"]
    assert store.refs.names("tags/v1/") == ["tags/v1/rc"]
    assert store.refs.names("absent/") == []
    assert store.refs.log("tags/v1") == [b"tags/v1", b"tags/v1"]


def test_a_ref_below_another_is_another(store: Store) -> None:
    store.refs.append("a/00000001", b"below")
    store.refs.append("a", b"above")

    assert store.refs.log("a") == [b"above"]
    assert store.refs.log("a/00000001") == [b"below"]
    assert store.refs.names() == ["a", "a/00000001"]


def test_retirements_are_no_refs_and_a_ref_of_that_name_is_none_of_theirs(store: Store) -> None:
    store.refs.append("retired", b"mine")
    assert Actions(store.backend).find(["0" * 32]) == {}
    store.backend.create([Upload(f"refs/retired/{'0' * 32}.0", b"")])

    assert store.refs.names() == ["retired"]
    assert store.refs.log("retired") == [b"mine"]


def test_a_missing_entry_is_told(store: Store) -> None:
    for data in (b"one", b"two", b"three"):
        store.refs.append("a", data)
    store.backend.delete(["refs/a/00000002"])

    with pytest.raises(CorruptRecord, match="refs/a/00000002"):
        store.refs.log("a")
    assert store.refs.newest("a") == (3, b"three")


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("a", "a"),
        ("tags/v1.0-rc_2", "tags/v1.0-rc_2"),
        ("V", "=56"),
        ("a b", "a=20b"),
        ("=", "=3d"),
        (".hidden", "=2ehidden"),
        ("..", "=2e."),
        ("2026", "=32026"),
        ("retired", "=72etired"),
        ("tags/retired", "tags/retired"),
        ("é", "=c3=a9"),
        ("a\0", "a=00"),
    ],
)
def test_names_are_quoted_segment_by_segment(name: str, quoted: str) -> None:
    assert quote(name) == quoted
    assert unquote(quoted) == name


@given(names | plain_names)
@example("../../etc/passwd")
def test_a_quoted_name_is_the_name_of_an_object_and_is_unquoted(name: str) -> None:
    try:
        quoted = quote(name)
    except InvalidName:
        assert "" in name.split("/") or not name.isprintable() or len(name) > 10 or max(name) >= "\ud800"
        return
    assert is_name(f"refs/{quoted}/00000001")
    assert unquote(quoted) == name


@given(st.text(max_size=20) | st.text("ab=0123/.ef", max_size=12))
def test_unquoting_is_total(quoted: str) -> None:
    try:
        assert quote(unquote(quoted)) == quoted
    except CorruptRecord:
        pass


@pytest.mark.parametrize(
    "name", ["", "/", "a/", "/a", "a//b", "\ud800", "x" * 300, "é" * 70, "a/" * 40 + "a"]
)
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    refs = Refs(MemoryBackend())

    for use in (lambda: refs.append(name, b""), lambda: refs.log(name), lambda: refs.newest(name)):
        with pytest.raises(InvalidName):
            use()


@pytest.mark.parametrize(
    "name", ["refs/x", "refs/a/1", "refs/a/00000000", "refs/=41=/00000001", "refs/=61/00000001"]
)
def test_an_object_that_is_no_entry_is_told(name: str) -> None:
    backend = MemoryBackend()
    backend.create([Upload(name, b"")])

    with pytest.raises(CorruptRecord, match="refs/"):
        Refs(backend).names()
