"""Units as they are written."""

from __future__ import annotations

import textwrap

import pytest

from lineal.fingerprint.excerpts import Excerpts

SOURCE = textwrap.dedent(
    """\
    import os

    LIMIT = 3


    @cached
    @other(
        1
    )
    def clean(x):
        return x


    class Flights(Schema, min_rows=1):
        carrier: Annotated[str, field(isin=("A",))]
        delay: float = 0.0

        def method(self): ...


    if LIMIT > 2:
        try:
            import fast
        except ImportError:
            fast = None
    else:
        fast = 1
    a = 1; b = 2
    """
)


def test_a_function_comes_with_its_decorators() -> None:
    excerpt = Excerpts(SOURCE.encode()).find(10)

    assert excerpt is not None
    assert excerpt.kind == "def"
    assert excerpt.lines[0] == (6, "@cached")
    assert excerpt.text[-2:] == ("def clean(x):", "    return x")


def test_guards_around_a_statement_come_first() -> None:
    excerpt = Excerpts(SOURCE.encode()).find(25)

    assert excerpt is not None
    assert excerpt.text == ("if LIMIT > 2:", "    except ImportError:", "        fast = None")


def test_of_an_else_the_condition_is_shown() -> None:
    excerpt = Excerpts(SOURCE.encode()).find(27)

    assert excerpt is not None
    assert excerpt.text == ("if LIMIT > 2:", "    fast = 1")


def test_statements_of_one_line_are_one_excerpt() -> None:
    excerpt = Excerpts(SOURCE.encode()).find(28)

    assert excerpt is not None
    assert excerpt.text == ("a = 1; b = 2",)


def test_the_fields_of_a_class_are_told_with_its_options() -> None:
    assert Excerpts(SOURCE.encode()).fields(14) == {
        "carrier": "Annotated[str, field(isin=('A',))]",
        "delay": "float = 0.0",
        "min_rows=": "1",
    }
    assert Excerpts(SOURCE.encode()).fields(10) == {}


def test_the_names_in_annotations_are_found() -> None:
    data = b"def f(a: Annotated[pd.DataFrame, Flights], b: 'list[Planes]', *, c: int = 1) -> Valid: ...\n"

    found = Excerpts(data).annotated(1)

    assert found["a"] == {"Annotated", "pd", "DataFrame", "Flights"}
    assert found["b"] == {"list", "Planes"}
    assert found["->"] == {"Valid"}


def test_line_endings_and_encodings_are_those_of_python() -> None:
    crlf = Excerpts(SOURCE.replace("\n", "\r\n").encode()).find(3)
    latin = Excerpts("# coding: latin-1\nX = 'é'\n".encode("latin-1")).find(2)

    assert crlf is not None and crlf.text == ("LIMIT = 3",)
    assert latin is not None and latin.text == ("X = 'é'",)


@pytest.mark.parametrize("data", [b"def f(:", b"\xff\xfe\x00", b"x = " + b"(" * 5000, b""])
def test_what_is_no_python_has_no_units(data: bytes) -> None:
    assert Excerpts(data).find(1) is None
