from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal_store import CorruptRecord, Filed, InvalidName, Retirement, Store, StoreUnavailable
from lineal_store.actions import REASONS, Actions, _decode_retirement
from lineal_store.backends.memory import MemoryBackend
from lineal_store.protocols import Backend, Upload
from lineal_store.sealed import seal

A, B, C = "0" * 31 + "a", "0" * 31 + "b", "c" * 32
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def retire(actions: Actions, key: str, generation: int = 0, reason: str = "forced") -> None:
    actions.retire(key, generation, reason, by="ann", at=NOON)


def test_what_is_published_is_found(store: Store) -> None:
    filed = store.actions.publish([(A, b"a"), (B, b"b")])

    assert filed == [Filed(A, 0, b"a"), Filed(B, 0, b"b")]
    assert store.actions.find([B, C, A]) == {A: Filed(A, 0, b"a"), B: Filed(B, 0, b"b")}
    assert store.backend.read(f"actions/00/{A[2:]}.0") == b"a"


def test_the_first_result_counts_and_comes_back_to_the_second_writer(store: Store) -> None:
    store.actions.publish([(A, b"first")])

    assert store.actions.publish([(B, b"b"), (A, b"second")]) == [Filed(B, 0, b"b"), Filed(A, 0, b"first")]
    assert store.actions.find([A]) == {A: Filed(A, 0, b"first")}


def test_one_key_twice_in_a_batch_is_filed_once(store: Store) -> None:
    assert store.actions.publish([(A, b"first"), (A, b"second")]) == [Filed(A, 0, b"first")] * 2


def test_a_retired_result_is_not_found_and_a_new_one_is_filed_after_it(store: Store) -> None:
    store.actions.publish([(A, b"old")])
    retire(store.actions, A)

    assert store.actions.find([A]) == {}
    assert store.actions.publish([(A, b"new")]) == [Filed(A, 1, b"new")]
    assert store.actions.find([A]) == {A: Filed(A, 1, b"new")}
    assert store.backend.read(f"actions/00/{A[2:]}.0") == b"old"


def test_retiring_twice_is_retiring_once(store: Store) -> None:
    store.actions.publish([(A, b"old")])
    retire(store.actions, A, reason="lost")
    retire(store.actions, A, reason="forced")

    assert [retirement and retirement.reason for _, retirement in store.actions.history(A)] == ["lost"]
    assert store.actions.publish([(A, b"new")])[0].generation == 1


def test_a_generation_to_come_cannot_be_retired(store: Store) -> None:
    with pytest.raises(ValueError, match="yet"):
        retire(store.actions, A, 1)
    retire(store.actions, A, 0)
    retire(store.actions, A, 1)
    with pytest.raises(ValueError, match="yet"):
        retire(store.actions, A, 3)


def test_a_reason_and_a_time_zone_are_asked_for(store: Store) -> None:
    with pytest.raises(ValueError, match="quarantined"):
        store.actions.retire(A, 0, "bored", by="ann", at=NOON)
    with pytest.raises(ValueError, match="time zone"):
        store.actions.retire(A, 0, "forced", by="ann", at=NOON.replace(tzinfo=None))


def test_the_history_of_a_key_tells_every_generation(store: Store) -> None:
    berlin = timezone(timedelta(hours=1))
    store.actions.publish([(A, b"0"), (B, b"other")])
    for generation in range(11):
        store.actions.retire(A, generation, "corrupt", by="ann", at=NOON.astimezone(berlin))
        store.actions.publish([(A, str(generation + 1).encode())])

    history = store.actions.history(A)
    assert [filed for filed, _ in history] == [Filed(A, n, str(n).encode()) for n in range(12)]
    assert [retirement for _, retirement in history] == [Retirement("corrupt", "ann", NOON)] * 11 + [None]
    assert store.actions.history(C) == []


def test_whoever_retires_a_result_may_say_why(store: Store) -> None:
    store.actions.publish([(A, b"0")])
    store.actions.retire(A, 0, "forced", by="ann", at=NOON, why="the sensor was broken")

    ((_, retirement),) = store.actions.history(A)
    assert retirement == Retirement("forced", "ann", NOON, "the sensor was broken")


def test_listing_gives_what_is_current(store: Store) -> None:
    store.actions.publish([(key, b"old") for key in (C, B, A)])
    retire(store.actions, B)
    retire(store.actions, C)
    store.actions.publish([(B, b"new")])

    assert list(store.actions.list()) == [Filed(A, 0, b"old"), Filed(B, 1, b"new")]


