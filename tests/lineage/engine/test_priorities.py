"""What to begin first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.engine.priorities import critical_paths

DIAMOND = {"load": (), "quick": ("load",), "slow": ("load",), "join": ("quick", "slow"), "beside": ()}


def test_a_task_is_worth_its_own_time_and_the_longest_chain_behind_it() -> None:
    seconds = {"load": 1, "quick": 2, "slow": 10, "join": 3, "beside": 5}

    assert critical_paths(DIAMOND, seconds) == {"load": 14, "quick": 5, "slow": 13, "join": 3, "beside": 5}


def test_without_history_the_longest_chain_by_number_goes_first() -> None:
    assert critical_paths(DIAMOND, {}) == {"load": 3, "quick": 2, "slow": 2, "join": 1, "beside": 1}


def test_what_is_not_known_counts_as_usual() -> None:
    assert critical_paths({"a": (), "b": (), "c": (), "new": ()}, {"a": 1, "b": 7, "c": 100})["new"] == 7


def test_where_nothing_took_time_depth_counts_for_what_is_new() -> None:
    paths = critical_paths({"first": (), "second": ("first",), "known": ()}, {"known": 0.0})

    assert paths["first"] > paths["second"] > paths["known"]


def test_parents_that_are_not_part_of_the_run_do_not_count() -> None:
    assert critical_paths({"a": ("left out",)}, {"a": 2, "left out": 9}) == {"a": 2}


def test_a_chain_of_ten_thousand_needs_no_recursion() -> None:
    chain = {str(number): (str(number - 1),) if number else () for number in range(10_000)}

    assert critical_paths(chain, {})["0"] == 10_000


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    count = draw(st.integers(1, 7))
    return {
        str(number): tuple(map(str, sorted(draw(st.sets(st.integers(0, number - 1)))) if number else ()))
        for number in range(count)
    }


@given(graphs(), st.data())
def test_it_is_the_longest_of_all_chains(parents: dict[str, tuple[str, ...]], data: st.DataObject) -> None:
    seconds = {task: data.draw(st.integers(0, 20)) for task in parents}
    children = {task: [other for other in parents if task in parents[other]] for task in parents}

    def longest(task: str) -> int:
        return seconds[task] + max(map(longest, children[task]), default=0)

    assert critical_paths(parents, seconds) == {task: pytest.approx(longest(task)) for task in parents}
