"""What is given for a pipeline's parameters: what is typed stands over a file, and a file over what a schedule says."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from lineal import pipeline, stage
from lineal.api.given import Given
from lineal.api.parameters import InvalidParameters

NIGHT = datetime(2026, 3, 29, 2, 30, tzinfo=UTC)


@stage
def kept(value: float) -> float:
    return value


@pipeline
def daily(run_date: date, rate: float = 0.5) -> float:
    return kept(rate)


@pipeline
def hourly(run_date: datetime | date) -> float:
    return kept(1.0)


@pipeline
def dateless(rate: float = 0.5) -> float:
    return kept(rate)


def test_what_is_typed_stands_over_the_file_and_that_over_data(tmp_path: Path) -> None:
    file = tmp_path / "params.json"
    file.write_text('{"rate": 0.2}')
    data = {"rate": 0.1, "run_date": "2026-01-01"}

    assert Given(data=data).values(daily) == {"run_date": date(2026, 1, 1), "rate": 0.1}
    assert Given(file=file, data=data).values(daily)["rate"] == 0.2
    assert Given(["rate=0.3"], file, data).values(daily)["rate"] == 0.3


def test_the_logical_date_fills_the_parameter_that_takes_it() -> None:
    assert Given(logical_date=NIGHT).values(daily) == {"run_date": date(2026, 3, 29)}
    assert Given(logical_date=NIGHT).values(hourly) == {"run_date": NIGHT}
    assert Given(["run_date=2020-01-01"], logical_date=NIGHT).values(daily) == {"run_date": date(2020, 1, 1)}
    assert Given(data={"run_date": "2020-01-01"}, logical_date=NIGHT).values(daily) == {
        "run_date": date(2020, 1, 1)
    }


def test_a_pipeline_that_takes_no_date_is_given_none() -> None:
    assert Given(logical_date=NIGHT).values(dateless) == {}


def test_data_that_does_not_fit_is_refused_like_all_else() -> None:
    with pytest.raises(InvalidParameters, match="rate"):
        Given(data={"rate": "much"}, logical_date=NIGHT).values(daily)
