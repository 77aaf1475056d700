"""Requests are sent again where that may help, a bounded number at a time, and end when whoever waits is interrupted."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from lineal_store.backends.s3_errors import RequestFailed
from lineal_store.backends.s3_requests import AT_ONCE, Budget, Patience, Requests, side_by_side

BROKEN = RequestFailed("get_object", ConnectionClosedError(endpoint_url="http://127.0.0.1"))
DENIED = RequestFailed(
    "get_object",
    ClientError(
        {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "GetObject"
    ),
)


class Sleeps(list[float]):
    """The delays that were asked for, which nobody waits; they pass on its clock."""

    async def sleep(self, seconds: float) -> None:
        self.append(seconds)

    def clock(self) -> float:
        return sum(self)


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


def requests(sleeps: Sleeps, **patience: Any) -> Requests:
    unjittered = {"sleep": sleeps.sleep, "clock": sleeps.clock, "random": lambda: 1.0}
    return Requests("bucket", Patience(**(unjittered | patience)))


def failing(*failures: RequestFailed | None) -> tuple[list[int], Any]:
    """An attempt that fails in these ways in turn, None being a success, and the attempts that were made."""
    made: list[int] = []
    left: Iterator[RequestFailed | None] = iter(failures)

    async def attempt() -> str:
        made.append(1)
        failure = next(left)
        if failure is not None:
            raise failure
        return "done"

    return made, attempt


def test_what_may_pass_is_tried_again_after_doubling_delays(sleeps: Sleeps) -> None:
    made, attempt = failing(BROKEN, BROKEN, BROKEN, None)

    assert asyncio.run(requests(sleeps).persist(attempt)) == "done"
    assert len(made) == 4
    assert sleeps == [0.5, 1.0, 2.0]


def test_it_is_given_up_after_six_tries_and_the_last_failure_is_told(sleeps: Sleeps) -> None:
    made, attempt = failing(*[BROKEN] * 10)

    with pytest.raises(RequestFailed):
        asyncio.run(requests(sleeps).persist(attempt))
    assert len(made) == 6
    assert sum(sleeps) < 20


def test_the_delay_is_a_random_part_of_a_capped_power() -> None:
    half = Patience(base_seconds=1, cap_seconds=10, random=lambda: 0.5)

    assert [half.delay_seconds(failures) for failures in (1, 2, 3, 4, 5, 60)] == [0.5, 1, 2, 4, 5, 5]


def test_what_will_not_pass_is_not_tried_again(sleeps: Sleeps) -> None:
    made, attempt = failing(DENIED, None)

    with pytest.raises(RequestFailed):
        asyncio.run(requests(sleeps).persist(attempt))
    assert (len(made), sleeps) == (1, [])


def test_after_a_long_time_there_is_a_second_try_and_no_third(sleeps: Sleeps) -> None:
    made, attempt = failing(*[BROKEN] * 10)

    with pytest.raises(RequestFailed):
        asyncio.run(requests(sleeps, base_seconds=30, cap_seconds=30).persist(attempt))
    assert len(made) == 2


def test_after_patience_was_of_no_use_there_are_two_tries_until_one_succeeds(sleeps: Sleeps) -> None:
    ours = requests(sleeps)
    counts = []
    for outcome in ([BROKEN] * 6, [BROKEN] * 2, [BROKEN, None], [BROKEN] * 5 + [None]):
        made, attempt = failing(*outcome)
        with suppress(RequestFailed):
            asyncio.run(ours.persist(attempt))
        counts.append(len(made))

    assert counts == [6, 2, 2, 6]


def test_work_is_done_side_by_side_and_its_results_are_in_order() -> None:
    under_way = most = 0

    async def work(item: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return item * item

    assert asyncio.run(side_by_side(work, range(100))) == [item * item for item in range(100)]
    assert most == AT_ONCE
    assert asyncio.run(side_by_side(work, [])) == []


def test_the_first_error_is_told_when_all_work_has_ended() -> None:
    ended: list[int] = []

    async def work(item: int) -> None:
        try:
            if item == 3:
                raise DENIED
            await asyncio.Event().wait()
        finally:
            ended.append(item)

    with pytest.raises(RequestFailed):
        asyncio.run(side_by_side(work, range(10)))
    assert sorted(ended) == list(range(10))


def test_a_budget_is_kept_to_and_one_that_is_too_large_goes_alone() -> None:
    taken: list[tuple[int, ...]] = []

    async def spend(budget: Budget, sizes: list[int]) -> None:
        held: list[int] = []

        async def work(size: int) -> None:
            async with budget.taken(size):
                held.append(size)
                taken.append(tuple(sorted(held)))
                await asyncio.sleep(0)
                held.remove(size)

        await side_by_side(work, sizes)

    asyncio.run(spend(Budget(10), [4, 4, 4, 50, 3, 10, 7]))

    assert all(sum(held) <= 10 or held == (50,) for held in taken)
    assert (4, 4) in taken
    assert (50,) in taken


def test_an_interrupt_ends_what_is_under_way(sleeps: Sleeps) -> None:
    cleaned: list[str] = []

    async def work() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # as an abort does, that is sent
            cleaned.append("up")

    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            requests(sleeps).run(work())
    finally:
        signal.signal(signal.SIGALRM, before)
    assert cleaned == ["up"]
