"""Whether a failed attempt is followed by another, and after how long."""

from __future__ import annotations

from datetime import timedelta

import pytest
from clocked import Runs, stages
from hypothesis import given
from hypothesis import strategies as st

from lineal.engine.retries import delay_seconds, draw_of, is_worth_retrying
from lineal.events import Failure
from lineal.stages import StageOptions

REFUSED = ("ConnectionRefusedError", "ConnectionError", "OSError", "Exception", "BaseException")


def options(**given: object) -> StageOptions:
    return StageOptions().changed({"retries": 9, **given})


def failure(kind: str = "exception") -> Failure:
    return Failure(kind, "SomeError", "it went wrong")


def test_delays_double_until_they_reach_the_longest_one() -> None:
    policy = options(retry_delay="30s", retry_backoff=2.0, retry_max_delay="3m")

    assert [delay_seconds(policy, attempts, 0.0) for attempts in range(1, 6)] == [30, 60, 120, 180, 180]


def test_a_backoff_of_one_repeats_the_delay() -> None:
    policy = options(retry_delay=7, retry_backoff=1)

    assert [delay_seconds(policy, attempts, 0.0) for attempts in (1, 2, 1000)] == [7, 7, 7]


def test_the_longest_delay_does_not_shorten_the_one_that_was_asked_for() -> None:
    assert delay_seconds(options(retry_delay="1h", retry_max_delay="10m"), 1, 0.0) == 3600


def test_jitter_draws_a_part_of_the_delay_on_top() -> None:
    policy = options(retry_delay=10, retry_jitter=0.5)

    assert [delay_seconds(policy, 1, draw) for draw in (0.0, 0.5, 1.0)] == [10, 12.5, 15]


@given(
    first=st.floats(0, 1e4),
    factor=st.floats(1, 1e6),
    most=st.floats(0, 1e4),
    jitter=st.floats(0, 1),
    draw=st.floats(0, 1, exclude_max=True),
    attempts=st.integers(1, 10_000),
)
def test_no_delay_is_shorter_than_asked_for_nor_longer_than_allowed(
    first: float, factor: float, most: float, jitter: float, draw: float, attempts: int
) -> None:
    policy = options(retry_delay=first, retry_backoff=factor, retry_max_delay=most, retry_jitter=jitter)

    delay = delay_seconds(policy, attempts, draw)

    assert first <= delay <= max(first, most) * (1 + jitter)
    assert delay <= delay_seconds(policy, attempts + 1, draw)


def test_a_draw_is_another_one_for_each_run_stage_and_attempt_and_the_same_when_asked_again() -> None:
    draws = [draw_of(run, stage, attempt) for run in "ab" for stage in "cd" for attempt in (1, 2)]

    assert len(set(draws)) == 8
    assert all(0 <= draw < 1 for draw in draws)
    assert draw_of("a", "c", 1) == draws[0]


def test_every_exception_is_worth_another_attempt_unless_some_are_named() -> None:
    assert is_worth_retrying(options(), failure(), ("ValueError", "Exception", "BaseException"))
    assert not is_worth_retrying(options(retry_on=ConnectionError), failure(), ("ValueError", "Exception"))


@pytest.mark.parametrize("named", [ConnectionRefusedError, ConnectionError, (KeyError, OSError), [Exception]])
def test_a_class_stands_for_those_that_inherit_from_it(named: object) -> None:
    assert is_worth_retrying(options(retry_on=named), failure(), REFUSED)


def test_classes_of_one_name_are_told_apart_by_their_modules() -> None:
    class ConnectionError(Exception):  # noqa: A001
        pass

    assert not is_worth_retrying(options(retry_on=ConnectionError), failure(), REFUSED)


def test_a_class_of_a_script_is_known_by_the_name_that_workers_have_for_it() -> None:
    flaky = type("Flaky", (Exception,), {"__module__": "__main__"})

    assert is_worth_retrying(options(retry_on=flaky), failure(), ("script.Flaky", "Exception"))
    assert not is_worth_retrying(options(retry_on=flaky), failure(), ("script.NotFlaky", "Exception"))


