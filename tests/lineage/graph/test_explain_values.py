"""Two values of a parameter, told apart in the words in which they were written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from lineal.artifacts import File
from lineal.artifacts.values import encode_value
from lineal.graph.explain_values import MOST_PLACES, explain_values, show_value


@dataclass
class Grid:
    depth: int
    names: tuple[str, ...] = ()


class Color(Enum):
    RED = 1
    BLUE = 2


def told(before: Any, after: Any) -> list[str]:
    return explain_values(encode_value(before), encode_value(after))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (0.1, 0.2, "0.1 → 0.2"),
        (1, 1.0, "int 1 → float 1.0"),
        (1, True, "int 1 → bool True"),
        (1, "1", 'int 1 → str "1"'),
        (0.0, -0.0, "0.0 → -0.0"),
        (None, 3, "None → 3"),
        ([1, 2], (1, 2), "list [1, 2] → tuple (1, 2)"),
        ("prod", "staging", '"prod" → "staging"'),
        ('say "hi"', "x", '\'say "hi"\' → "x"'),
        (date(2013, 6, 30), date(2013, 7, 1), "2013-06-30 → 2013-07-01"),
        (date(2013, 6, 30), "2013-06-30", 'date 2013-06-30 → str "2013-06-30"'),
        (File("a.csv"), File("b.csv"), "a.csv → b.csv"),
        (Path("a"), Path("b"), "a → b"),
        (float("nan"), 1.0, "NaN → 1.0"),
        ([1, 2], [1, 2, 3], "[1, 2] → [1, 2, 3]"),
        ({"depth": 3, "trees": 1}, {"depth": 4, "trees": 1}, '["depth"]: 3 → 4'),
        ({"a": 1}, {"a": 1, "b": 2}, '["b"] is new: 2'),
        ({"a": 1, "b": 2}, {"a": 1}, '["b"] is gone, was 2'),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "in the order of keys: ['a', 'b'] → ['b', 'a']"),
        (Grid(3), Grid(4), ".depth: 3 → 4"),
        (Grid(3, ("a",)), Grid(3, ("b",)), '.names[0]: "a" → "b"'),
        ({1, 2}, {1, 2, 3}, "an item is new: 3"),
        (Color.RED, Color.BLUE, "Color(RED=1) → Color(BLUE=2)"),
        ("\u00e9", "e\u0301", "'\\xe9' → 'e\\u0301'"),
    ],
)
def test_the_words_are_those_of_whoever_wrote_the_value(before: Any, after: Any, words: str) -> None:
    assert told(before, after) == [words]


def test_equal_values_have_nothing_to_tell() -> None:
    assert told({"a": [1, {2}]}, {"a": [1, {2}]}) == []


def test_of_long_text_the_part_is_shown_that_differs() -> None:
    (line,) = told("x" * 500 + "a" + "y" * 500, "x" * 500 + "b" + "y" * 500)

    assert len(line) < 140
    assert "xa" in line and "xb" in line


def test_many_differences_are_counted() -> None:
    lines = told(list(range(100)), list(range(1, 101)))

    assert len(lines) == MOST_PLACES + 1
    assert lines[-1] == "and 95 more differences"


def test_what_cannot_be_read_is_said() -> None:
    assert "unreadable" in show_value({"no such tag": 1})
    assert explain_values({"no such tag": 1}, 2)


def test_numbers_that_python_will_not_print_are_named() -> None:
    assert show_value(10**5000) == "a very long int"
