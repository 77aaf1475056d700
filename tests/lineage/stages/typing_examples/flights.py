"""What a user writes, with what type checkers must make of it. Nothing here runs."""

# pyright: strict
from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, NamedTuple, TypedDict, assert_type

import pandas as pd

from lineal import Directory, File, Metrics, pipeline, stage, unless, when
from lineal.stages import Graph, Stage


class Trained(NamedTuple):
    model: bytes
    metrics: Metrics


@dataclass(frozen=True)
class Split:
    train: pd.DataFrame
    test: pd.DataFrame


class Report(TypedDict):
    text: str
    score: float


@stage(retries=3, retry_delay="30s", timeout="30m", env=["TZ"], reads=["columns.yaml"], limit="warehouse:2")
def ingest(source: File, run_date: date) -> Annotated[pd.DataFrame, "flights"]:
    return pd.DataFrame()


@stage
def split(table: pd.DataFrame) -> Split:
    return Split(table, table)


@stage(timeout=timedelta(hours=2), resources={"gpu": 1}, version="2", cache=True, name="fit")
def train(features: pd.DataFrame, *, learning_rate: float = 0.1) -> Trained:
    return Trained(b"", {"auc": 0.7})


@stage
def report(metrics: Metrics, previous: Metrics | None = None) -> Report:
    return {"text": "", "score": metrics["auc"]}


@stage
def halves(table: pd.DataFrame) -> tuple[pd.DataFrame, Directory]:
    return table, Directory("rest")


@stage(effect=True, idempotent=True)
def deploy(model: bytes, target: str) -> str:
    return target


def legacy(depth: int, name: str = "x") -> list[str]:
    return [name] * depth


wrapped = stage(legacy, timeout=60)
assert_type(wrapped(3, name="y"), list[str])
typed: Stage[[str], int] = stage(len)


@pipeline
def evaluate(table: pd.DataFrame, learning_rate: float) -> Trained:
    return train(table, learning_rate=learning_rate)


@pipeline
def flights(run_date: date, source: str = "s3://raw/flights.parquet", learning_rate: float = 0.1) -> Trained:
    raw = ingest(File(source), run_date)
    assert_type(raw, pd.DataFrame)
    parts = split(raw)
    assert_type(parts.train, pd.DataFrame)
    trained = train(parts.train, learning_rate=learning_rate)
    assert_type(trained, Trained)
    model, metrics = trained
    assert_type(model, bytes)
    assert_type(metrics["auc"], float)
    first, rest = halves(raw)
    assert_type(first, pd.DataFrame)
    assert_type(rest, Directory)
    words = report(metrics)
    assert_type(words["text"], str)
    again = train.options(name="again", retries=0, retry_delay=5)(parts.test)
    assert_type(again, Trained)
    with when(trained.metrics["auc"] >= 0.65):
        assert_type(deploy(trained.model, target="production"), str)
    with (
        when((metrics["auc"] >= 0.65) & (metrics["loss"] < again.metrics["loss"])),
        unless(metrics["auc"] < 0.7),
    ):
        deploy(model, "shadow")
    with when(learning_rate > 0.5):
        evaluated = evaluate(raw, learning_rate)
        assert_type(evaluated.metrics["auc"], float)
    return trained


guard: AbstractContextManager[None] = when(True)
assert_type(flights.trace({"run_date": date(2013, 6, 30)}), Graph)
assert_type(flights.name, str)
flights.run(run_date=date(2013, 6, 30), learning_rate=0.2)

# In a unit test, a stage is its function.
assert_type(train(pd.DataFrame(), learning_rate=0.5).metrics["auc"], float)


@stage
def days(number: int) -> list[date]:
    return []


@stage
def count(day: date, name: str = "x", *, at_most: int = 3) -> int:
    return 1


@stage
def fit(day: date) -> Trained:
    return Trained(b"", {})


@stage
def total(counts: list[int], models: list[Trained]) -> int:
    return sum(counts)


@pipeline
def fan_out(number: int) -> list[int]:
    counts = count.map(days(number), "y", at_most=4)
    assert_type(counts, list[int])
    assert_type(count.map([date(2024, 1, 1)])[0], int)
    models = fit.map(days(number))
    assert_type(models, list[Trained])
    total(counts, models)
    return counts
