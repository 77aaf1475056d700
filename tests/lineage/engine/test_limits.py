"""Places in concurrency groups: which stages have one, and who asks when."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from clocked import Clock, Runs

from lineal.engine.limits import Limits, groups_of
from lineal.errors import UsageError
from lineal_store.backends.memory import MemoryBackend
from lineal_store.claims import Claims
from lineal_store.protocols import Backend
from lineal_store.signs import Process

WAITS = 1.0, 4.0


@dataclass
class Store:
    """Runs on machines of their own, which share a store and a clock and show signs of life as time passes."""

    clock: Clock = field(default_factory=Clock)
    backend: Backend = field(default_factory=lambda: MemoryBackend("limits"))
    living: list[Claims] = field(default_factory=list)

    def claims(self, name: str) -> Claims:
        elsewhere = Process("another machine", 1, 1)
        self.living.append(Claims(self.backend, name, process=elsewhere, clock=self.clock.monotonic))
        return self.living[-1]

    def run(self, name: str, **groups: dict[str, int]) -> Limits:
        return Limits(self.claims(name), lambda stage: groups.get(stage, {}), self.clock, WAITS)

    def pass_by(self, seconds: float) -> None:
        self.clock.pass_by(seconds)
        for run in self.living:
            run.beat()


@pytest.fixture
def store() -> Store:
    return Store()


ONE = {"warehouse": 1}


# -- how many places there are ----------------------------------------------------------------


def test_the_number_at_the_stage_counts_where_the_configuration_has_none() -> None:
    assert groups_of("query", "warehouse:2", {"gpu": 1}) == {"warehouse": 2}
    assert groups_of("query", "warehouse:2", {"warehouse": 5}) == {"warehouse": 5}
    assert groups_of("query", "warehouse", {"warehouse": 5}) == {"warehouse": 5}


def test_every_stage_is_in_the_group_of_all_where_that_has_a_size() -> None:
    assert groups_of("load", None, {"*": 8}) == {"*": 8}
    assert groups_of("query", "warehouse:2", {"*": 8}) == {"warehouse": 2, "*": 8}
    assert groups_of("load", None, {"warehouse": 5}) == {}


def test_a_group_that_has_no_size_anywhere_is_refused() -> None:
    with pytest.raises(UsageError, match="`query` is limited by the group warehouse") as refused:
        groups_of("query", "warehouse", {"warehose": 2})

    assert refused.value.hint == (
        'Write limits = { warehouse = 2 } under [tool.lineal], or limit="warehouse:2" at the stage.'
    )


# -- who has one ------------------------------------------------------------------------------


def test_a_stage_without_a_limit_asks_nobody(store: Store) -> None:
    ann = store.run("ann", query=ONE)

    assert ann.take("load")
    ann.release("load")

    assert list(store.backend.list("")) == []


def test_what_one_stage_of_a_run_gives_up_the_next_takes_at_once(store: Store) -> None:
    ann = store.run("ann", a=ONE, b=ONE, c=ONE)
    assert [ann.take(stage) for stage in "abc"] == [True, False, False]

    ann.release("a")

    assert ann.due(store.clock.monotonic()) == ["b"]
    assert ann.take("b")
    assert not ann.take("c")


def test_of_two_groups_a_stage_takes_both_places_or_none(store: Store) -> None:
    both = {"warehouse": 1, "*": 2}
    ann, bob = store.run("ann", a={"*": 2}, b={"*": 2}), store.run("bob", query=both, other=ONE)
    ann.take("a"), ann.take("b")

    assert not bob.take("query")
    assert bob.take("other")
    bob.release("other")
    ann.release("a")
    store.pass_by(WAITS[1])

    assert bob.due(store.clock.monotonic()) == ["query"]
    assert bob.take("query")
    assert not bob.take("other")


# -- who asks when ----------------------------------------------------------------------------


def test_a_full_group_is_asked_after_a_longer_wait_each_time(store: Store) -> None:
    store.claims("ann").claim_place("warehouse", 1)
    bob = store.run("bob", query=ONE)
    asked = [store.clock.monotonic()]
    bob.take("query")

    while len(asked) < 7:
        store.pass_by(bob.next_due - store.clock.monotonic())
        asked.append(store.clock.monotonic())
        assert bob.due(store.clock.monotonic()) == ["query"]
        bob.take("query")

    assert [round(later - sooner, 3) for sooner, later in pairwise(asked)] == [1.5, 2.25, 3.375, 4, 4, 4]


def test_one_stage_asks_for_all_that_wait_for_the_same_group(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.claims("ann").claim_place("warehouse", 1)
    bob = store.run("bob", **{str(number): ONE for number in range(100)})
    bob.take("0")
    monkeypatch.setattr(bob, "_claims", None)

    assert not any(bob.take(str(number)) for number in range(1, 100))
    assert bob.due(store.clock.monotonic()) == []
    store.pass_by(WAITS[1])
    assert bob.due(store.clock.monotonic()) == ["0"]
    assert bob.due(store.clock.monotonic()) == ["1"]


def test_who_has_asked_in_vain_is_still_the_first(store: Store) -> None:
    ann = store.run("ann", query=ONE)
    ann.take("query")
    bob = store.run("bob", a=ONE, b=ONE)
    bob.take("a"), bob.take("b")

    for _ in range(3):
        store.pass_by(WAITS[1])
        assert bob.due(store.clock.monotonic()) == ["a"]
        assert not bob.take("a")


def test_nobody_waits_while_nothing_does(store: Store) -> None:
    ann = store.run("ann", query=ONE)

    assert ann.take("query")

    assert ann.next_due == float("inf")
    assert ann.due(store.clock.monotonic()) == []


# -- whose turn it is -------------------------------------------------------------------------


def test_a_run_that_never_runs_out_of_stages_lets_others_have_their_turn(store: Store) -> None:
    many = {str(number): ONE for number in range(1000)}
    ann, bob = store.run("ann", **many), store.run("bob", query=ONE)
    at: dict[str, float] = {}
    ann.take("0")
    ann.take("1")
    bob.take("query")
    running = "0"

    while "query" not in at and store.clock.monotonic() < 1000:
        store.pass_by(1)  # as long as a stage takes
        ann.release(running)
        for stage in ann.due(store.clock.monotonic()):
            if ann.take(stage):
                running = stage
                ann.take(str(int(running) + 1))
        for stage in bob.due(store.clock.monotonic()):
            if bob.take(stage):
                at[stage] = store.clock.monotonic()

    assert at["query"] <= 10 * WAITS[1] + 1.2 * WAITS[1] + 1


def test_a_run_that_is_alone_leaves_no_place_empty(store: Store) -> None:
    ann = store.run("ann", a=ONE, b=ONE)
    ann.take("a")
    for _ in range(100):
        store.pass_by(WAITS[1])
        ann.release("a")
        assert ann.take("a")


def test_what_a_run_releases_while_others_have_their_turn_it_does_not_take_back(store: Store) -> None:
    two = {"warehouse": 2}
    ann = store.run("ann", a=two, b=two, c=two)
    store.claims("bob").beat()
    ann.take("a"), ann.take("b"), ann.take("c")
    store.pass_by(10 * WAITS[1])

    ann.release("a")
    assert ann.due(store.clock.monotonic()) == []
    ann.release("b")
    assert ann.due(store.clock.monotonic()) == []
    store.pass_by(1.2 * WAITS[1])

    assert ann.due(store.clock.monotonic()) == ["c"]
    assert ann.take("c")


# -- in a run ---------------------------------------------------------------------------------

FLOW = """
from lineal import pipeline, stage

