"""The machine decides; these tests feed it events and compare the instructions."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineal.engine.machine import (
    AttemptFailed,
    Claim,
    Claimed,
    Completed,
    ConditionFailed,
    Confirm,
    Confirmed,
    Elsewhere,
    Enter,
    Execute,
    Expanded,
    Finish,
    Hit,
    InputHealed,
    InputLost,
    Interrupted,
    InvalidTransition,
    Kill,
    Look,
    LookDue,
    LookLater,
    Machine,
    Missed,
    NoPlace,
    OutputLost,
    PlaceFree,
    Refused,
    Resumed,
    RetryDue,
    Returned,
    Shared,
    Started,
    Stopped,
    Superseded,
    Task,
    TimedOut,
    WaitToRetry,
    Weighed,
)


def chain(*names: str, **options: object) -> list[Task]:
    return [
        Task(name, (names[place - 1],) if place else (), **options)  # type: ignore[arg-type]
        for place, name in enumerate(names)
    ]


def test_a_stage_is_looked_up_when_its_parents_have_ended() -> None:
    machine = Machine(chain("a", "b"), slots=1)

    assert machine.handle(Started()) == [Look("a")]
    assert machine.handle(Hit("a")) == [Enter("a", "succeeded"), Look("b")]
    assert machine.handle(Hit("b")) == [Enter("b", "succeeded"), Finish("succeeded")]


def test_a_run_of_hits_taken_on_trust_ends_when_what_it_returns_is_confirmed() -> None:
    machine = Machine(chain("a"), slots=1, confirm=True)
    machine.handle(Started())

    assert machine.handle(Hit("a")) == [Enter("a", "succeeded"), Confirm()]
    assert machine.handle(Confirmed()) == [Finish("succeeded")]


def test_what_is_lost_of_a_trusted_hit_is_made_again_and_looked_for_again() -> None:
    machine = Machine(chain("a", "b"), slots=1, confirm=True)
    machine.handle(Started())
    machine.handle(Hit("a"))
    machine.handle(Hit("b"))

    assert machine.handle(OutputLost("b")) == [Enter("b", "ready"), Enter("b", "running"), Execute("b", 1)]
    assert machine.handle(Returned("b"), Completed("b")) == [Enter("b", "succeeded"), Confirm()]
    assert machine.handle(Confirmed()) == [Finish("succeeded")]


def test_what_is_lost_again_and_again_fails() -> None:
    machine = Machine(chain("a"), slots=1, confirm=True)
    machine.handle(Started())
    machine.handle(Hit("a"))
    for _ in range(2):
        machine.handle(OutputLost("a"))
        assert machine.handle(Returned("a"), Completed("a"))[-1] == Confirm()

    assert machine.handle(OutputLost("a")) == [Enter("a", "failed"), Finish("failed")]


def test_a_preview_only_says_what_is_lost() -> None:
    machine = Machine(chain("a"), slots=1, preview=True, confirm=True)
    machine.handle(Started())
    machine.handle(Hit("a"))

    assert machine.handle(OutputLost("a")) == [Enter("a", "unknown"), Finish("succeeded")]


def test_a_run_that_has_failed_confirms_nothing() -> None:
    machine = Machine([Task("a"), Task("b")], slots=1, confirm=True)
    machine.handle(Started())
    machine.handle(Hit("a"))

    assert machine.handle(Refused("b")) == [Enter("b", "failed"), Finish("failed")]


def test_a_miss_is_executed() -> None:
    machine = Machine(chain("a"), slots=1)
    machine.handle(Started())

    assert machine.handle(Missed("a")) == [Enter("a", "ready"), Enter("a", "running"), Execute("a", 1)]
    assert machine.handle(Returned("a"), Completed("a")) == [Enter("a", "succeeded"), Finish("succeeded")]


def test_what_was_returned_is_handed_on_before_it_is_durable_and_has_succeeded_only_then() -> None:
    machine = Machine(chain("a", "b"), slots=1)
    machine.handle(Started())
    machine.handle(Missed("a"))

    assert machine.handle(Returned("a")) == [Look("b")]
    assert machine.handle(Missed("b")) == [Enter("b", "ready"), Enter("b", "running"), Execute("b", 1)]
    assert machine.handle(Returned("b")) == []
    assert machine.handle(Completed("a"), Completed("b")) == [
        Enter("a", "succeeded"),
        Enter("b", "succeeded"),
        Finish("succeeded"),
    ]


def test_what_is_returned_frees_its_slot() -> None:
    machine = Machine([Task("a"), Task("b")], slots=1)
    machine.handle(Started())
    machine.handle(Missed("a"), Missed("b"))

    assert machine.handle(Returned("a")) == [Enter("b", "running"), Execute("b", 1)]


def test_of_stages_that_ask_for_one_action_one_executes_it_and_the_others_look_again() -> None:
    machine = Machine([Task("a"), Task("b"), Task("of_b", ("b",))], slots=2)
    machine.handle(Started())

    assert machine.handle(Missed("a"), Shared("b", leader="a")) == [
        Enter("a", "ready"),
        Enter("a", "running"),
        Execute("a", 1),
    ]
    assert machine.handle(Returned("a")) == []
    assert machine.handle(Completed("a")) == [Enter("a", "succeeded"), Look("b")]
    assert machine.handle(Hit("b")) == [Enter("b", "succeeded"), Look("of_b")]


def test_where_the_one_fails_the_next_one_tries() -> None:
    machine = Machine([Task("a"), Task("b")], slots=2)
    machine.handle(Started())
    machine.handle(Missed("a"), Shared("b", leader="a"))

    assert machine.handle(AttemptFailed("a", retryable=False)) == [Enter("a", "failed"), Look("b")]
    assert Execute("b", 1) in machine.handle(Missed("b"))


def test_who_waits_for_another_stages_attempt_is_cancelled_with_it() -> None:
    machine = Machine([Task("a"), Task("b")], slots=2)
    machine.handle(Started())
    machine.handle(Missed("a"), Shared("b", leader="a"))
    machine.handle(Interrupted())

    assert machine.handle(Stopped("a")) == [
        Enter("a", "cancelled"),
        Enter("b", "cancelled"),
        Finish("cancelled"),
    ]


def test_a_preview_says_of_all_that_ask_for_one_action_that_they_would_run() -> None:
    machine = Machine([Task("a"), Task("b")], slots=1, preview=True)
    machine.handle(Started())

    assert machine.handle(Missed("a"), Shared("b", leader="a")) == [
        Enter("a", "unknown"),
        Enter("b", "unknown"),
        Finish("succeeded"),
    ]


def test_who_would_wait_for_another_stage_ends_where_the_run_has_been_stopped() -> None:
    machine = Machine([Task("a"), Task("b")], slots=1)
    machine.handle(Started())
    machine.handle(Interrupted())

    assert machine.handle(Missed("a"), Shared("b", leader="a")) == [
        Enter("a", "cancelled"),
        Enter("b", "cancelled"),
        Finish("cancelled"),
    ]


def test_where_there_are_other_runs_a_stage_is_claimed_before_it_is_executed() -> None:
    machine = Machine(chain("a"), slots=1, claims=True)
    machine.handle(Started())

    assert machine.handle(Missed("a")) == [Enter("a", "ready"), Claim("a")]
    assert machine.handle(Claimed("a")) == [Enter("a", "running"), Execute("a", 1)]


def test_what_another_run_executes_takes_no_slot_and_is_looked_up_when_that_has_ended() -> None:
    machine = Machine([Task("a"), Task("b")], slots=1, claims=True)
    machine.handle(Started())
    machine.handle(Missed("a"), Missed("b"))

    assert machine.handle(Elsewhere("a")) == [Enter("a", "elsewhere"), LookLater("a"), Claim("b")]
    machine.handle(Claimed("b"))
    assert machine.handle(LookDue("a")) == [Look("a")]
    assert machine.handle(Hit("a")) == [Enter("a", "succeeded")]
    assert machine.attempts("a") == 0


def test_who_waits_for_another_run_is_cancelled_at_once() -> None:
    machine = Machine(chain("a"), slots=1, claims=True)
    machine.handle(Started())
    machine.handle(Missed("a"))
    machine.handle(Elsewhere("a"))

    assert machine.handle(Interrupted()) == [Enter("a", "cancelled"), Finish("cancelled")]
    assert machine.handle(LookDue("a")) == []


def test_what_may_not_be_filed_is_looked_up_again() -> None:
    machine = Machine(chain("a", "b"), slots=1)
    machine.handle(Started())
    machine.handle(Missed("a"))

    assert machine.handle(Returned("a"), Superseded("a")) == [Look("b"), Look("a")]
    assert machine.handle(Hit("a"), Hit("b")) == [
        Enter("a", "succeeded"),
        Enter("b", "succeeded"),
        Finish("succeeded"),
    ]


def test_nothing_goes_on_with_what_was_known_to_be_taken_over_when_it_came_back() -> None:
    machine = Machine(chain("a", "b"), slots=1)
    machine.handle(Started())
    machine.handle(Missed("a"))

    assert machine.handle(Superseded("a")) == [Look("a")]
    assert machine.handle(Missed("a")) == [Enter("a", "ready"), Enter("a", "running"), Execute("a", 2)]


def test_no_more_attempts_run_at_once_than_there_are_slots() -> None:
    machine = Machine([Task("a"), Task("b"), Task("c")], slots=2)
    machine.handle(Started())

    started = machine.handle(Missed("a"), Missed("b"), Missed("c"))

    assert [one for one in started if isinstance(one, Execute)] == [Execute("a", 1), Execute("b", 1)]
    assert Execute("c", 1) in machine.handle(Returned("b"), Completed("b"))


def test_a_stage_without_a_place_leaves_its_slot_to_others_and_asks_again_when_there_is_one() -> None:
    machine = Machine([Task("a"), Task("b")], slots=1, claims=True)
    machine.handle(Started())

    assert machine.handle(Missed("a"), Missed("b"))[-1] == Claim("a")
    assert machine.handle(NoPlace("a")) == [Claim("b")]
    assert machine.handle(Claimed("b")) == [Enter("b", "running"), Execute("b", 1)]
    assert machine.handle(PlaceFree("a")) == []  # it has no slot
    assert machine.handle(Returned("b"), Completed("b")) == [Enter("b", "succeeded"), Claim("a")]
    assert machine.handle(Claimed("a"))[-1] == Execute("a", 1)


def test_a_stage_that_waits_for_a_place_is_cancelled_with_its_run() -> None:
    machine = Machine([Task("a")], slots=1, claims=True)
    machine.handle(Started())
    machine.handle(Missed("a"))
    machine.handle(NoPlace("a"))

    assert machine.handle(Interrupted()) == [Enter("a", "cancelled"), Finish("cancelled")]
    assert machine.handle(PlaceFree("a")) == []


def test_a_failure_stops_its_descendants_and_not_its_siblings() -> None:
    machine = Machine([Task("a"), Task("b"), Task("of_a", ("a",)), Task("of_both", ("of_a", "b"))], slots=2)
    machine.handle(Started())
    machine.handle(Missed("a"), Missed("b"))

    after = machine.handle(AttemptFailed("a", retryable=False))

    assert after == [Enter("a", "failed"), Enter("of_a", "upstream_failed")]
    assert machine.handle(Returned("b"), Completed("b")) == [
        Enter("of_both", "upstream_failed"),
        Enter("b", "succeeded"),
        Finish("failed"),
    ]


def test_a_failed_attempt_is_retried_after_its_delay_until_no_attempt_is_left() -> None:
    machine = Machine([Task("a", max_attempts=2)], slots=1)
    machine.handle(Started())
    machine.handle(Missed("a"))

    assert machine.handle(AttemptFailed("a", retryable=True)) == [
        WaitToRetry("a", 1),
        Enter("a", "up_for_retry"),
    ]
    assert Execute("a", 2) in machine.handle(RetryDue("a"))
    assert machine.handle(AttemptFailed("a", retryable=True)) == [Enter("a", "failed"), Finish("failed")]
    assert machine.attempts("a") == 2


def test_a_stage_that_a_run_before_was_to_retry_waits_and_has_the_attempts_that_were_left() -> None:
    machine = Machine([Task("a", max_attempts=3)], slots=1)
    machine.handle(Started())

    assert machine.handle(Resumed("a", 1)) == [WaitToRetry("a", 1), Enter("a", "up_for_retry")]
    assert Execute("a", 1) in machine.handle(RetryDue("a"))
    assert machine.handle(AttemptFailed("a", retryable=True)) == [
        WaitToRetry("a", 2),
        Enter("a", "up_for_retry"),
    ]
    machine.handle(RetryDue("a"))
    assert machine.handle(AttemptFailed("a", retryable=True)) == [Enter("a", "failed"), Finish("failed")]
    assert machine.attempts("a") == 2


def test_a_stage_that_would_wait_does_not_begin_once_the_run_is_stopped() -> None:
    machine = Machine([Task("a"), Task("b", max_attempts=3)], slots=1)
    machine.handle(Started())
    machine.handle(Missed("a"), Interrupted())

    assert Enter("b", "cancelled") in machine.handle(Resumed("b", 1))


def test_a_failure_that_is_not_retryable_ends_the_stage_at_once() -> None:
    machine = Machine([Task("a", max_attempts=5)], slots=1)
    machine.handle(Started())
    machine.handle(Missed("a"))

    assert machine.handle(AttemptFailed("a", retryable=False)) == [Enter("a", "failed"), Finish("failed")]


def test_a_stage_that_cannot_be_asked_for_fails_without_an_attempt() -> None:
    machine = Machine(chain("a", "b"), slots=1)
    machine.handle(Started())

    assert machine.handle(Refused("a")) == [
        Enter("a", "failed"),
        Enter("b", "upstream_failed"),
        Finish("failed"),
    ]


def test_what_needs_a_skipped_output_is_skipped_unless_it_can_do_without() -> None:
    tasks = [Task("a"), Task("needs", ("a",)), Task("can_do_without", ("a",), frozenset({"a"}))]
    machine = Machine(tasks, slots=1)
    machine.handle(Started())

    assert machine.handle(ConditionFailed("a")) == [
        Enter("a", "skipped"),
        Look("can_do_without"),
        Enter("needs", "skipped"),
    ]


def test_fail_fast_starts_nothing_more_and_lets_what_runs_end() -> None:
    machine = Machine([Task("a"), Task("b"), Task("c")], slots=2, fail_fast=True)
    machine.handle(Started())
    machine.handle(Missed("a"), Missed("b"), Missed("c"))

    assert machine.handle(AttemptFailed("a", retryable=False)) == [
        Enter("a", "failed"),
        Enter("c", "cancelled"),
    ]
    assert machine.handle(Returned("b"), Completed("b")) == [Enter("b", "succeeded"), Finish("failed")]


def test_an_interrupt_kills_what_runs_and_cancels_the_rest() -> None:
    machine = Machine([Task("a"), Task("b"), Task("of_a", ("a",))], slots=1)
    machine.handle(Started())
    machine.handle(Missed("a"), Missed("b"))

    assert machine.handle(Interrupted()) == [Kill("a"), Enter("b", "cancelled")]
    assert machine.handle(Stopped("a")) == [
        Enter("a", "cancelled"),
        Enter("of_a", "cancelled"),
        Finish("cancelled"),
    ]


def test_a_lost_input_is_made_again_before_its_consumer() -> None:
    machine = Machine(chain("a", "b"), slots=1)
    machine.handle(Started())
    machine.handle(Hit("a"))
    machine.handle(Missed("b"))

    assert machine.handle(InputLost("b", "a")) == [
        Enter("a", "ready"),
        Enter("b", "waiting"),
        Enter("a", "running"),
        Execute("a", 1),
    ]
    assert machine.handle(Returned("a"), Completed("a")) == [Look("b"), Enter("a", "succeeded")]
    assert Execute("b", 1) in machine.handle(Missed("b"))


def test_an_input_that_is_lost_again_and_again_fails_its_consumer() -> None:
    machine = Machine(chain("a", "b"), slots=1)
    machine.handle(Started())
    machine.handle(Hit("a"))
    machine.handle(Missed("b"))
    for _ in range(2):
        machine.handle(InputLost("b", "a"))
        machine.handle(Returned("a"), Completed("a"))
        machine.handle(Missed("b"))

    assert machine.handle(InputLost("b", "a")) == [Enter("b", "failed"), Finish("failed")]


def test_a_consumer_of_a_rebuild_that_failed_ends_as_upstream_failed() -> None:
    machine = Machine([Task("a"), Task("b", ("a",)), Task("c", ("a",))], slots=3)
    machine.handle(Started())
    machine.handle(Hit("a"))
    machine.handle(Missed("b"), Missed("c"))
    machine.handle(InputLost("b", "a"))

    machine.handle(AttemptFailed("a", retryable=False))

    assert machine.status("b") == "upstream_failed"
    assert machine.handle(InputLost("c", "a")) == [
        Enter("c", "waiting"),
        Enter("c", "upstream_failed"),
        Finish("failed"),
    ]


def test_an_attempt_whose_input_was_healed_does_not_count() -> None:
    machine = Machine([Task("a", max_attempts=1)], slots=1)
    machine.handle(Started())
    machine.handle(Missed("a"))

    assert Execute("a", 1) in machine.handle(InputHealed("a"))


def test_a_preview_executes_nothing_and_knows_nothing_beyond_a_miss() -> None:
    machine = Machine([*chain("a", "b", "c"), Task("other")], slots=1, preview=True)
    machine.handle(Started())

    assert machine.handle(Hit("a"), Hit("other"), Missed("b")) == [
        Enter("a", "succeeded"),
        Look("b"),
        Enter("other", "succeeded"),
        Enter("b", "unknown"),
        Enter("c", "unknown"),
        Finish("succeeded"),
    ]


def test_an_event_that_means_nothing_tells_the_story_of_the_stage() -> None:
    machine = Machine(chain("a"), slots=1)
    machine.handle(Started())
    machine.handle(Missed("a"))

    with pytest.raises(
        InvalidTransition, match=r"a is running and cannot take Hit; its story: ready → running"
    ):
        machine.handle(Hit("a"))


def test_the_error_survives_pickling() -> None:
    error = InvalidTransition("a", "running", "Hit", ("ready", "running"))

    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_run_that_takes_too_long_fails_with_what_runs_and_starts_nothing_more() -> None:
    machine = Machine([Task("a", max_attempts=5), Task("b"), Task("of_a", ("a",))], slots=1)
    machine.handle(Started())
    machine.handle(Missed("a"), Missed("b"))

    assert machine.handle(TimedOut()) == [Kill("a"), Enter("b", "cancelled")]
    assert machine.handle(AttemptFailed("a", retryable=True)) == [
        Enter("a", "failed"),
        Enter("of_a", "upstream_failed"),
        Finish("failed"),
    ]


def test_what_waits_to_be_tried_again_when_the_time_is_over_has_failed() -> None:
    machine = Machine([Task("a", max_attempts=5)], slots=1)
    machine.handle(Started())
    machine.handle(Missed("a"))
    machine.handle(AttemptFailed("a", retryable=True))

    assert machine.handle(TimedOut()) == [Enter("a", "failed"), Finish("failed")]


def test_a_run_has_failed_though_what_was_stopped_ended_well_just_then() -> None:
    machine = Machine(chain("a", "b"), slots=1)
    machine.handle(Started())
    machine.handle(Missed("a"))
    machine.handle(TimedOut())

    assert machine.handle(Returned("a"), Completed("a")) == [
        Enter("b", "cancelled"),
        Enter("a", "succeeded"),
        Finish("failed"),
    ]


def test_a_run_that_was_complete_when_its_time_was_over_has_succeeded() -> None:
    machine = Machine(chain("a"), slots=1)
    machine.handle(Started())
    machine.handle(Missed("a"))
    machine.handle(TimedOut())

    assert machine.handle(Returned("a"), Completed("a")) == [Enter("a", "succeeded"), Finish("succeeded")]


def test_a_chain_of_ten_thousand_hits_needs_no_recursion() -> None:
    names = [f"s{number}" for number in range(10_000)]
    machine = Machine(chain(*names), slots=1)
    machine.handle(Started())
    for name in names:
        last = machine.handle(Hit(name))

    assert last == [Enter(names[-1], "succeeded"), Finish("succeeded")]


def test_a_failure_above_ten_thousand_stages_ends_them_all_at_once() -> None:
    names = [f"s{number}" for number in range(10_000)]
    machine = Machine(chain(*names), slots=1)
    machine.handle(Started())

    ended = machine.handle(Refused("s0"))

    assert len(ended) == 10_001
    assert ended[-1] == Finish("failed")


@st.composite
def graphs(draw: st.DrawFn) -> list[Task]:
    count = draw(st.integers(1, 8))
    tasks = []
    for number in range(count):
        parents = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        names = tuple(f"s{parent}" for parent in sorted(parents))
        tolerated = frozenset(name for name in names if draw(st.booleans()))
        tasks.append(Task(f"s{number}", names, tolerated, draw(st.integers(1, 3))))
    return tasks


@settings(max_examples=300, deadline=None)
@given(graphs(), st.integers(1, 3), st.data())
def test_every_run_ends_with_every_stage_in_the_state_that_its_parents_and_its_own_fate_demand(
    tasks: list[Task], slots: int, data: st.DataObject
) -> None:
    machine = Machine(tasks, slots=slots)
    fates: dict[str, str] = {}
    todo = machine.handle(Started())
    finished = None
    running: set[str] = set()
    returned: list[str] = []
    while todo or returned:
        following = []
        for instruction in todo:
            match instruction:
                case Look(stage):
                    fate = fates[stage] = data.draw(
                        st.sampled_from(["hit", "runs", "fails", "skipped", "refused"]), label=stage
                    )
                    event = {
                        "hit": Hit(stage),
                        "runs": Missed(stage),
                        "fails": Missed(stage),
                        "skipped": ConditionFailed(stage),
                        "refused": Refused(stage),
                    }[fate]
                    following += machine.handle(event)
                case Execute(stage):
                    running.add(stage)
                    assert len(running) <= slots
                case WaitToRetry(stage):
                    following += machine.handle(RetryDue(stage))
                case Finish(state):
                    assert finished is None
                    finished = state
        if not following and running:
            stage = data.draw(st.sampled_from(sorted(running)), label="ends")
            running.remove(stage)
            fails = fates[stage] == "fails"
            if fails:
                following = machine.handle(AttemptFailed(stage, retryable=True))
            else:
                following = machine.handle(Returned(stage))
                returned.append(stage)
        if returned and (not (following or running) or data.draw(st.booleans(), label="commit")):
            following += machine.handle(*map(Completed, returned))
            returned = []
        todo = following

    expected: dict[str, str] = {}
    for task in tasks:
        above = {parent: expected[parent] for parent in task.parents}
        if {"failed", "upstream_failed"} & set(above.values()):
            expected[task.id] = "upstream_failed"
        elif any(state == "skipped" and name not in task.tolerated for name, state in above.items()):
            expected[task.id] = "skipped"
        else:
            ends = {"hit": "succeeded", "runs": "succeeded", "skipped": "skipped"}
            expected[task.id] = ends.get(fates[task.id], "failed")
    assert {task.id: machine.status(task.id) for task in tasks} == expected
    bad = {"failed", "upstream_failed"} & set(expected.values())
    assert finished == ("failed" if bad else "succeeded")
    for task in tasks:
        if fates.get(task.id) == "fails":
            assert machine.attempts(task.id) == task.max_attempts


# -- mapped stages ----------------------------------------------------------------------------


def mapped(*names: str) -> Machine:
    """``a``, then ``m`` mapped over what it returns, then ``b`` that takes the list; ``a`` has ended, and ``m`` is its items."""
    machine = Machine([Task("a"), Task("m", ("a",)), Task("b", ("m",))], slots=2)
    machine.handle(Started())
    assert machine.handle(Hit("a"))[-1] == Look("m")
    machine.handle(Expanded("m", tuple(Task(name, ("a",)) for name in names)))
    return machine


def test_a_mapped_stage_becomes_its_items_when_its_list_is_there() -> None:
    machine = Machine([Task("m"), Task("b", ("m",))], slots=2)
    machine.handle(Started())

    assert machine.handle(Expanded("m", (Task("m[0]"), Task("m[1]")))) == [
        Enter("m", "waiting"),
        Look("m[0]"),
        Look("m[1]"),
    ]


def test_a_mapped_stage_has_succeeded_when_all_its_items_have() -> None:
    machine = mapped("m[0]", "m[1]")

    assert machine.handle(Hit("m[1]")) == [Enter("m[1]", "succeeded")]
    assert machine.handle(Hit("m[0]")) == [Enter("m[0]", "succeeded"), Enter("m", "succeeded"), Look("b")]


def test_a_list_is_not_there_before_its_items_are_durable() -> None:
    machine = mapped("m[0]")
    machine.handle(Missed("m[0]"))

    assert machine.handle(Returned("m[0]")) == []
    assert machine.handle(Completed("m[0]")) == [
        Enter("m[0]", "succeeded"),
        Enter("m", "succeeded"),
        Look("b"),
    ]


def test_of_an_empty_list_a_mapped_stage_has_succeeded_at_once() -> None:
    machine = Machine([Task("m"), Task("b", ("m",))], slots=1)
    machine.handle(Started())

    assert machine.handle(Expanded("m", ()))[1:] == [Enter("m", "succeeded"), Look("b")]


def test_a_failed_item_stops_what_takes_the_list_and_no_other_item() -> None:
    machine = mapped("m[0]", "m[1]")
    machine.handle(Refused("m[0]"))

    assert machine.handle(Hit("m[1]")) == [
        Enter("m[1]", "succeeded"),
        Enter("m", "upstream_failed"),
        Enter("b", "upstream_failed"),
        Finish("failed"),
    ]


def test_what_is_mapped_over_a_mapped_stage_waits_for_single_items_alone() -> None:
    machine = Machine([Task("m"), Task("n", ("m",), over="m")], slots=2)
    machine.handle(Started())
    first = machine.handle(Expanded("m", (Task("m[0]"), Task("m[1]"))))
    assert first == [Enter("m", "waiting"), Look("m[0]"), Look("m[1]"), Look("n")]
    items = (Task("n[0]", ("m[0]",)), Task("n[1]", ("m[1]",)))
    assert machine.handle(Expanded("n", items)) == [Enter("n", "waiting")]

    assert machine.handle(Hit("m[1]")) == [Enter("m[1]", "succeeded"), Look("n[1]")]
    machine.handle(Refused("m[0]"))
    assert machine.handle(Hit("n[1]"))[-2:] == [Enter("n", "upstream_failed"), Finish("failed")]


def test_an_item_of_a_preview_that_would_run_leaves_the_list_unknown() -> None:
    machine = Machine([Task("m"), Task("b", ("m",))], slots=1, preview=True)
    machine.handle(Started())
    machine.handle(Expanded("m", (Task("m[0]"),)))

    assert machine.handle(Missed("m[0]")) == [
        Enter("m[0]", "unknown"),
        Enter("m", "unknown"),
        Enter("b", "unknown"),
        Finish("succeeded"),
    ]


def test_an_item_that_was_lost_is_made_again_for_who_takes_the_list() -> None:
    machine = mapped("m[0]", "m[1]")
    machine.handle(Hit("m[0]"), Hit("m[1]"))
    machine.handle(Missed("b"))

    assert machine.handle(InputLost("b", "m[1]")) == [
        Enter("m[1]", "ready"),
        Enter("b", "waiting"),
        Enter("m[1]", "running"),
        Execute("m[1]", 1),
    ]
    assert machine.handle(Returned("m[1]")) == []
    assert machine.handle(Completed("m[1]")) == [Enter("m[1]", "succeeded"), Look("b")]


def test_an_interrupted_run_begins_no_item_of_a_list_that_is_found_meanwhile() -> None:
    machine = Machine([Task("a"), Task("m")], slots=1)
    machine.handle(Started())
    machine.handle(Missed("a"))
    machine.handle(Interrupted())

    told = machine.handle(Expanded("m", (Task("m[0]"), Task("m[1]"))))

    assert [one for one in told if isinstance(one, Enter)][1:] == [
        Enter("m[0]", "cancelled"),
        Enter("m[1]", "cancelled"),
        Enter("m", "cancelled"),
    ]


# -- priorities -------------------------------------------------------------------------------


def test_of_what_is_ready_that_begins_first_on_which_most_depends() -> None:
    machine = Machine([Task("a"), Task("b"), Task("c")], slots=1)
    machine.handle(Started())
    machine.handle(Missed("a"), Missed("b"), Missed("c"))  # the first begins before anybody knows more

    assert machine.handle(Weighed({"a": 1.0, "b": 2.0, "c": 30.0})) == []
    assert Execute("c", 1) in machine.handle(Returned("a"), Completed("a"))
    assert Execute("b", 1) in machine.handle(Returned("c"), Completed("c"))


@pytest.mark.parametrize("is_expanded_first", [False, True])
def test_items_weigh_what_their_stage_does_and_begin_in_their_order(*, is_expanded_first: bool) -> None:
    machine = Machine([Task("a"), Task("m")], slots=1)
    weighed, expanded = Weighed({"a": 1.0, "m": 2.0}), Expanded("m", (Task("m[0]"), Task("m[1]")))
    machine.handle(Started())
    machine.handle(*([expanded, weighed] if is_expanded_first else [weighed, expanded]))

    assert Execute("m[0]", 1) in machine.handle(Missed("a"), Missed("m[1]"), Missed("m[0]"))
    assert Execute("m[1]", 1) in machine.handle(Returned("m[0]"), Completed("m[0]"))
    assert Execute("a", 1) in machine.handle(Returned("m[1]"), Completed("m[1]"))