def test_another_process_retirement_is_seen_after_a_refresh(backend: Backend) -> None:
    ours, theirs = Actions(backend), Actions(backend)
    ours.publish([(A, b"old")])
    assert ours.find([A])
    retire(theirs, A)

    assert ours.find([A]) == {A: Filed(A, 0, b"old")}
    ours.refresh()
    assert ours.find([A]) == {}


def test_publishing_into_a_retired_generation_goes_on_to_the_next(backend: Backend) -> None:
    ours, theirs = Actions(backend), Actions(backend)
    assert ours.find([A]) == {}
    theirs.publish([(A, b"old")])
    retire(theirs, A)
    theirs.publish([(A, b"newer")])
    retire(theirs, A, 1)

    assert ours.publish([(B, b"b"), (A, b"newest")]) == [Filed(B, 0, b"b"), Filed(A, 2, b"newest")]


def test_another_process_newer_result_comes_back(backend: Backend) -> None:
    ours, theirs = Actions(backend), Actions(backend)
    ours.publish([(A, b"old")])
    retire(theirs, A)
    theirs.publish([(A, b"new")])

    assert ours.publish([(A, b"mine")]) == [Filed(A, 1, b"new")]


def test_results_that_are_taken_away_faster_than_filed_end_in_an_error() -> None:
    class Hollow(MemoryBackend):
        """Says that everything exists, and holds nothing."""

        def create(self, uploads: object) -> list[bool]:
            return [False] * len(uploads)  # type: ignore[arg-type]

    with pytest.raises(StoreUnavailable) as failure:
        Actions(Hollow()).publish([(A, b"a")])
    assert failure.value.transient


@pytest.mark.parametrize(
    "key", ["", A[:-1], A + "0", A.upper().replace("0", "A"), f"{A}\n", "../" + A[3:], "é" * 32]
)
def test_what_is_no_key_is_refused(store: Store, key: str) -> None:
    for use in (
        lambda: store.actions.find([key]),
        lambda: store.actions.publish([(key, b"")]),
        lambda: retire(store.actions, key),
        lambda: store.actions.history(key),
    ):
        with pytest.raises(InvalidName):
            use()


@pytest.mark.parametrize(
    "name", ["actions/00/notes", f"actions/00/{A}.0", f"actions/00/{A[2:]}.00", f"actions/{A}.0"]
)
def test_listing_refuses_what_is_no_result(store: Store, name: str) -> None:
    store.backend.create([Upload(name, b"")])

    with pytest.raises(CorruptRecord, match="actions/"):
        list(store.actions.list())


@pytest.mark.parametrize("name", [f"{A}.00", f"{A}", f"{A}.x", "x.0"])
def test_a_retirement_that_cannot_be_understood_stops_everything(store: Store, name: str) -> None:
    store.backend.create([Upload(f"refs/retired/{name}", b"")])

    with pytest.raises(CorruptRecord, match="refs/retired"):
        store.actions.find([A])


@given(
    st.binary(max_size=50)
    | st.fixed_dictionaries(
        {"at": st.text(max_size=30) | st.just(NOON.isoformat()), "by": st.text(max_size=3) | st.none()},
        optional={"reason": st.sampled_from(REASONS) | st.integers(), "more": st.none()},
    ).map(seal)
)
def test_reading_a_retirement_is_total(data: bytes) -> None:
    try:
        retirement = _decode_retirement("refs/retired/x", data)
    except CorruptRecord:
        return
    assert retirement.reason in REASONS
    assert retirement.at.utcoffset() == timedelta(0)


def test_finding_many_reads_each_once_and_lists_once(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = MemoryBackend()
    Actions(backend).publish([(f"{n:032x}", b"x") for n in range(1000)])
    calls: list[tuple[str, int]] = []
    for method in ("read", "read_many", "find", "list"):
        real = getattr(backend, method)

        def counted(argument: object, method: str = method, real: object = real) -> object:
            names = list(argument) if method == "read_many" else [argument]  # type: ignore[call-overload]
            calls.append((method, len(names)))
            return real(names if method == "read_many" else argument)  # type: ignore[operator]

        monkeypatch.setattr(backend, method, counted)

    actions = Actions(backend)
    actions.find([f"{n:032x}" for n in range(1000)])
    actions.find([A])

    assert calls == [("list", 1), ("read_many", 1000), ("read_many", 1)]
