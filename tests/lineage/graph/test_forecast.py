"""How long the rest of a run will take."""

from __future__ import annotations

import time

import pytest

from lineal.graph.forecast import Forecast, Left

CHAIN = {"ingest": (), "train": ("ingest",), "evaluate": ("train",)}
FAN = {"split": (), **{f"score#{number}": ("split",) for number in range(8)}}


def test_stages_that_wait_for_each_other_take_as_long_as_all_of_them_together() -> None:
    forecast = Forecast({"ingest": 10, "train": 30, "evaluate": 5}, CHAIN, slots=4)

    assert forecast.left({}) == Left(45, 0)


def test_stages_that_do_not_are_shared_out_among_the_slots() -> None:
    forecast = Forecast({"split": 0, **{f"score#{number}": 10 for number in range(8)}}, FAN, slots=4)

    assert forecast.left({}) == Left(20, 0)


def test_the_longest_chain_counts_where_it_takes_longer_than_the_work_shared_out() -> None:
    expected = {"split": 5, **{f"score#{number}": 1 for number in range(7)}, "score#7": 60}

    assert Forecast(expected, FAN, slots=8).left({}) == Left(65, 0)


def test_what_has_run_so_far_is_taken_off() -> None:
    forecast = Forecast({"ingest": 10, "train": 30, "evaluate": 5}, CHAIN, slots=1)

    forecast.end("ingest")

    assert forecast.left({"train": 12}) == Left(23, 0)


def test_a_stage_that_takes_longer_than_ever_has_nothing_left_but_what_follows_it() -> None:
    forecast = Forecast({"ingest": 10, "train": 30, "evaluate": 5}, CHAIN, slots=1)

    assert forecast.left({"ingest": 1000}) == Left(35, 0)


def test_a_stage_without_a_past_is_counted_and_not_guessed() -> None:
    forecast = Forecast({"ingest": 10, "evaluate": 5}, CHAIN, slots=1)

    assert forecast.left({}) == Left(15, 1)

    forecast.end("train")

    assert forecast.left({}) == Left(15, 0)


def test_a_stage_whose_result_is_lost_is_to_be_run_again() -> None:
    forecast = Forecast({"ingest": 10, "train": 30, "evaluate": 5}, CHAIN, slots=1)
    forecast.end("ingest")
    assert forecast.left({}) == Left(35, 0)

    forecast.reopen("ingest")

    assert forecast.left({}) == Left(45, 0)


def test_when_all_has_ended_nothing_is_left() -> None:
    forecast = Forecast({"ingest": 0.1, "train": 0.2, "evaluate": 0.3}, CHAIN, slots=2)

    for stage in [*CHAIN, *CHAIN]:
        forecast.end(stage)

    assert forecast.left({}) == Left(0, 0)


def test_stages_that_were_not_planned_change_nothing() -> None:
    forecast = Forecast({"ingest": 10}, {"ingest": ("elsewhere",)}, slots=2)

    forecast.end("unheard")
    forecast.reopen("unheard")

    assert forecast.left({"unheard": 3}) == Left(10, 0)


@pytest.mark.parametrize("slots", [0, 1])
def test_there_is_always_a_slot(slots: int) -> None:
    assert Forecast({"ingest": 10}, {"ingest": ()}, slots).left({}) == Left(10, 0)


def test_asking_again_and_again_in_a_long_run_costs_next_to_nothing() -> None:
    parents: dict[str, tuple[str, ...]] = {f"score#{number}": () for number in range(10_000)}
    forecast = Forecast(dict.fromkeys(parents, 1.0), parents, slots=8)

    began = time.process_time()
    for stage in parents:
        forecast.left({stage: 0.5})
        forecast.end(stage)

    assert (
        time.process_time() - began < 1
    )  # it takes 0.05 s; going through all stages each time would take a minute
    assert forecast.left({}) == Left(0, 0)


def test_a_stage_that_turns_out_to_be_many_items_takes_as_long_as_all_of_them() -> None:
    forecast = Forecast({"score": 10.0, "best": 5.0}, {"score": (), "best": ("score",)}, slots=2)

    forecast.expand("score", [f"score[{place}]" for place in range(4)])

    assert forecast.left({}) == Left(22.5, 0)
    forecast.end("score[0]")
    assert forecast.left({}) == Left(17.5, 0)


def test_items_of_a_stage_without_a_past_are_all_unknown() -> None:
    forecast = Forecast({}, {"score": ()}, slots=2)

    forecast.expand("score", ["score[0]", "score[1]"])

    assert forecast.left({}) == Left(0.0, 2)