@pytest.mark.parametrize(
    ("named", "worth_it"), [(None, True), (TimeoutError, True), (OSError, True), (ConnectionError, False)]
)
def test_a_timeout_counts_as_a_timeout_error(named: type[Exception] | None, worth_it: bool) -> None:
    assert is_worth_retrying(options(retry_on=named), failure("timeout"), ()) is worth_it


@pytest.mark.parametrize("kind", ["killed", "out_of_memory"])
def test_a_worker_that_was_lost_is_replaced_whatever_exceptions_are_named(kind: str) -> None:
    assert is_worth_retrying(options(retry_on=KeyError), failure(kind), ("SIGKILL",))


@pytest.mark.parametrize("kind", ["contract", "code_changed", "effect_unknown"])
def test_what_would_end_the_same_way_is_not_tried_again(kind: str) -> None:
    assert not is_worth_retrying(options(), failure(kind), ("Exception",))


# -- in a run ---------------------------------------------------------------------------------

FLAKY = """
from lineal import pipeline, stage

tries = []


class Busy(Exception):
    pass


def is_busy(error):
    return "busy" in str(error)


@stage(retries=3, retry_delay="10s", retry_backoff=3, retry_max_delay="1m", retry_jitter=0, {options})
def fetch() -> int:
    tries.append(1)
    if len(tries) <= {failing}:
        raise {error}
    return len(tries)


@pipeline
def flow() -> int:
    return fetch()
"""


def flaky(failing: int = 1, options: str = "version='1'", error: str = 'ConnectionError("not now")') -> str:
    return FLAKY.format(failing=failing, options=options, error=error)


def test_a_run_waits_longer_after_every_failure(runs: Runs) -> None:
    runs.write(flaky(failing=3))

    record = runs.run()

    assert stages(record)["fetch"].attempts == 4
    assert runs.clock.slept == [10, 30, 60]


def test_delays_are_jittered_by_the_runs_own_draw(runs: Runs) -> None:
    runs.write(flaky().replace("retry_jitter=0,", "retry_jitter=1,"))

    record = runs.run()

    assert runs.clock.slept == [round(10 * (1 + draw_of(record.run_id, "fetch", 1)), 6)]


@pytest.mark.parametrize(
    ("option", "error", "attempts"),
    [
        ("retry_on=(ConnectionError, Busy)", 'Busy("x")', 2),
        ("retry_on=(ConnectionError, Busy)", 'ConnectionResetError("x")', 2),
        ("retry_on=(ConnectionError, Busy)", 'ValueError("x")', 1),
        ("retry_on=is_busy", 'ValueError("busy")', 2),
        ("retry_on=is_busy", 'ValueError("wrong")', 1),
    ],
)
def test_a_run_tries_again_on_what_is_named(runs: Runs, option: str, error: str, attempts: int) -> None:
    runs.write(flaky(options=option, error=error))

    assert stages(runs.run())["fetch"].attempts == attempts


def test_a_call_may_be_configured_otherwise_than_its_stage(runs: Runs) -> None:
    runs.write(flaky(error='ValueError("busy")', options="retry_on=KeyError"))
    declared = stages(runs.run())["fetch"]
    runs.write(
        flaky(error='ValueError("busy")', options="retry_on=KeyError").replace(
            "return fetch()", "return fetch.options(retry_on=is_busy)()"
        )
    )

    assert (declared.attempts, stages(runs.run())["fetch"].attempts) == (1, 2)


def test_a_function_that_fails_itself_ends_the_stage_and_hides_nothing(runs: Runs) -> None:
    runs.write(flaky(options="retry_on=is_busy").replace('"busy" in str(error)', "error.status == 503"))

    fetch = stages(runs.run())["fetch"]

    assert fetch.attempts == 1
    assert fetch.error is not None
    assert fetch.error["message"] == "not now"
    assert "retry_on=clocked_flow:is_busy raised AttributeError" in str(fetch.error["hint"])


