"""Formatting is not behaviour; types of constants are."""

from __future__ import annotations

import ast
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineal.fingerprint.canonical import hash_syntax

SOURCES = sorted(Path(ast.__file__).parent.glob("[a-j]*.py"))


def code_of(text: str | bytes) -> list[bytes]:
    return [hash_syntax(statement).code for statement in ast.parse(text).body]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 'a'", 'x = "a"'),
        ("x = (1 + 2)", "x = 1 + 2"),
        ("f(a,\n  b,\n)", "f(a, b)"),
        ("x = 'a' 'b'", "x = 'ab'"),
        ("x = f'a{b}c' 'd'", "x = f'a{b}cd'"),
        ("x = f'ab'", "x = 'ab'"),
        ("x = f'{a:}'", "x = f'{a}'"),
        ("x = 0x10", "x = 16"),
        ("x = 1e3", "x = 1000.0"),
        ("if a:\n  b\nelse:\n  if c:\n    d", "if a:\n  b\nelif c:\n  d"),
        ("def f(): 'doc'; return 1", "def f():\n  # c\n  return 1"),
        ("def f(): pass", "def f(): ..."),
        ("def f():\n  x: int = 1", "def f():\n  x = 1"),
        ("def f(x: int) -> str: return x", "def f(x): return x"),
        ("with (a as b, c as d): pass", "with a as b, c as d: pass"),
    ],
)
def test_two_ways_to_write_the_same_have_one_form(one: str, other: str) -> None:
    assert code_of(one) == code_of(other)


@pytest.mark.parametrize(
    "texts",
    [
        ["x = 1", "x = 1.0", "x = True", "x = '1'", "x = b'1'", "x = 1j", "x = None", "x = ..."],
        ["x = 0.0", "x = -0.0", "x = 0"],
        ["x = a - b", "x = b - a", "x = a + b", "x = a - b - c", "x = a - (b - c)"],
        ["x = (a, b)", "x = [a, b]", "x = {a, b}", "x = {a: b}", "x = a, b, c"],
        ["x = f'{a}'", "x = f'{a!r}'", "x = f'{a:>3}'", "x = f'{a}{b}'", "x = '{a}'"],
        ["f(a, b)", "f(a, b=b)", "f(a, *b)", "f(a, **b)", "f(a)(b)", "f((a, b))"],
        ["def f(a, b): 0", "def f(a, *, b): 0", "def f(a, b, /): 0", "def f(a, *b): 0", "def f(a, **b): 0"],
        ["def f(a=1, b=2): 0", "def f(a, b=1): 0", "def f(a, *, b=1): 0"],
        ["x = 'a\\0b'", "x = 'a', 'b'", "x = 'a'; y = 'b'"],
        ["yield_ = [a for a in b if c]", "yield_ = (a for a in b if c)", "yield_ = {a for a in b if c}"],
        ["try: a\nexcept E: b", "try: a\nexcept E as e: b", "try: a\nexcept: b", "try: a\nfinally: b"],
        ["async def f(): 0", "def f(): 0", "class f: 0"],
        ["import a.b", "import a.b as a", "from a import b", "from .a import b", "from a import b as c"],
    ],
)
def test_what_differs_in_behaviour_differs_in_form(texts: list[str]) -> None:
    forms = [tuple(code_of(text)) for text in texts]

    assert len(set(forms)) == len(texts)


@given(st.sampled_from(SOURCES), st.randoms())
@settings(max_examples=25, deadline=None)
def test_reformatting_real_code_changes_no_hash(path: Path, rng: random.Random) -> None:
    """Unparsing is the harshest formatter: it drops comments and settles every quote, bracket and line break."""
    tree = ast.parse(path.read_bytes())
    again = ast.parse(ast.unparse(tree))
    lines = path.read_text(encoding="utf-8").split("\n")
    spread = "\r\n".join(
        line + ("  # note" if rng.random() < 0.5 and line.endswith(":") else "") for line in lines
    )

    assert [hash_syntax(node) for node in tree.body] == [hash_syntax(node) for node in again.body]
    if '"""' not in spread and "'''" not in spread:
        assert code_of(spread) == [hash_syntax(node).code for node in tree.body]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 695 is syntax from 3.12 on")
def test_type_parameters_are_part_of_the_form(fingerprint_of: Callable[..., object]) -> None:
    assert code_of("def f[T](x: T): return x") != code_of("def f[T: int](x: T): return x")
    assert code_of("type A = int") != code_of("type A = str")


def test_the_form_is_pinned() -> None:
    """The same on every supported Python: a change here needs another `SUMMARY_VERSION` and a note for users."""
    text = (
        "def f(a, /, b=1, *c, d: 'int' = 2.5, **e) -> str:\n"
        "    '''doc'''\n"
        "    with open(a) as g, h: return [f'{x!r:>{b}}' for x in c if x is not None and -x < 1j]\n"
        "    try: raise E from None\n"
        "    except (A, B) as err: del err[0:1, ...]\n"
        "    else: lambda *y: (yield)\n"
        "    match a:\n"
        "        case {'k': [1, *r], **m} | K(z=None): pass\n"
    )

    hashes = hash_syntax(*ast.parse(text).body)

    assert [each.hex() for each in hashes] == PINNED


PINNED = [
    "466e3e5eb78447947456f3d19d78f047",
    "",
    "a57e032bf7f16d1114a478654e6c2c75",
    "276278fb10360b4f2f41c0d36778ab94",
    "da0803aca05f9df5b064f03cca70b96b",
]
