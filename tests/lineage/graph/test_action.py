"""Keys tell actions apart; differences say in what."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from lineal.graph.action import (
    Difference,
    action_key,
    differences,
    distance,
    reason_of,
    seed_of,
    unit_changes,
)
from lineal.graph.records import Action, CoveredUnit, Input, Manifest

DIGEST = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32
ACTION = Action(
    stage="train",
    fingerprint="f" * 32,
    inputs={"features": Input(digest=DIGEST, type="pandas")},
    parameters={"learning_rate": 0.1},
    environment={"python": "3.11"},
    schemas={"features": "5" * 32},
)


def test_the_key_is_the_published_one() -> None:
    """Pinned: a change of this value would forget every result of every store."""
    assert action_key(ACTION) == "54a9a137afbeac319f3477dc629eae54"


def test_the_order_of_ports_does_not_count() -> None:
    first = Action(stage="s", fingerprint="f", parameters={"a": 1, "b": 2})
    second = Action(stage="s", fingerprint="f", parameters={"b": 2, "a": 1})

    assert action_key(first) == action_key(second)


@pytest.mark.parametrize(
    "changed",
    [
        {"stage": "test"},
        {"fingerprint": "e" * 32},
        {"inputs": {"features": Input(digest=OTHER, type="pandas")}},
        {"inputs": {"features": Input(digest=DIGEST, type="arrow")}},
        {"inputs": {"features": Input(digest=DIGEST, type="pandas", item=["auc"])}},
        {"inputs": {"other": Input(digest=DIGEST, type="pandas")}},
        {"parameters": {"learning_rate": 1}},
        {"parameters": {"learning_rate": True}},
        {"parameters": {}},
        {"environment": {"python": "3.12"}},
        {"schemas": {}},
        {"version": "2"},
    ],
)
def test_every_component_counts(changed: dict[str, Any]) -> None:
    assert action_key(replace(ACTION, **changed)) != action_key(ACTION)


def test_one_1_0_and_true_are_three_parameters() -> None:
    keys = {action_key(replace(ACTION, parameters={"n": value})) for value in (1, 1.0, True, "1")}

    assert len(keys) == 4


def test_the_seed_follows_what_is_asked_and_not_the_code() -> None:
    assert seed_of(replace(ACTION, fingerprint="e" * 32)) == seed_of(ACTION)
    assert seed_of(replace(ACTION, parameters={"learning_rate": 0.2})) != seed_of(ACTION)
    assert seed_of(replace(ACTION, inputs={"features": Input(digest=OTHER, type="pandas")})) != seed_of(
        ACTION
    )
    assert 0 <= seed_of(ACTION) < 2**64


def manifest(**hashes: str) -> Manifest:
    return Manifest(hex="f", units=[CoveredUnit(unit, "a.py", 1, digest) for unit, digest in hashes.items()])


def test_a_change_of_code_names_the_unit() -> None:
    after = replace(ACTION, fingerprint="e" * 32)

    changes = differences(
        ACTION, after, manifests=(manifest(train="1", clean="1"), manifest(train="1", clean="2"))
    )

    assert changes == [Difference("code", "clean", "1", "2")]
    assert reason_of(changes) == "code"


def test_a_new_version_of_a_distribution_is_a_change_of_environment() -> None:
    before = Manifest(hex="f", distributions={"scikit-learn": "1.8"})
    after = Manifest(hex="e", distributions={"scikit-learn": "1.9"})

    changes = differences(ACTION, replace(ACTION, fingerprint="e" * 32), manifests=(before, after))

    assert changes == [Difference("environment", "scikit-learn", "1.8", "1.9")]
    assert reason_of(changes) == "environment"


def test_a_difference_that_no_unit_explains_is_still_one() -> None:
    changes = differences(ACTION, replace(ACTION, fingerprint="e" * 32), manifests=(manifest(), manifest()))

    assert [change.name for change in changes] == ["fingerprint"]


def test_equal_actions_do_not_differ() -> None:
    assert differences(ACTION, ACTION) == []
    assert reason_of([]) == "new"


def test_all_components_that_differ_are_listed() -> None:
    after = replace(
        ACTION,
        inputs={"features": Input(digest=OTHER, type="pandas")},
        parameters={"learning_rate": 0.2, "depth": 3},
        environment={},
    )

    assert [(change.kind, change.name) for change in differences(ACTION, after)] == [
        ("input", "features"),
        ("parameter", "learning_rate"),
        ("parameter", "depth"),
        ("environment", "python"),
    ]


def units(*told: tuple[str, int, str]) -> Manifest:
    return Manifest(hex="f", units=[CoveredUnit(unit, "a.py", line, digest) for unit, line, digest in told])


def test_a_unit_that_only_moved_is_no_difference() -> None:
    before = units(("m:f", 3, "1"), ("m:line 9", 9, "2"))
    after = Manifest(
        hex="e",
        units=[CoveredUnit("m:f", "m/__init__.py", 30, "1"), CoveredUnit("m:line 12", "a.py", 12, "2")],
    )

    assert unit_changes(before, after) == []


def test_of_a_name_that_is_bound_twice_the_binding_that_changed_is_told() -> None:
    before = units(("m:x", 1, "first"), ("m:x", 2, "second"))
    after = units(("m:x", 1, "other"), ("m:x", 2, "second"))

    (change,) = unit_changes(before, after)

    assert (change.before and change.before.hash, change.after and change.after.hash) == ("first", "other")
    assert differences(ACTION, replace(ACTION, fingerprint="e" * 32), manifests=(before, after)) == [
        Difference("code", "m:x", "first", "other")
    ]


def test_statements_without_a_name_have_changed_where_a_module_has_as_many_as_before() -> None:
    changes = unit_changes(
        units(("m:line 3", 3, "1"), ("m:line 5", 5, "2")), units(("m:line 4", 4, "3"), ("m:line 6", 6, "2"))
    )

    assert [
        (change.before and change.before.line, change.after and change.after.line) for change in changes
    ] == [(3, 4)]


def test_new_units_and_those_that_are_gone_come_after_those_that_changed() -> None:
    changes = unit_changes(
        units(("m:gone", 1, "1"), ("m:f", 2, "2"), ("m:line 3", 3, "3")),
        units(("m:new", 1, "4"), ("m:f", 2, "5"), ("m:line 9", 9, "6"), ("m:line 10", 10, "7")),
    )

    assert [(change.unit, change.before is None, change.after is None) for change in changes] == [
        ("m:f", False, False),
        ("m:new", True, False),
        ("m:line 9", True, False),
        ("m:line 10", True, False),
        ("m:line 3", False, True),
        ("m:gone", False, True),
    ]


def test_another_way_of_reading_the_same_bytes_is_a_difference() -> None:
    read = Input(digest=DIGEST, type="json", read_as="list[int]")
    before = replace(ACTION, inputs={"x": read})
    after = replace(ACTION, inputs={"x": replace(read, read_as="list[float]")})

    assert differences(before, after) == [
        Difference("input", "x", "json as list[int]", "json as list[float]")
    ]


def test_the_distance_counts_components_and_code_once() -> None:
    after = replace(ACTION, fingerprint="e" * 32, parameters={"learning_rate": 0.2, "depth": 3}, version="2")

    assert distance(ACTION, ACTION) == 0
    assert distance(ACTION, after) == 4
