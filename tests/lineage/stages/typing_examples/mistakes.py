"""Mistakes in what a user writes: a type checker must report each line that is marked, and no other."""

# pyright: strict
from __future__ import annotations

from typing import NamedTuple

from lineal import File, Metrics, pipeline, stage


class Trained(NamedTuple):
    model: bytes
    metrics: Metrics


@stage
def ingest(source: File) -> list[int]:
    return [1]


@stage(retrys=3)  # mistake: no such option
def misspelt_option(rows: list[int]) -> int:
    return len(rows)


@stage(retries="three")  # mistake: not a number
def ill_typed_option(rows: list[int]) -> int:
    return len(rows)


@stage
def train(rows: list[int], *, learning_rate: float = 0.1) -> Trained:
    return Trained(b"", {})


@pipeline
def nightly(source: str, learning_rate: float = 0.1) -> bytes:
    rows = ingest(source)  # mistake: a str is no File
    ingest()  # mistake: without its source
    train(rows, learning_rat=0.1)  # mistake: a misspelt parameter
    train(rows, 0.1)  # mistake: by position
    trained = train(rows, learning_rate="0.1")  # mistake: a str is no float
    train(trained)  # mistake: the whole result where its rows are wanted
    rows.head()  # mistake: a list has no head
    _ = trained.modle  # mistake: a misspelt output
    train.options(nme="x")(rows)  # mistake: a misspelt option
    train.options(name="x")(rows, learning_rat=0.1)  # mistake: a misspelt parameter of a configured call
    train.map([rows], learning_rat=0.1)  # mistake: a misspelt parameter of all calls
    return trained.metrics  # mistake: not what is declared


nightly.trace("run_date=2013-06-30")  # mistake: not a mapping
_ = train([1]).modle  # mistake: a misspelt output, in a unit test
