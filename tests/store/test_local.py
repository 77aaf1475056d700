"""The local backend conforms, and keeps what is particular to a disk."""

from __future__ import annotations

import errno
import gc
import multiprocessing
import os
import shutil
import stat
import weakref
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from lineal_store import ObjectMissing, StoreUnavailable, durable
from lineal_store.backends.local import LocalBackend
from lineal_store.protocols import Backend, Upload
from lineal_store.testing import BackendTests


class TestLocalBackend(BackendTests):
    @pytest.fixture
    def backend(self, local: LocalBackend) -> Backend:
        return local

    def plant(self, backend: Backend, name: str, data: bytes) -> None:
        path = Path(backend.url, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def peek(self, backend: Backend, name: str) -> bytes | None:
        path = Path(backend.url, name)
        return path.read_bytes() if path.is_file() else None


def files(root: str | Path) -> Iterator[Path]:
    return (path for path in Path(root).rglob("*") if path.is_file())


# -- what lies on the disk -------------------------------------------------------------------------------------------


def test_objects_are_read_only_files_and_no_temporary_is_left(local: LocalBackend) -> None:
    spooled = local.spool() / "file"
    spooled.write_bytes(b"spooled")
    local.create([Upload("a/x", b"data"), Upload("a/y", spooled), Upload("a/z", b"", replace=True)])

    assert {path.name for path in files(local.url)} == {"x", "y", "z"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(local.url)} == {0o444}
    assert {path.stat().st_nlink for path in files(local.url)} == {1}


def test_a_spooled_file_that_has_another_name_is_copied(local: LocalBackend, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"before")
    os.link(mine, local.spool() / "file")

    local.create([Upload("a/x", local.spool() / "file")])
    mine.write_bytes(b"edited")

    assert local.read("a/x") == b"before"


def test_leftovers_of_dead_writers_are_not_listed(local: LocalBackend) -> None:
    local.create([Upload("a/x", b"data")])
    for leftover in ("a/.tmp-1-dead", ".tmp-1-dead", "spool/.tmp-1-dead", "spool/1-dead/file", ".DS_Store"):
        Path(local.url, leftover).parent.mkdir(parents=True, exist_ok=True)
        Path(local.url, leftover).write_bytes(b"half a")

    assert [info.name for info in local.list("")] == ["a/x"]
    assert local.folders("") == ["a"]


def test_a_symbolic_link_is_no_object(local: LocalBackend, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    Path(local.url, "a").mkdir()
    Path(local.url, "a/x").symlink_to(tmp_path / "secret")

    assert list(local.list("")) == []
    assert local.find(["a/x"]) == {}
    assert local.read_many(["a/x"]) == {}
    for use in (local.read, local.open):
        with pytest.raises(ObjectMissing):
            use("a/x")
    with pytest.raises(StoreUnavailable, match="no file"):
        local.create([Upload("a/x", b"data")])


def test_each_process_has_a_spool_of_its_own(local: LocalBackend) -> None:
    mine = local.spool()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, str(local.spool()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)

    with os.fdopen(reader) as answer:
        theirs = Path(answer.read())
    assert theirs != mine
    assert theirs.parent == mine.parent == Path(local.url, "spool")


def test_a_folder_removed_behind_our_back_is_made_again(local: LocalBackend) -> None:
    local.create([Upload("a/b/x", b"data")])
    local.delete(["a/b/x"])
    Path(local.url, "a/b").rmdir()
    Path(local.url, "a").rmdir()

    assert local.create([Upload("a/b/x", b"again")]) == [True]
    assert local.read("a/b/x") == b"again"


# -- durability ------------------------------------------------------------------------------------------------------


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[str, ...]]]:
    """Every call of a primitive of ``durable``, with the paths that it was given."""
    seen: list[tuple[str, tuple[str, ...]]] = []

    def record(name: str) -> None:
        primitive = getattr(durable, name)

        def recorded(*args: object) -> object:
            paths = args[0] if isinstance(args[0], list) else [arg for arg in args if isinstance(arg, str)]
            seen.append((name, tuple(str(path) for path in paths)))
            return primitive(*args)

        monkeypatch.setattr(durable, name, recorded)

    for name in (
        "write_temporary",
        "flush",
        "publish_new",
        "publish_replacing",
        "flush_directories",
        "make_directory",
    ):
        record(name)
    return seen


def test_bytes_are_flushed_before_they_get_a_name_and_names_before_create_returns(
    local: LocalBackend, steps: list[tuple[str, tuple[str, ...]]]
) -> None:
    spooled = local.spool() / "file"
    spooled.write_bytes(b"spooled")
    uploads = [Upload(f"a/{n}/x", str(n).encode(), replace=n % 2 == 0) for n in range(20)] + [
        Upload("b", spooled)
    ]
    del steps[:]
    local.create(uploads)

    order = [name for name, _ in steps if name != "make_directory"]
    assert order[:20] == ["write_temporary"] * 20
    assert order[20] == "flush"
    assert set(order[21:-1]) == {"publish_new", "publish_replacing"}
    assert order[-1] == "flush_directories"
    flushed = next(paths for name, paths in steps if name == "flush")
    published = {paths[0] for name, paths in steps if name.startswith("publish")}
    assert published == set(flushed)


