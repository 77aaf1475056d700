"""What every backend must do, as a pytest suite: subclass ``BackendTests`` and give it a backend.

    class TestMyBackend(BackendTests):
        @pytest.fixture
        def backend(self):
            return MyBackend(…)                      # empty, and usable

        def plant(self, backend, name, data): …      # put an object there behind the backend's back
        def peek(self, backend, name): …             # its bytes, or None, past the backend

The two probes go past the code under test, so that a mistake in writing is not hidden by the same one in reading.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lineal_store.errors import InvalidName, ObjectMissing
from lineal_store.protocols import Backend, Upload

BAD_NAMES = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "a/../b",
    "a/./b",
    ".tmp",
    "a/.b",
    "A",
    "é",
    "a b",
    "a\0",
    "a\n",
]
BAD_NAMES += ["a\\b", "a%", "~", "x" * 201, "x/" * 32 + "x", "/".join(["x" * 190] * 5)]

WRITERS = 8
ROUNDS = 20


class BackendTests:
    """The conformance suite of ``lineal_store.protocols.Backend``."""

    def plant(self, backend: Backend, name: str, data: bytes) -> None:
        """Put an object into the place that ``backend`` keeps its objects in, without using ``backend``."""
        raise NotImplementedError

    def peek(self, backend: Backend, name: str) -> bytes | None:
        """The bytes of an object, None when there is none, without using ``backend``."""
        raise NotImplementedError

    def spooled(self, backend: Backend, data: bytes) -> Path:
        """A new file in the backend's spool directory."""
        path = backend.spool() / f"file-{len(list(backend.spool().iterdir()))}"
        path.write_bytes(data)
        return path

    # -- creating ------------------------------------------------------------------------------------------------

    def test_created_bytes_are_there(self, backend: Backend) -> None:
        made = backend.create([Upload("a/x", b"one"), Upload("top", b""), Upload("a/b/c", b"three")])

        assert made == [True, True, True]
        assert [self.peek(backend, name) for name in ("a/x", "top", "a/b/c")] == [b"one", b"", b"three"]

    def test_what_exists_is_not_touched(self, backend: Backend) -> None:
        self.plant(backend, "a/x", b"first")

        assert backend.create([Upload("a/x", b"second"), Upload("a/y", b"new")]) == [False, True]
        assert self.peek(backend, "a/x") == b"first"

    def test_replacing_is_asked_for_by_object(self, backend: Backend) -> None:
        self.plant(backend, "a/x", b"first")

        assert backend.create([Upload("a/x", b"second", replace=True)]) == [True]
        assert self.peek(backend, "a/x") == b"second"

    def test_replacing_creates_what_is_absent(self, backend: Backend) -> None:
        assert backend.create([Upload("a/x", b"data", replace=True)]) == [True]
        assert self.peek(backend, "a/x") == b"data"

    def test_within_a_batch_the_first_of_a_name_wins(self, backend: Backend) -> None:
        assert backend.create([Upload("a/x", b"first"), Upload("a/x", b"second")]) == [True, False]
        assert self.peek(backend, "a/x") == b"first"

    def test_an_empty_batch_is_fine(self, backend: Backend) -> None:
        assert backend.create([]) == []

    def test_a_large_batch_is_created_whole(self, backend: Backend) -> None:
        uploads = [Upload(f"many/{n % 7}/{n}", str(n).encode()) for n in range(100)]

        assert backend.create(uploads) == [True] * 100
        assert all(self.peek(backend, upload.name) == upload.source for upload in uploads)

    def test_a_spooled_file_becomes_the_object_and_is_consumed(self, backend: Backend) -> None:
        path = self.spooled(backend, b"x" * 100_000)

        assert backend.create([Upload("big", path), Upload("a/small", b"s")]) == [True, True]
        assert self.peek(backend, "big") == b"x" * 100_000
        assert not path.exists()

    def test_a_spooled_file_is_consumed_even_when_the_name_exists(self, backend: Backend) -> None:
        self.plant(backend, "a/x", b"first")
        path = self.spooled(backend, b"second")

        assert backend.create([Upload("a/x", path)]) == [False]
        assert self.peek(backend, "a/x") == b"first"
        assert not path.exists()

    def test_a_spooled_file_can_replace(self, backend: Backend) -> None:
        self.plant(backend, "a/x", b"first")
        path = self.spooled(backend, b"second")

        assert backend.create([Upload("a/x", path, replace=True)]) == [True]
        assert self.peek(backend, "a/x") == b"second"
        assert not path.exists()

    def test_a_missing_source_publishes_nothing(self, backend: Backend) -> None:
        with pytest.raises(FileNotFoundError):
            backend.create([Upload("a/x", b"data"), Upload("a/y", backend.spool() / "absent")])
        assert self.peek(backend, "a/x") is None

    def test_a_file_outside_the_spool_is_refused_and_kept(self, backend: Backend, tmp_path: Path) -> None:
        path = tmp_path / "mine"
        path.write_bytes(b"precious")

        with pytest.raises(ValueError, match="spool"):
            backend.create([Upload("a/x", b"data"), Upload("a/y", path)])
        assert path.read_bytes() == b"precious"
        assert self.peek(backend, "a/x") is None

    def test_of_racing_creators_one_wins_and_its_bytes_stay(self, backend: Backend) -> None:
        barrier = threading.Barrier(WRITERS)
        won: list[tuple[str, int]] = []

        def race(writer: int) -> None:
            for turn in range(ROUNDS):
                barrier.wait()
                if backend.create([Upload(f"race/{turn}", str(writer).encode())])[0]:
                    won.append((f"race/{turn}", writer))

        threads = [threading.Thread(target=race, args=(writer,)) for writer in range(WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(name for name, _ in won) == sorted(f"race/{turn}" for turn in range(ROUNDS))
        assert all(self.peek(backend, name) == str(writer).encode() for name, writer in won)

    # -- reading -------------------------------------------------------------------------------------------------

    def test_reading_gives_the_bytes(self, backend: Backend) -> None:
        self.plant(backend, "a/x", b"data")

        with backend.open("a/x") as stream:
            assert stream.read(2) == b"da"
            assert stream.read() == b"ta"
        assert backend.read("a/x") == b"data"

    def test_reading_what_is_absent_names_it(self, backend: Backend) -> None:
        self.plant(backend, "a/x", b"data")

        for absent in ("a/y", "a", "a/x/z", "b/x"):
            with pytest.raises(ObjectMissing) as reading:
                backend.read(absent)
            with pytest.raises(ObjectMissing):
                backend.open(absent)
            assert reading.value.name == absent

    def test_reading_many_leaves_out_what_is_absent(self, backend: Backend) -> None:
        self.plant(backend, "a/x", b"one")
        self.plant(backend, "b", b"")

        assert backend.read_many(["a/x", "a", "a/y", "b", "a/x"]) == {"a/x": b"one", "b": b""}
        assert backend.read_many([]) == {}

    def test_finding_gives_sizes_and_times_of_what_exists(self, backend: Backend) -> None:
        backend.create([Upload("a/x", b"12345"), Upload("b", b"")])

        found = backend.find(["a/x", "b", "a", "absent", "a/x/y"])

        assert {name: info.size_bytes for name, info in found.items()} == {"a/x": 5, "b": 0}
        assert all(info.name == name for name, info in found.items())
        assert all(info.modified.utcoffset() == timedelta(0) for info in found.values())
        assert all(abs(datetime.now(UTC) - info.modified) < timedelta(minutes=5) for info in found.values())

    def test_a_local_path_if_there_is_one_holds_the_bytes(self, backend: Backend) -> None:
        self.plant(backend, "a/x", b"data")

        path = backend.local_path("a/x")

        assert path is None or path.read_bytes() == b"data"

    def test_names_that_could_lead_astray_are_refused(self, backend: Backend) -> None:
        for name in BAD_NAMES:
            with pytest.raises(InvalidName):
                backend.create([Upload("fine", b"data"), Upload(name, b"data")])
            for use in (backend.read, backend.open, backend.local_path):
                with pytest.raises(InvalidName):
                    use(name)
            for use_many in (backend.find, backend.read_many, backend.delete):
                with pytest.raises(InvalidName):
                    use_many([name])
        assert self.peek(backend, "fine") is None

    # -- listing -------------------------------------------------------------------------------------------------

    def test_listing_is_sorted_by_name_and_selected_by_prefix(self, backend: Backend) -> None:
        names = ["a", "a-b", "a.b", "b/a", "b/a.c", "b/a/d", "b/a0", "b/b", "c=/x"]
        names = [name for name in names if name not in ("a", "b/a")]  # no name is also a folder
        for name in names:
            self.plant(backend, name, name.encode())

        def listed(prefix: str) -> Sequence[str]:
            return [info.name for info in backend.list(prefix)]

        assert listed("") == sorted(names)
        for prefix in ("a", "b", "b/", "b/a", "b/a/", "b/a.", "c", "c=/x", "x", "x/y/", "b/a/d/"):
            assert listed(prefix) == sorted(name for name in names if name.startswith(prefix))
        assert [info.size_bytes for info in backend.list("b/a/")] == [5]

    def test_folders_are_what_names_go_on_below(self, backend: Backend) -> None:
        for name in ("top", "2026/11/22/x", "2026/12/01/y", "2025/01/02/z", "2026/file"):
            self.plant(backend, name, b"")

        assert backend.folders("") == ["2025", "2026"]
        assert backend.folders("2026/") == ["11", "12"]
        assert backend.folders("2026/11/22/") == []
        assert backend.folders("absent/") == []

    def test_prefixes_that_could_lead_astray_are_refused(self, backend: Backend) -> None:
        for prefix in ("../", "/", "a/../", "a//"):
            with pytest.raises(InvalidName):
                list(backend.list(prefix))
            with pytest.raises(InvalidName):
                backend.folders(prefix)

    def test_the_spool_is_a_directory_that_no_listing_shows(self, backend: Backend) -> None:
        self.spooled(backend, b"data")

        assert backend.spool() == backend.spool()
        assert list(backend.list("")) == []
        assert backend.folders("") == []

    def test_a_spool_that_is_discarded_is_gone_and_the_next_is_empty(self, backend: Backend) -> None:
        backend.discard_spool()  # there is none yet
        path = self.spooled(backend, b"data")

        backend.discard_spool()

        assert not path.exists()
        assert list(backend.spool().iterdir()) == []

    # -- deleting ------------------------------------------------------------------------------------------------

    def test_deleting_removes_and_forgives_what_is_absent(self, backend: Backend) -> None:
        for name in ("a/x", "a/y", "b"):
            self.plant(backend, name, b"data")

        backend.delete(["a/x", "b", "a/absent", "a", "b/c"])

        assert [info.name for info in backend.list("")] == ["a/y"]
        assert self.peek(backend, "a/x") is None

    def test_a_deleted_name_can_be_created_again(self, backend: Backend) -> None:
        backend.create([Upload("a/x", b"one")])
        backend.delete(["a/x"])

        assert backend.create([Upload("a/x", b"two")]) == [True]
        assert self.peek(backend, "a/x") == b"two"
