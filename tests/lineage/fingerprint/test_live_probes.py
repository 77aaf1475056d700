"""Edits of what is only alive: methods, closures, objects that are called, functions that were typed in. What the
edit does to the result decides what it must do to the fingerprint.
"""

from __future__ import annotations

import importlib
import linecache
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lineal.fingerprint import fingerprint

COUNTER = (
    "class A:\n    def __init__(self, k): self.k = k\n    def go(self): return self.k\n    __call__ = go\n"
)
DECORATED = "def deco(f):\n    def inner(): return f() + 1\n    return inner\n@deco\ndef h(): return 1\n@deco\ndef other(): return 5\n"
MAKER = "def make(k):\n    def inner(): return k\n    return inner\n"

IN_A_FILE = {
    "a bound method, the object": (COUNTER + "def make(): return A(1).go\n", "make()", "A(1)", "A(2)"),
    "a bound method, its body": (COUNTER + "def make(): return A(1).go\n", "make()", "self.k\n", "-self.k\n"),
    "a bound method of a global": (COUNTER + "a = A(1)\n", "a.go", "A(1)", "A(2)"),
    "an inherited method, an attribute of the class": ("class B:\n    def go(self): return self.k\nclass A(B):\n    k = 1\na = A()\n", "a.go", "k = 1", "k = 2"),
    "an inherited class method, an attribute of the class": ("class B:\n    @classmethod\n    def go(cls): return cls.k\nclass A(B):\n    k = 1\n", "A.go", "k = 1", "k = 2"),
    "a static method": ("class A:\n    @staticmethod\n    def go(): return 1\n", "A.go", "return 1", "return 2"),
    "a method of a nested class": ("class A:\n    class B:\n        def go(self): return 1\n", "A.B().go", "1", "2"),
    "an object that is called": (COUNTER + "a = A(1)\n", "a", "A(1)", "A(2)"),
    "an object that is called, made anew": (COUNTER + "def make(): return A(1)\n", "make()", "A(1)", "A(2)"),
    "a class": ("class A:\n    def __repr__(self): return '1'\n", "A", "'1'", "'2'"),
    "a partial of a partial": ("from functools import partial\ndef g(a, b): return a, b\nf = partial(partial(g, 1), 2)\n", "f", ", 2)", ", 3)"),
    "a function given to a partial": ("from functools import partial\ndef h(): return 1\ndef g(a): return a()\nfs = [partial(g, h)]\n", "fs[0]", "return 1", "return 2"),
    "a lambda in a dict": ("D = {'a': lambda: 1, 'b': lambda: 2}\n", "D['a']", "lambda: 1", "lambda: 3"),
    "closures of a loop": (MAKER + "FS = [make(i) for i in (1, 2)]\n", "FS[0]", "(1,", "(5,"),
    "a captured object's class": (COUNTER + "def make(c): return lambda: c.go()\nfs = [make(A(1))]\n", "fs[0]", "self.k\n", "-self.k\n"),
    "a captured class": ("class C: k = 1\ndef make(c): return lambda: c.k\nfs = [make(C)]\n", "fs[0]", "k = 1", "k = 2"),
    "a captured bound method": (COUNTER + "def make(g): return lambda: g()\nfs = [make(A(1).go)]\n", "fs[0]", "A(1)", "A(2)"),
    "a captured method of a list": ("def make(g): return lambda: g(1)\nfs = [make([1, 2].index)]\n", "fs[0]", "[1, 2]", "[2, 1]"),
    "captured functions in a list": ("def a(): return 1\ndef make(gs): return lambda: [g() for g in gs]\nfs = [make([a])]\n", "fs[0]", "return 1", "return 2"),
    "a captured defaultdict": ("from collections import defaultdict\ndef make(d): return lambda: d['x']\nfs = [make(defaultdict(int))]\n", "fs[0]", "(int)", "(str)"),
    "a captured pattern": ("import re\ndef make(p): return lambda: p.pattern\nfs = [make(re.compile('a'))]\n", "fs[0]", "'a'", "'b'"),
    "a captured table": ("import pandas as pd\ndef make(t): return lambda: t.to_dict()\nfs = [make(pd.DataFrame({'a': [1]}))]\n", "fs[0]", "[1]", "[2]"),
    "a decorator without wraps, the function": (DECORATED, "h", "return 1", "return 2"),
    "a decorator without wraps, the decorator": (DECORATED, "h", "+ 1", "+ 2"),
    "a decorator without wraps, a sibling": (DECORATED, "h", "return 5", "return 6"),
    "a definition that a later one has replaced": ("def f(): return 1\nL = [f]\ndef f(): return 2\n", "L[0]", "return 1", "return 3"),
    "the definition that replaced another": ("def f(): return 1\nL = [f]\ndef f(): return 2\n", "f", "return 1", "return 3"),
    "a keyword default of an inner function": ("def make(k):\n    def f(*, x=k): return x\n    return f\nfs = [make(1)]\n", "fs[0]", "make(1)", "make(2)"),
    "an attribute set on the function": ("def f(): return f.k\nf.k = 1\n", "f", "f.k = 1", "f.k = 2"),
    "a helper's comment and layout": ("def h(): return 1\ndef f(): return h()\n", "f", "def h(): return 1", "def h():\n    # one\n    return (1)"),
}  # fmt: skip