def test_every_folder_on_the_way_to_a_new_name_is_flushed_once_a_process(
    local: LocalBackend, steps: list[tuple[str, tuple[str, ...]]]
) -> None:
    root = local.url
    local.create([Upload("a/b/x", b"1")])
    local.create([Upload("a/b/y", b"2")])
    LocalBackend(root).create([Upload("a/b/z", b"3")])

    flushed = [
        {path.removeprefix(root) for path in paths} for name, paths in steps if name == "flush_directories"
    ]
    assert flushed == [{"/", "/a", "/a/b"}, {"/a/b"}, {"/", "/a", "/a/b"}]


def test_a_name_that_was_there_is_durable_on_return_too(
    local: LocalBackend, steps: list[tuple[str, tuple[str, ...]]]
) -> None:
    LocalBackend(local.url).create([Upload("a/x", b"1")])
    del steps[:]
    local.create([Upload("a/x", b"1")])

    assert [name for name, _ in steps if name == "write_temporary"] == []
    assert f"{local.url}/a" in dict(steps)["flush_directories"]


def test_one_object_costs_two_flushes_and_a_thousand_cost_two_as_well(
    local: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[str] = []
    syncfs = durable._find_syncfs()
    monkeypatch.setattr(os, "fsync", lambda _: waits.append("fsync"))
    monkeypatch.setattr(durable, "_find_syncfs", lambda: syncfs and (lambda _: waits.append("syncfs")))
    local.create([Upload(f"a/{n % 50}/{n}", b"") for n in range(1000)])
    many, waits[:] = list(waits), []
    local.create([Upload("a/0/more", b"")])

    assert waits == ["fsync", "fsync"]
    assert syncfs is None or many == ["syncfs", "syncfs"]


# -- what can go wrong -----------------------------------------------------------------------------------------------

FAILURES = {
    errno.ENOSPC: (False, "disk is full"),
    errno.EDQUOT: (False, "quota"),
    errno.EROFS: (False, "read-only"),
    errno.EACCES: (False, "denied"),
    errno.EIO: (False, "input/output"),
    errno.EMFILE: (True, "open files"),
}


@pytest.mark.parametrize("code", FAILURES, ids=lambda code: errno.errorcode[code])
@pytest.mark.parametrize(
    "primitive", ["write_temporary", "flush", "make_directory", "publish_new", "flush_directories"]
)
def test_a_failing_disk_is_told_and_shows_nothing_half_done(
    local: LocalBackend, monkeypatch: pytest.MonkeyPatch, primitive: str, code: int
) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    spooled = local.spool() / "file"
    spooled.write_bytes(b"spooled")
    batch = [Upload("a/x", b"data"), Upload("a/y", spooled), Upload("b/z", b"")]
    with monkeypatch.context() as broken:
        broken.setattr(durable, primitive, fail)
        with pytest.raises(StoreUnavailable) as failure:
            local.create(batch)

    transient, words = FAILURES[code]
    assert failure.value.transient is transient
    assert failure.value.exit_code == 5
    assert words in str(failure.value)
    assert failure.value.hint or transient
    left = {info.name: local.read(info.name) for info in local.list("")}
    # When everything was linked and only the last flush failed, whole objects may be there.
    assert left == (
        {"a/x": b"data", "a/y": b"spooled", "b/z": b""} if primitive == "flush_directories" else {}
    )
    assert spooled.exists()
    local.create(batch)
    assert local.read_many(["a/x", "a/y", "b/z"]) == {"a/x": b"data", "a/y": b"spooled", "b/z": b""}
    assert not list(Path(local.url, "spool").glob(".tmp-*"))


def test_a_disk_that_fills_in_the_middle_of_a_write_leaves_nothing(
    local: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    room = 150_000

    def write(descriptor: int, data: memoryview) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(descriptor, data[: min(room, 1000)])
        room -= written
        return written

    with monkeypatch.context() as broken:
        broken.setattr(os, "write", write)
        with pytest.raises(StoreUnavailable, match="disk is full"):
            local.create([Upload("a/x", b"x" * 100_000), Upload("a/y", b"y" * 100_000)])

    assert list(local.list("")) == []
    assert not any(files(local.url))


def test_short_writes_are_continued(local: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    with monkeypatch.context() as slow:
        slow.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
        local.create([Upload("a/x", bytes(range(256)))])

    assert local.read("a/x") == bytes(range(256))


def test_a_failing_syncfs_is_an_error(local: LocalBackend) -> None:
    syncfs = durable._find_syncfs()
    if syncfs is None:
        pytest.skip("this system has no syncfs")

    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        syncfs(-1)


def test_without_syncfs_everything_is_flushed_one_by_one(
    local: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(durable, "_find_syncfs", lambda: None)
    monkeypatch.setattr(os, "fsync", synced.append)

    local.create([Upload(f"a/{n}", b"") for n in range(30)])

    assert len(synced) == 30 + 2  # the files; the folder, and the one that holds it


def test_a_file_where_a_folder_should_be_is_told(local: LocalBackend) -> None:
    Path(local.url, "a").write_text("not a folder")

    with pytest.raises(StoreUnavailable, match="a file stands where a directory should be") as failure:
        local.create([Upload("a/x", b"data"), Upload("b/y", b"data")])

    assert failure.value.hint is not None
    assert [info.name for info in local.list("")] == ["a"]
    with pytest.raises(ObjectMissing):
        local.read("a/x")


def test_a_store_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a store")
    backend = LocalBackend(tmp_path / "file")

    with pytest.raises(StoreUnavailable):
        backend.create([Upload("a/x", b"data")])
    with pytest.raises(StoreUnavailable):
        backend.read("a/x")


def test_a_store_that_went_away_is_not_an_empty_one(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path / "unmounted")

    uses: list[Callable[[], object]] = [
        lambda: backend.create([Upload("a/x", b"data")]),
        lambda: backend.read("a/x"),
        lambda: backend.open("a/x"),
        lambda: backend.read_many(["a/x"]),
        lambda: backend.find(["a/x"]),
        lambda: list(backend.list("a/")),
        lambda: backend.folders("a/"),
        lambda: backend.delete(["a/x"]),
        backend.spool,
    ]
    for use in uses:
        with pytest.raises(StoreUnavailable, match="no such directory"):
            use()
    assert not (tmp_path / "unmounted").exists()


# -- several processes -----------------------------------------------------------------------------------------------

PROCESSES = 4
ROUNDS = 50


def race(root: str, writer: int, barrier: Barrier, results: str) -> None:
    backend = LocalBackend(root)
    won = []
    for turn in range(ROUNDS):
        barrier.wait(timeout=30)
        if backend.create([Upload(f"race/{turn}", f"{writer} ".encode() * 1000)])[0]:
            won.append(turn)
    Path(results, str(writer)).write_text(" ".join(map(str, won)))


def test_of_racing_processes_exactly_one_creates_each_object(local: LocalBackend, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(PROCESSES)
    (tmp_path / "results").mkdir()
    writers = [
        context.Process(target=race, args=(local.url, writer, barrier, str(tmp_path / "results")))
        for writer in range(PROCESSES)
    ]
    for process in writers:
        process.start()
    for process in writers:
        process.join()

    won = {path.name: path.read_text().split() for path in (tmp_path / "results").iterdir()}
    assert sorted(int(turn) for turns in won.values() for turn in turns) == list(range(ROUNDS))
    for writer, turns in won.items():
        for turn in turns:
            assert local.read(f"race/{turn}") == f"{writer} ".encode() * 1000


def test_a_reader_never_sees_part_of_an_object_while_it_is_replaced(local: LocalBackend) -> None:
    versions = [bytes([65 + n]) * 200_000 for n in range(4)]
    local.create([Upload("a/x", versions[0])])
    child = os.fork()
    if child == 0:
        for turn in range(100):
            local.create([Upload("a/x", versions[turn % 4], replace=True)])
        os._exit(0)

    seen = 0
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        assert local.read("a/x") in versions
        seen += 1
    assert seen > 10


def test_what_need_not_last_is_created_once_and_may_say_the_same_under_many_names(
    local: LocalBackend,
) -> None:
    light = [Upload(f"a/{number}", b"same", lasting=False) for number in range(3)]

    assert local.create([*light, Upload("a/x", b"other", lasting=False)]) == [True] * 4
    assert local.create(light) == [False] * 3
    shutil.rmtree(local.spool())
    assert local.create([Upload("a/3", b"other", lasting=False)]) == [True]
    local.delete(["a/0"])

    assert local.read_many(["a/0", "a/1", "a/2", "a/3", "a/x"]) == {
        "a/1": b"same",
        "a/2": b"same",
        "a/3": b"other",
        "a/x": b"other",
    }


def test_what_was_looked_for_in_vain_keeps_nothing_of_its_caller(local: LocalBackend) -> None:
    class Value:
        pass

    def look() -> weakref.ref[Value]:
        value = Value()
        local.find(["absent"])
        local.read_many(["absent"])
        return weakref.ref(value)

    gc.disable()
    try:
        assert look()() is None
    finally:
        gc.enable()


def test_what_is_changed_after_a_tick_was_waited_for_is_noted_with_a_later_time(local: LocalBackend) -> None:
    path = local.spool() / "file"
    path.write_bytes(b"data")
    before = path.stat().st_ctime_ns

    assert durable.wait_for_tick(before, str(local.spool()))
    path.chmod(0o600)

    assert path.stat().st_ctime_ns > before


def test_a_clock_that_does_not_move_on_is_not_waited_for_for_long(local: LocalBackend) -> None:
    in_an_hour = local.spool().stat().st_ctime_ns + 3600 * 10**9

    assert not durable.wait_for_tick(in_an_hour, str(local.spool()))
