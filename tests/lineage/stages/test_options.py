from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from lineal.stages import StageDefinitionError, StageOptions, parse_duration, stage


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30s", 30.0),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("250ms", 0.25),
        ("1.5h", 5400.0),
        (" 5 m ", 300.0),
        (12, 12.0),
        (0.5, 0.5),
        (timedelta(minutes=2), 120.0),
    ],
)
def test_durations_are_seconds_texts_with_a_unit_or_timedeltas(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written", ["", "30", "s", "5 weeks", "-1s", -1, True, None, float("nan"), float("inf")]
)
def test_other_durations_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(written)


def test_without_options_a_stage_is_tried_once_for_at_most_a_day_and_is_cached() -> None:
    settings = StageOptions()

    assert (settings.retries, settings.timeout_seconds, settings.cache) == (0, 86400.0, True)


def test_options_are_read_into_their_units() -> None:
    @stage(
        name="fit",
        retries=3,
        retry_delay="30s",
        retry_backoff=3,
        retry_max_delay="10m",
        retry_jitter=0.5,
        retry_on=[TimeoutError, ConnectionError, subprocess.TimeoutExpired],
        timeout="2h",
        resources={"gpu": 1},
        limit="warehouse:2",
        cache=False,
        version="2",
        version_of=is_busy,
        refresh="1d",
        env=["OMP_NUM_THREADS", "HOME", "HOME"],
        reads=[Path("config/a.yaml"), "b.csv"],
        depends_on=[len],
        effect=True,
        idempotent=True,
    )
    def train() -> int:
        return 1

    assert train.settings == StageOptions(
        name="fit",
        retries=3,
        retry_delay_seconds=30.0,
        retry_backoff=3.0,
        retry_max_delay_seconds=600.0,
        retry_jitter=0.5,
        retry_on=("ConnectionError", "TimeoutError", "subprocess.TimeoutExpired"),
        timeout_seconds=7200.0,
        resources={"gpu": 1.0},
        limit="warehouse:2",
        cache=False,
        version="2",
        version_of=f"{__name__}:is_busy",
        refresh_seconds=86400.0,
        env=("HOME", "OMP_NUM_THREADS"),
        reads=("config/a.yaml", "b.csv"),
        depends_on=(len,),
        effect=True,
        idempotent=True,
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("name", "a/b"),
        ("name", ""),
        ("name", 7),
        ("retries", -1),
        ("retries", 1.5),
        ("retries", True),
        ("retry_delay", "soon"),
        ("version_of", lambda: 1),
        ("version_of", "flow:newest"),
        ("version_of", int),
        ("refresh", 0),
        ("refresh", "daily"),
        ("retry_backoff", 0.5),
        ("retry_backoff", float("nan")),
        ("retry_backoff", "2"),
        ("retry_max_delay", -1),
        ("retry_jitter", 1.5),
        ("retry_jitter", True),
        ("retry_on", ()),
        ("retry_on", "ConnectionError"),
        ("retry_on", int),
        ("retry_on", [int]),
        ("retry_on", lambda error: True),
        ("timeout", 0),
        ("timeout", None),
        ("resources", {"gpu": "1"}),
        ("resources", {"gpu": -1}),
        ("resources", {"memory": "much"}),
        ("resources", {"gpu": float("nan")}),
        ("resources", ["gpu"]),
        ("limit", "*"),
        ("limit", "*:2"),
        ("limit", "ware house"),
        ("limit", "w" * 61),
        ("limit", "warehouse:"),
        ("limit", "warehouse:0"),
        ("limit", 2),
        ("cache", "no"),
        ("version", 2),
        ("env", "HOME"),
        ("env", ["A=B"]),
        ("env", [1]),
        ("reads", "a.csv"),
        ("reads", [3]),
        ("depends_on", "helper"),
        ("depends_on", len),
        ("effect", 1),
        ("idempotent", None),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_at_decoration(option: str, value: object) -> None:
    with pytest.raises(StageDefinitionError) as refused:
        stage(**{option: value})  # type: ignore[call-overload]

    assert repr(value) in str(refused.value)
    assert refused.value.hint
    assert refused.value.exit_code == 2


def test_the_error_names_the_option_and_what_it_takes() -> None:
    with pytest.raises(StageDefinitionError) as refused:
        stage(retry_delay="soon")

    assert str(refused.value) == "retry_delay='soon' cannot be used"
    assert (
        refused.value.hint == 'retry_delay takes seconds, a timedelta, or text like "30s", "5m", "2h", "1d".'
    )


def is_busy(error: Exception) -> bool:
    return "busy" in str(error)


def test_a_function_that_decides_on_retries_is_kept_by_its_name_for_workers_to_find() -> None:
    assert StageOptions().changed({"retry_on": is_busy}).retry_on == f"{__name__}:is_busy"


def test_a_function_that_workers_could_not_find_is_refused() -> None:
    def hidden(error: Exception) -> bool:
        return True

    with pytest.raises(StageDefinitionError, match="retry_on") as refused:
        stage(retry_on=hidden)

    assert refused.value.hint is not None
    assert "top level of a module" in refused.value.hint


def test_an_unknown_option_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(StageDefinitionError, match="a stage has no option retrys") as refused:
        stage(retrys=3)  # type: ignore[call-overload]

    assert refused.value.hint == "Did you mean retries?"


def test_an_unknown_option_that_is_like_none_is_answered_with_all_of_them() -> None:
    with pytest.raises(StageDefinitionError) as refused:
        stage(zzz=3)  # type: ignore[call-overload]

    assert refused.value.hint is not None
    assert refused.value.hint.startswith("The options are: name, retries, retry_delay, retry_backoff")
