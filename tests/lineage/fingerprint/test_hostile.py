"""Source that nobody should write: a clear error or a right result, in bounded time and memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import warm
from in_memory import Files

STAGE = "def stage(): return K\n"
MOST_SECONDS, MOST_MEGABYTES = 60, 1_500


def one(text: str) -> Files:
    return {"pipeline.py": text + STAGE}


RIGHT: dict[str, tuple[Callable[[], Files], int]] = {
    "a module of 100,000 lines": (lambda: one("".join(f"x{i} = {i}\n" for i in range(100_000)) + "K = x5\n"), 3),
    "a module of 20,000 functions": (lambda: one("".join(f"def f{i}(a):\n    return f{i // 2}(a) + {i}\n" for i in range(1, 20_000)) + "K = f1\n"), 3),
    "a name that is bound 10,000 times": (lambda: one("K = 0\n" + "".join(f"K = K + {i}\n" for i in range(10_000))), 10_002),
    "a list that is appended to 10,000 times": (lambda: one("K = []\n" + "".join(f"K.append({i})\n" for i in range(10_000))), 10_002),
    "a function defined 5,000 times, called in between": (lambda: one("def f(): return 1\n" + "".join(f"f()\ndef f(): return {i}\n" for i in range(5_000)) + "K = f()\n"), 3),
    "a list of 300,000 numbers": (lambda: one("K = [" + ",".join(map(str, range(300_000))) + "]\n"), 2),
    "a string of 20 megabytes": (lambda: one("K = '" + "x" * 20_000_000 + "'\n"), 2),
    "an integer of a million digits": (lambda: one("K = 0x" + "9" * 1_000_000 + "\n"), 2),
    "a sum of 2,000 numbers": (lambda: one("K = " + "+".join(["1"] * 2_000) + "\n"), 2),
    "a chain of 1,200 calls": (lambda: one("K = a" + ".b()" * 1_200 + "\n"), 2),
    "a chain of 1,200 subscripts": (lambda: one("K = a" + "[0]" * 1_200 + "\n"), 2),
    "2,000 signs": (lambda: one("K = " + "-" * 2_000 + "1\n"), 2),
    "1,000 lambdas in each other": (lambda: one("K = " + "lambda: " * 1_000 + "1\n"), 2),
    "1,500 conditional expressions in each other": (lambda: one("K = " + "1 if x else " * 1_500 + "1\n"), 2),
    "1,500 elifs of the module": (lambda: one("if x == 0: K = 0\n" + "".join(f"elif x == {i}: K = {i}\n" for i in range(1_500))), 1_502),
    "95 functions in each other": (lambda: one("".join(" " * i + f"def f{i}():\n" for i in range(95)) + " " * 95 + "return 1\nK = f0\n"), 3),
    "10,000 arguments": (lambda: one("def f(" + ",".join(f"a{i}={i}" for i in range(10_000)) + "): 1\nK = f(" + ",".join(f"a{i}=x" for i in range(10_000)) + ")\n"), 3),
    "a class of 10,000 methods": (lambda: one("class K:\n" + "".join(f"    def m{i}(self): return self.m{i + 1}()\n" for i in range(10_000))), 2),
    "a decorator that decorates itself": (lambda: one("@d\ndef d(f): return d(f)\n@d\n@d\ndef K(): return d(K)\n"), 3),
    "500 decorators, each decorated by the one before": (lambda: one("def d0(f): return f\n" + "".join(f"@d{i}\ndef d{i + 1}(f): return d{i}(f)\n" for i in range(500)) + "@d500\ndef K(): return 1\n"), 503),
    "1,000 functions that call each other": (lambda: one("".join(f"def f{i}(): return " + "+".join(f"f{(i * 7 + j * 13) % 1000}()" for j in range(20)) + "\n" for i in range(1_000)) + "K = f0()\n"), 1_002),
    "300 functions that change a list and call each other": (lambda: one("R = {}\n" + "".join(f"def f{i}(a, b):\n    R[a] = b\n" + "".join(f"    f{(i * 7 + j * 13) % 300}(b, a)\n" for j in range(10)) for i in range(300)) + "f0(1, R)\nK = R\n"), 304),
    "500 classes, each the base of the next": (lambda: one("class A0: pass\n" + "".join(f"class A{i + 1}(A{i}): pass\n" for i in range(500)) + "K = A500()\n"), 503),
    "a lattice of 300 classes": (lambda: one("class A0: pass\nclass B0: pass\n" + "".join(f"class A{i + 1}(A{i}, B{i}): pass\nclass B{i + 1}(A{i}, B{i}): pass\n" for i in range(150)) + "K = A150()\n"), 303),
    "classes that are each other's base": (lambda: one("class A(B): pass\nclass B(A): pass\nK = A()\n"), 4),
    "a function that returns itself": (lambda: one("def f(): return f\nx = f()()()()\nx.a.b().c = 1\nK = x\n"), 4),
    "2,000 names for one list": (lambda: one("a0 = []\n" + "".join(f"a{i + 1} = a{i}\n" for i in range(2_000)) + "a2000.append(1)\nK = a0\n"), 2_004),
    "2,000 modules that import each other in a row": (lambda: {"pipeline.py": "import m0\ndef stage(): return m0.K\n", **{f"m{i}.py": f"import m{i + 1}\nK = {i}\n" for i in range(2_000)}, "m2000.py": ""}, 2),
    "1,000 re-exports in a row": (lambda: {**one("from m0 import K\n"), **{f"m{i}.py": f"from m{i + 1} import K\n" for i in range(1_000)}, "m1000.py": "K = 1\n"}, 2),
    "1,000 star imports in a row": (lambda: {**one("from m0 import *\n"), **{f"m{i}.py": f"from m{i + 1} import *\n" for i in range(1_000)}, "m1000.py": "K = 1\n"}, 2),
    "60 modules that star-import all others": (lambda: {"pipeline.py": "from m0 import *\ndef stage(): return n59\n", **{f"m{i}.py": "".join(f"from m{j} import *\n" for j in range(60) if j != i) + f"n{i} = {i}\n" for i in range(60)}}, 2),
    "two modules that take a name from each other": (lambda: {**one("import a\nK = a.x\n"), "a.py": "from b import x\n", "b.py": "from a import x\n"}, 2),
    "a module that imports itself": (lambda: one("import pipeline\nfrom pipeline import *\nK = pipeline.stage\n"), 2),
    "text that runs text that runs text": (lambda: one(f"exec({f'exec({chr(39)}K = 1{chr(39)})'!r})\n"), 2),
    "10,000 lines of text that is run": (lambda: one("exec('''" + "x = 1\n" * 10_000 + "''')\nK = 1\n"), 3),
    "10,000 fields of an f-string": (lambda: one("K = f'" + "{a!r:>{b}}" * 10_000 + "'\n"), 2),
    "a syntax error in a module that nothing reaches": (lambda: {**one("K = 1\n"), "bad.py": "x = (\n"}, 2),
    "a byte order mark": (lambda: {"pipeline.py": b"\xef\xbb\xbfK = 1\n" + STAGE.encode()}, 2),
    "another encoding": (lambda: {"pipeline.py": "# coding: latin-1\nK = 'é'\n".encode("latin-1") + STAGE.encode()}, 2),
}  # fmt: skip

REFUSED: dict[str, tuple[Callable[[], Files], str]] = {
    "brackets 1,000 deep": (lambda: one("K = " + "[" * 1_000 + "]" * 1_000 + "\n"), "pipeline.py:1: is not valid Python: too many nested parentheses"),
    "a sum of a million numbers": (lambda: one("K = " + "+".join(["1"] * 1_000_000) + "\n"), "pipeline.py: is nested too deeply"),
    "a chain of 100,000 calls": (lambda: one("K = a" + ".b()" * 100_000 + "\n"), "pipeline.py: is nested too deeply"),
    "100,000 signs": (lambda: one("K = " + "-" * 100_000 + "1\n"), "pipeline.py: is nested too deeply"),
    "a syntax error in a module that is reached": (lambda: {**one("import bad\nK = bad.x\n"), "bad.py": "\nx = (\n"}, "bad.py:2: is not valid Python: '(' was never closed"),
    "a syntax error in a module that a function imports": (lambda: {"pipeline.py": "def stage():\n    import bad\n    return bad.x\n", "bad.py": "x = (\n"}, "bad.py:1: is not valid Python"),
    "a NUL byte": (lambda: {"pipeline.py": b"K = 1\0\n" + STAGE.encode()}, "pipeline.py: is not valid Python: source code string cannot contain null bytes"),
    "bytes that are no UTF-8": (lambda: {"pipeline.py": b"K = '\xff'\n" + STAGE.encode()}, "pipeline.py:1: is not valid Python: (unicode error)"),
    "UTF-16": (lambda: {"pipeline.py": ("K = 1\n" + STAGE).encode("utf-16")}, "pipeline.py: is not valid Python"),
    "an encoding that does not exist": (lambda: {"pipeline.py": b"# coding: klingon\n"}, "pipeline.py: is not valid Python: unknown encoding: klingon"),
    "a byte order mark and another encoding": (lambda: {"pipeline.py": b"\xef\xbb\xbf# coding: latin-1\n"}, "pipeline.py: is not valid Python: encoding problem"),
    "tabs and spaces that do not agree": (lambda: one("if 1:\n\tK = 1\n        K = 2\n"), "pipeline.py:3: is not valid Python: inconsistent use of tabs"),
    "an empty file": (lambda: {"pipeline.py": ""}, "pipeline: has no function 'stage'"),
}  # fmt: skip


def answer(files: Files) -> str:
    """The number of units, or the error, found by a process of its own within the time and the memory that there is."""
    found, megabytes = warm.call("in_memory:units_of", files, MOST_SECONDS) or (
        "it took too long, or died",
        0,
    )
    assert megabytes < MOST_MEGABYTES
    return str(found)


@pytest.mark.parametrize("title", RIGHT)
def test_strange_source_is_understood(title: str) -> None:
    files, units = RIGHT[title]

    assert answer(files()) == str(units)


@pytest.mark.parametrize("title", REFUSED)
def test_impossible_source_is_refused_with_its_place(title: str) -> None:
    files, message = REFUSED[title]

    assert answer(files()).startswith(f"refused: {message}")
