"""How long stages take, and which timeouts and which other advice follow from it."""

from __future__ import annotations

import pytest

from lineal.durations import parse_duration
from lineal.graph.records import StageRecord
from lineal.graph.timing import Split, Times, advise_overheads, advise_timeouts, splits_of, times_of

DAY = 86400.0


def took(seconds: float, *, stage: str = "train", state: str = "succeeded", attempts: int = 1) -> StageRecord:
    return StageRecord(id=stage, name=stage, state=state, attempts=attempts, seconds=seconds)


def advice(*, usual: float, longest: float | None = None, timeout: float = DAY) -> str | None:
    return advise_timeouts({"train": timeout}, DAY, {"train": Times(usual, longest or usual)})


def test_the_usual_time_is_the_median() -> None:
    runs = [[took(seconds)] for seconds in (1.0, 900.0, 3.0, 2.0, 4.0)]

    assert times_of(runs) == {"train": Times(3.0, 900.0)}


def test_two_times_tell_nothing() -> None:
    assert times_of([[took(1.0)], [took(2.0)]]) == {}


@pytest.mark.parametrize(
    "other",
    [
        took(0.0, attempts=0),
        took(500.0, attempts=2),
        took(500.0, state="failed"),
        took(500.0, state="cancelled"),
    ],
)
def test_only_what_succeeded_at_once_counts(other: StageRecord) -> None:
    assert times_of([[took(1.0)], [took(1.0)], [other]]) == {}
    assert times_of([[took(1.0)], [took(1.0)], [took(1.0)], [other]]) == {"train": Times(1.0, 1.0)}


def test_stages_are_told_apart_by_their_ids() -> None:
    runs = [[took(1.0, stage="score[0]"), took(2.0, stage="score[1]")]] * 3

    assert times_of(runs) == {"score[0]": Times(1.0, 1.0), "score[1]": Times(2.0, 2.0)}


@pytest.mark.parametrize(
    ("usual", "longest", "timeout"),
    [
        (0.01, 0.01, "1m"),
        (30.0, 30.0, "1m"),
        (31.0, 31.0, "2m"),
        (600.0, 600.0, "20m"),
        (600.0, 5000.0, "84m"),
        (3601.0, 3601.0, "3h"),
        (40_000.0, 40_000.0, "23h"),
    ],
)
def test_twice_the_usual_time_is_advised_rounded_up_and_never_less_than_was_needed(
    usual: float, longest: float, timeout: str
) -> None:
    told = advice(usual=usual, longest=longest)

    assert told is not None and told.endswith(f'`train` timeout="{timeout}"')
    assert parse_duration(timeout) >= max(2 * usual, longest)


def test_who_has_a_timeout_or_no_history_or_needs_a_day_is_left_alone() -> None:
    assert advice(usual=1.0, timeout=7200.0) is None
    assert advice(usual=50_000.0) is None
    assert advise_timeouts({"train": DAY}, DAY, {"load": Times(1.0, 1.0)}) is None
    assert advise_timeouts({}, DAY, {"load": Times(1.0, 1.0)}) is None


def test_of_many_stages_the_longest_are_named() -> None:
    names = [f"stage{number}" for number in range(8)]
    times = {name: Times(60.0 * number, 60.0 * number) for number, name in enumerate(names)}

    assert advise_timeouts(dict.fromkeys(names, DAY), DAY, times) == (
        "8 stages would be stopped only after their default timeout of 24 h; twice their usual time: "
        '`stage7` timeout="14m", `stage6` timeout="12m", `stage5` timeout="10m", `stage4` timeout="8m", '
        '`stage3` timeout="6m" and 3 more'
    )


# -- what is done around the work -------------------------------------------------------------------


def worked(
    work: float | None, seconds: float, *, stage: str = "train", state: str = "succeeded", attempts: int = 1
) -> StageRecord:
    return StageRecord(
        id=stage, name=stage, state=state, attempts=attempts, seconds=seconds, work_seconds=work
    )


def test_what_an_attempt_took_is_split_at_the_stages_function() -> None:
    runs = [[worked(1.0, 1.5), worked(0.5, 8.5, stage="load")], [worked(3.0, 3.25)], [worked(2.0, 4.0)]]

    assert splits_of(runs) == {"train": Split(2.0, 0.5), "load": Split(0.5, 8.0)}


@pytest.mark.parametrize(
    "other",
    [
        worked(None, 5.0),
        worked(1.0, 5.0, attempts=2),
        worked(1.0, 5.0, state="failed"),
        worked(0.0, 0.0, attempts=0),
    ],
)
def test_what_does_not_tell_how_one_attempt_was_split_does_not_count(other: StageRecord) -> None:
    assert splits_of([[other]]) == {}


@pytest.mark.parametrize(
    ("work", "around", "is_told"),
    [(0.0, 1.0, True), (0.0, 0.99, False), (5.0, 5.0, False), (5.0, 5.01, True), (600.0, 60.0, False)],
)
def test_a_stage_is_told_that_takes_a_second_and_longer_for_its_data_than_for_its_work(
    work: float, around: float, is_told: bool
) -> None:
    assert (advise_overheads({"load": "load"}, {"load": Split(work, around)}) is not None) is is_told


def test_many_small_stages_of_one_name_add_up() -> None:
    names = {f"score#{number}": "score" for number in range(1000)}
    told = advise_overheads(names, dict.fromkeys(names, Split(0.0001, 0.002)))

    assert told is not None
    assert "`score` (1,000 of them) 2.0 s beside 0.1 s" in told
    assert told.endswith("; where they are many, let each do more")


def test_what_would_not_run_is_not_judged() -> None:
    assert advise_overheads({"train": "train"}, {"load": Split(0.0, 9.0)}) is None


def test_the_dearest_are_named_first_and_the_rest_counted() -> None:
    names = {f"stage{number}": f"stage{number}" for number in range(7)}
    told = advise_overheads(names, {name: Split(0.0, 2.0 + number) for number, name in enumerate(names)})

    assert told is not None
    assert "`stage6` 8.0 s beside 0.0 s, `stage5` 7.0 s beside 0.0 s" in told
    assert "`stage2` 4.0 s beside 0.0 s and 2 more; pass less data" in told
