from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal_store import CorruptRecord, InvalidName, RunExists, RunFiles, Runs, Store
from lineal_store.backends.memory import MemoryBackend
from lineal_store.protocols import ObjectInfo, Upload

RUN = "20261122-173120-4f9ac2"


def test_an_id_tells_when_the_run_began_in_utc() -> None:
    kathmandu = timezone(timedelta(hours=5, minutes=45))

    assert Runs.new_id(datetime(2026, 11, 22, 17, 31, 20, 999999, UTC), "4f9ac2") == RUN
    assert Runs.new_id(datetime(2026, 11, 22, 23, 16, 20, tzinfo=kathmandu), "4f9ac2") == RUN


@pytest.mark.parametrize("random_hex", ["", "4f9ac", "4f9ac2" * 3, "4F9AC2", "../../"])
def test_hex_digits_tell_runs_of_one_second_apart(random_hex: str) -> None:
    with pytest.raises(InvalidName):
        Runs.new_id(datetime(2026, 11, 22, tzinfo=UTC), random_hex)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Runs.new_id(datetime(2026, 11, 22), "4f9ac2")


def test_a_run_begins_and_finishes(store: Store) -> None:
    assert store.runs.find(RUN) is None
    store.runs.begin(RUN, b"begun")
    assert store.runs.find(RUN) == RunFiles(b"begun", None)
    store.runs.finish(RUN, b"finished")
    assert store.runs.find(RUN) == RunFiles(b"begun", b"finished")
    assert [info.name for info in store.backend.list("")] == [
        f"runs/2026/11/22/{RUN}",
        f"runs/2026/11/22/{RUN}.begun",
    ]


def test_a_record_of_a_run_is_never_replaced(store: Store) -> None:
    store.runs.begin(RUN, b"first")
    store.runs.finish(RUN, b"first")

    for again in (store.runs.begin, store.runs.finish):
        with pytest.raises(RunExists, match=RUN):
            again(RUN, b"second")
    assert store.runs.find(RUN) == RunFiles(b"first", b"first")


def test_runs_are_found_by_the_beginning_of_their_ids(store: Store) -> None:
    for run_id in (RUN, "20261122-173120-4f0000", "20261122-173121-4f9ac2"):
        store.runs.begin(run_id, b"begun")
        store.runs.finish(run_id, b"finished")

    assert store.runs.beginning_with("20261122-173120-4f") == ["20261122-173120-4f0000", RUN]
    assert store.runs.beginning_with("20261122-173120-4f9") == [RUN]
    assert store.runs.beginning_with("20261122-173122-") == []


@pytest.mark.parametrize("start", ["", "2026", "20261122-17", "20261122-173120", "20261122-173120-4F", "../"])
def test_what_is_no_beginning_of_an_id_finds_nothing(store: Store, start: str) -> None:
    store.runs.begin(RUN, b"begun")

    assert store.runs.beginning_with(start) == []


@given(st.text(max_size=30) | st.from_regex(r"\d{8}-\d{6}-[0-9a-f]{6}", fullmatch=True))
def test_nothing_is_found_under_what_is_no_id(text: str) -> None:
    assert Store(MemoryBackend()).runs.find(text) is None


@pytest.mark.parametrize(
    "run_id", ["", "latest", f"{RUN}.begun", f"../{RUN}", f"{RUN}\n", "٢٠٢٦١١٢٢-173120-4f9ac2"]
)
def test_a_run_needs_an_id(store: Store, run_id: str) -> None:
    with pytest.raises(InvalidName):
        store.runs.begin(run_id, b"")
    assert store.runs.find(run_id) is None


def test_the_newest_run_comes_first(store: Store) -> None:
    ids = [
        f"{day}-{time}-00000{n}"
        for day in ("20251231", "20260101", "20261122")
        for n, time in enumerate(("000000", "235959"))
    ]
    for run_id in ids:
        store.runs.begin(run_id, b"")
    store.runs.finish(ids[0], b"")
    store.runs.finish("20260101-120000-abcdef", b"")

    assert list(store.runs.newest_first()) == sorted([*ids, "20260101-120000-abcdef"], reverse=True)


def test_older_days_are_not_listed_before_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = MemoryBackend()
    runs = Runs(backend)
    for day in range(1, 29):
        runs.begin(f"202601{day:02}-120000-000000", b"")
    listed: list[str] = []
    real = backend.list

    def list_and_note(prefix: str) -> Iterator[ObjectInfo]:
        listed.append(prefix)
        return real(prefix)

    monkeypatch.setattr(backend, "list", list_and_note)

    assert list(islice(runs.newest_first(), 2)) == ["20260128-120000-000000", "20260127-120000-000000"]
    assert listed == ["runs/2026/01/28/", "runs/2026/01/27/"]


@pytest.mark.parametrize(
    "name", ["runs/2026/11/22/notes", f"runs/2026/11/23/{RUN}", f"runs/2026/11/22/{RUN}.x"]
)
def test_what_is_no_run_is_told(store: Store, name: str) -> None:
    store.backend.create([Upload(name, b"")])

    with pytest.raises(CorruptRecord, match="runs/2026"):
        list(store.runs.newest_first())