tries = []


@stage(limit="warehouse:1", retries=1, retry_delay="10s", retry_jitter=0)
def query() -> int:
    tries.append(1)
    if len(tries) == 1:
        raise ConnectionError("not now")
    return 1


@stage
def beside() -> int:
    return 2


@pipeline
def flow() -> None:
    query(), beside()
"""


def test_a_run_waits_for_a_place_and_does_the_rest_meanwhile(runs: Runs) -> None:
    runs.write(FLOW)
    other = runs.store.claims("other")
    taken = other.claim_place("warehouse", 1)
    assert taken is not None
    ended: list[str] = []

    def leave(seconds: float) -> None:
        if not ended:
            ended.extend(event.stage for event in runs.told if event.state == "succeeded")
            other.release([taken])

    runs.clock.on_sleep = leave
    record = runs.run()

    assert record.state == "succeeded"
    assert ended == ["beside"]


def test_a_stage_that_waits_to_try_again_needs_no_place(runs: Runs) -> None:
    runs.write(FLOW)
    other = runs.store.claims("other")
    free: list[bool] = []

    def look(seconds: float) -> None:
        place = other.claim_place("warehouse", 1)
        free.append(place is not None)
        other.release([place] if place else [])

    runs.clock.on_sleep = look
    runs.run()

    assert runs.clock.slept == [10]
    assert free == [True]
    assert other.claim_place("warehouse", 1) is not None


def test_each_item_of_a_mapped_stage_needs_a_place_and_the_whole_needs_none(runs: Runs) -> None:
    runs.write(
        """
        from lineal import pipeline, stage


        @stage
        def numbers() -> list[int]:
            return [1, 2, 3]


        @stage(limit="warehouse:1")
        def query(number: int) -> int:
            return number


        @pipeline
        def flow() -> list[int]:
            return query.map(numbers())
        """
    )
    other = runs.store.claims("other")
    taken = other.claim_place("warehouse", 1)
    assert taken is not None
    ended: list[str] = []

    def leave(seconds: float) -> None:
        if not ended:
            ended.extend(event.stage for event in runs.told if event.state == "succeeded")
            other.release([taken])

    runs.clock.on_sleep = leave
    record = runs.run()

    assert record.state == "succeeded"
    assert ended == ["numbers"]