TYPED = {
    "a method of an object's class": ((COUNTER, "a = A(1)\n", "def stage(): return a.go()\n"), "self.k\n", "-self.k\n"),
    "an object": ((COUNTER, "a = A(1)\n", "def stage(): return a.go()\n"), "A(1)", "A(2)"),
    "the base of a class": (("class B:\n    def go(self): return 1\n", "class A(B): pass\n", "def stage(): return A().go()\n"), "return 1", "return 2"),
    "a class attribute set later": (("class A: k = 1\n", "A.k = 2\n", "def stage(): return A.k\n"), "A.k = 2", "A.k = 3"),
    "an enum": (("import enum\nclass E(enum.Enum): A = 1\n", "def stage(): return E.A.value\n"), "A = 1", "A = 2"),
    "a dataclass's default": (("from dataclasses import dataclass\n@dataclass\nclass A:\n    k: int = 1\n", "def stage(): return A().k\n"), "= 1", "= 2"),
    "a named tuple's default": (("from collections import namedtuple\nA = namedtuple('A', 'a b', defaults=(1, 2))\n", "def stage(): return A().b\n"), "(1, 2)", "(1, 3)"),
    "a decorated helper": ((DECORATED, "def stage(): return h()\n"), "return 1", "return 2"),
    "a decorator": ((DECORATED, "def stage(): return h()\n"), "+ 1", "+ 2"),
    "a sibling of a decorated helper": ((DECORATED, "def stage(): return h()\n"), "return 5", "return 6"),
    "a registry": (("R = {}\ndef reg(f):\n    R[f.__name__] = f\n    return f\n", "@reg\ndef a(): return 1\n", "def stage(): return R['a']()\n"), "return 1", "return 2"),
    "the other lambda of a line": (("h, g = (lambda: 1), (lambda: 2)\n", "def stage(): return g()\n"), ": 2)", ": 3)"),
    "a lambda in a dict": (("D = {'a': lambda: 1}\n", "def stage(): return D['a']()\n"), ": 1", ": 2"),
    "a closure": ((MAKER, "stage = make(1)\n"), "make(1)", "make(2)"),
    "a helper's closure": ((MAKER, "h = make(1)\n", "def stage(): return h()\n"), "make(1)", "make(2)"),
    "a helper's default that is gone": (("K = 1\n", "def h(x=K): return x\n", "del K\n", "def stage(): return h()\n"), "K = 1", "K = 2"),
    "a function's attribute": (("def h(): return h.k\n", "h.k = 1\n", "def stage(): return h()\n"), "h.k = 1", "h.k = 2"),
    "a cached helper": (("import functools\n@functools.lru_cache\ndef h(): return 1\n", "def stage(): return h()\n"), "return 1", "return 2"),
    "a helper typed in anew": (("def h(): return 1\n", "def h(): return 2\n", "def stage(): return h()\n"), "return 2", "return 3"),
    "a helper before it was typed in anew": (("def h(): return 1\n", "def h(): return 2\n", "def stage(): return h()\n"), "return 1", "return 3"),
    "functions that call each other": (("def a(n): return b(n - 1) if n else 0\n", "def b(n): return a(n - 1) + 1 if n else 1\n", "def stage(): return a(3)\n"), "+ 1 if", "+ 2 if"),
    "a list that a later cell appends to": (("X = [1]\n", "X.append(2)\n", "def stage(): return X\n"), "append(2)", "append(3)"),
    "an array": (("import numpy as np\nX = np.arange(3)\n", "def stage(): return X.sum()\n"), "arange(3)", "arange(4)"),
    "a pattern": (("import re\nP = re.compile('a')\n", "def stage(): return P.pattern\n"), "'a'", "'b'"),
    "a comment": (("def h(): return 1\n", "def stage(): return h()\n"), "def h", "# one\ndef h"),
    "a global that nothing reads": (("K = 1\n", "def stage(): return 1\n"), "K = 1", "K = 2"),
}  # fmt: skip