def test_how_failures_are_retried_is_no_part_of_a_key(runs: Runs) -> None:
    runs.write(flaky(failing=0))
    before = stages(runs.run())["fetch"]
    runs.write(flaky(failing=0, options="version='1', retry_on=is_busy"))

    after = stages(runs.run())["fetch"]

    assert (after.action_key, after.cache) == (before.action_key, "hit")


# -- over the end of a run --------------------------------------------------------------------


class Killed(BaseException):
    """What ends a run here as `kill -9` would: in the middle of a wait, with nothing more written."""


def killed_while_waiting(runs: Runs, after: int = 1) -> None:
    def kill(seconds: float) -> None:
        if len(runs.clock.slept) == after - 1:
            raise Killed

    runs.clock.on_sleep = kill
    with pytest.raises(Killed):
        runs.run()
    runs.clock.on_sleep = lambda seconds: None


def test_the_next_run_waits_for_the_rest_of_the_delay_and_goes_on_counting(runs: Runs) -> None:
    runs.write(flaky(failing=9))
    killed_while_waiting(runs, after=2)
    runs.clock.slept.clear()
    runs.clock.pass_by(25)

    record = runs.run()

    fetch = stages(record)["fetch"]
    assert runs.clock.slept == [5, 60]  # the rest of 30 s; then the delay after the third attempt
    assert (fetch.state, fetch.attempts) == ("failed", 2)  # of this run; four in all
    assert "`fetch` waits 5 s more" in record.warnings[0]


def test_what_it_waits_for_is_told_while_it_waits(runs: Runs) -> None:
    runs.write(flaky())
    killed_while_waiting(runs)

    runs.run()

    waiting = next(event for event in runs.told if event.state == "up_for_retry")
    assert waiting.failure is not None
    assert waiting.failure.message.startswith("not now (attempt 1, of run ")


def test_a_delay_that_is_over_is_not_waited_for_and_counting_begins_anew(runs: Runs) -> None:
    runs.write(flaky(failing=3))
    killed_while_waiting(runs)
    runs.clock.pass_by(10)

    fetch = stages(runs.run())["fetch"]

    assert (fetch.state, fetch.attempts) == ("succeeded", 4)
    assert runs.clock.slept == [10, 30, 60]


def test_a_clock_that_was_set_back_makes_no_wait_longer(runs: Runs) -> None:
    runs.write(flaky())
    killed_while_waiting(runs)
    runs.clock.at -= timedelta(days=1)

    runs.run()

    assert runs.clock.slept[0] == 10


def test_a_forced_stage_does_not_wait(runs: Runs) -> None:
    runs.write(flaky())
    killed_while_waiting(runs)

    fetch = stages(runs.run(force=["fetch"]))["fetch"]

    assert fetch.attempts == 2
    assert runs.clock.slept == [10]  # after its own first attempt


def test_an_action_with_another_key_does_not_wait(runs: Runs) -> None:
    runs.write(flaky())
    killed_while_waiting(runs)
    runs.write(flaky(failing=0, options="version='2'"))

    runs.run()

    assert runs.clock.slept == []


def test_a_preview_says_that_it_would_wait_and_waits_for_nothing(runs: Runs) -> None:
    runs.write(flaky())
    killed_while_waiting(runs)

    record = runs.run(preview=True)

    assert "`fetch` waits 10 s more" in record.warnings[0]
    assert runs.clock.slept == []


@pytest.mark.parametrize("failing", [1, 9], ids=["a success", "a failure"])
def test_an_end_leaves_nothing_to_wait_for(runs: Runs, failing: int) -> None:
    runs.write(flaky(failing=failing))

    runs.run()

    assert list((runs.root / ".lineal" / "retries").iterdir()) == []