HELPERS = "def f(x=1): return x\nK = 1\nclass B:\n    def go(self): return 1\ndef unused(): return 1\n"
IMPORTING = {
    "a function": (("from typed_helpers import f\n", "def stage(): return f()\n"), "return x", "return -x"),
    "a function of a module": (("import typed_helpers as t\n", "def stage(): return t.f()\n"), "return x", "return -x"),
    "everything": (("from typed_helpers import *\n", "def stage(): return f()\n"), "return x", "return -x"),
    "a constant": (("from typed_helpers import K\n", "def stage(): return K\n"), "K = 1", "K = 2"),
    "a base class": (("from typed_helpers import B\n", "class A(B): pass\n", "def stage(): return A().go()\n"), "self): return 1", "self): return 2"),
    "a class of an object": (("from typed_helpers import B\n", "b = B()\n", "def stage(): return b.go()\n"), "self): return 1", "self): return 2"),
    "a function in a partial": (("import functools\nfrom typed_helpers import f\ng = functools.partial(f, 3)\n", "def stage(): return g()\n"), "return x", "return -x"),
    "a sibling of the function": (("from typed_helpers import f\n", "def stage(): return f()\n"), "unused(): return 1", "unused(): return 2"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "pyproject.toml").write_text("")
    yield tmp_path
    for name in ("live_probe", "typed_helpers"):
        sys.modules.pop(name, None)


def outcome(function: Callable[..., Any]) -> tuple[str, str]:
    return fingerprint(function).hex, repr(function())


def write_and_import(folder: Path, name: str, text: str) -> ModuleType:
    (folder / f"{name}.py").write_text(text)
    sys.modules.pop(name, None)
    importlib.invalidate_caches()
    return importlib.import_module(name)


def run_cells(cells: tuple[str, ...]) -> tuple[str, str]:
    """Run cells as a notebook does: each compiled under a name that linecache knows."""
    main = ModuleType("__main__")
    saved, sys.modules["__main__"] = sys.modules["__main__"], main
    try:
        for number, cell in enumerate(cells):
            name = f"<cell {number} {hash(cells)}>"
            linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
            exec(compile(cell, name, "exec"), main.__dict__)  # noqa: S102
        return outcome(main.stage)
    finally:
        sys.modules["__main__"] = saved


def edited(cells: tuple[str, ...], old: str, new: str) -> tuple[str, ...]:
    assert sum(cell.count(old) for cell in cells) == 1
    return tuple(cell.replace(old, new) for cell in cells)


@pytest.mark.parametrize("title", IN_A_FILE)
def test_an_edit_counts_for_a_live_function_just_when_it_changes_the_result(title: str, folder: Path) -> None:
    text, found, old, new = IN_A_FILE[title]

    def compute(source: str) -> tuple[str, str]:
        return outcome(eval(found, vars(write_and_import(folder, "live_probe", source))))

    before, after = compute(text), compute(*edited((text,), old, new))

    assert (before[0] != after[0]) == (before[1] != after[1])


@pytest.mark.parametrize("title", TYPED)
def test_an_edit_of_a_cell_counts_just_when_it_changes_the_result(title: str, folder: Path) -> None:
    cells, old, new = TYPED[title]
    before, after = run_cells(cells), run_cells(edited(cells, old, new))

    assert (before[0] != after[0]) == (before[1] != after[1])


@pytest.mark.parametrize("title", IMPORTING)
def test_an_edit_of_a_module_counts_for_a_cell_just_when_it_changes_the_result(
    title: str, folder: Path
) -> None:
    cells, old, new = IMPORTING[title]
    outcomes = []
    for text in (HELPERS, *edited((HELPERS,), old, new)):
        write_and_import(folder, "typed_helpers", text)
        outcomes.append(run_cells(cells))

    assert (outcomes[0][0] != outcomes[1][0]) == (outcomes[0][1] != outcomes[1][1])


def test_code_whose_text_is_gone_counts_by_its_bytecode(folder: Path) -> None:
    spaces: list[dict[str, Any]] = [{}, {}, {}]
    for space, text in zip(spaces, ("return 1", "return 1", "return 2"), strict=True):
        exec(f"def stage(): {text}", space)  # noqa: S102
    first, again, other = (outcome(space["stage"])[0] for space in spaces)

    assert first == again
    assert first != other
