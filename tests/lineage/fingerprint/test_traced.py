"""What a kept graph is found by: the code that tracing runs, all of it, and no body of a stage."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from lineal.fingerprint import Fingerprinter, FingerprintError, Sources, SummaryCache
from lineal.fingerprint.outline import Outline
from lineal.fingerprint.traced import traced_code

ROOT = Path("/project")

FLOW = '''
from __future__ import annotations

import os
from typing import Annotated, NamedTuple

import pandas as pd
from lineal import File, Schema, field, pipeline, stage, when

import contracts
import features
from features import clean, unrelated
from settings import NAMES, RATE


class Trained(NamedTuple):
    model: object
    auc: float


class Rows(contracts.Base, min_rows=1):
    a: Annotated[int, field(ge=contracts.LOW)]


@stage(retries=1, depends_on=[clean, features])
def load(source: File, rate: float = RATE) -> Annotated[pd.DataFrame, Rows]:
    """Read it."""
    return clean(pd.read_csv(source))


@stage
def train(table: pd.DataFrame) -> Trained:
    return Trained(table, helper_of_stage())


def plain(table: pd.DataFrame) -> pd.DataFrame:
    return table.head(3)


head = stage(plain, timeout="3m")


def helper_of_stage() -> float:
    return 0.5


def path_of(name: str) -> str:
    return f"raw/{name}"


def not_reached() -> int:
    return 1


class Model:
    size = 1

    def fit(self) -> int:
        return 1


@pipeline
def flow(first: str = "a", rate: float = RATE) -> Trained:
    """All of it."""
    for name in (first, *NAMES):
        table = head(load(File(path_of(name)), rate))
    trained = train(table)
    with when(trained.auc > 0.5):
        train(table)
    return trained
'''

FILES = {
    "flow.py": FLOW,
    "settings.py": "NAMES = ('b', 'c')\nRATE = 0.1\nOTHER = 3\n",
    "features.py": "import numpy as np\n\n\ndef clean(table):\n    return table.dropna()\n\n\ndef unrelated(table):\n    return np.abs(table)\n",
    "contracts.py": "from lineal import Schema\nLOW = 0\n\n\nclass Base(Schema):\n    b: int\n",
    "elsewhere.py": "X = 1\n",
}

CHANGES = {
    "the pipeline": ("flow.py", "    trained = train(table)\n", "    trained = train(head(table))\n"),
    "a default of the pipeline": ("flow.py", 'first: str = "a"', 'first: str = "b"'),
    "an annotation of the pipeline": ("flow.py", "first: str", "first: object"),
    "a helper": ("flow.py", 'f"raw/{name}"', 'f"cooked/{name}"'),
    "a constant": ("settings.py", "'c'", "'d'"),
    "a default of a stage": ("settings.py", "0.1", "0.2"),
    "an option of a stage": ("flow.py", "retries=1", "retries=2"),
    "an option that comes": ("flow.py", "@stage\ndef train", "@stage(effect=True)\ndef train"),
    "an option of a wrapped function": ("flow.py", '"3m"', '"4m"'),
    "the annotation of a parameter": ("flow.py", "def train(table: pd.DataFrame)", "def train(table: object)"),
    "the annotation of a result": ("flow.py", "-> Annotated[pd.DataFrame, Rows]", "-> pd.DataFrame"),
    "the annotation of a wrapped function": (
        "flow.py",
        "def plain(table: pd.DataFrame)",
        "def plain(table: pd.DataFrame | None)",
    ),
    "a parameter's name": ("flow.py", "def train(table:", "def train(rows:"),
    "a parameter by keyword": ("flow.py", "source: File, rate", "source: File, *, rate"),
    "the fields of a record": ("flow.py", "auc: float", "auc: int"),
    "a rule of a contract": ("contracts.py", "LOW = 0", "LOW = 1"),
    "a base of a contract": ("contracts.py", "b: int", "b: float"),
    "an option of a contract": ("flow.py", "min_rows=1", "min_rows=2"),
    "what a stage depends on": ("flow.py", "depends_on=[clean, features]", "depends_on=[clean]"),
    "what that name means": ("flow.py", "from features import clean, unrelated", "from other import clean\nfrom features import unrelated"),
    "what importing runs": ("features.py", "import numpy as np\n", "import numpy as np\nprint(np)\n"),
    "what is imported": ("features.py", "import numpy as np\n", "import numpy as np\nimport pandas\n"),
    "a constant that nothing reaches": ("settings.py", "OTHER = 3", "OTHER = 4"),
}  # fmt: skip

SAME = {
    "the body of a stage": ("flow.py", "clean(pd.read_csv(source))", "clean(pd.read_csv(source)).dropna()"),
    "its docstring": ("flow.py", '"""Read it."""', '"""Read all of it."""'),
    "another body": ("flow.py", "    return Trained(table, helper_of_stage())", "    x = 1\n\n    return Trained(table, x)"),
    "the body of a wrapped function": ("flow.py", "table.head(3)", "table.head(4)"),
    "a helper of a stage": ("flow.py", "    return 0.5", "    return 0.6"),
    "a helper of a stage in another module": ("features.py", "table.dropna()", "table.fillna(0)"),
    "a function that nothing reaches": ("flow.py", "def not_reached() -> int:\n    return 1", "def not_reached() -> int:\n    return 2"),
    "a comment": ("flow.py", "    trained = train(table)\n", "    trained = train(table)  # at last\n"),
    "formatting": ("flow.py", "    trained = train(table)\n", "    trained = (\n        train(\n            table))\n"),
    "a module that nothing imports": ("elsewhere.py", "X = 1", "X = 2"),
}  # fmt: skip


def identity(files: Mapping[str, str], cache: SummaryCache | None = None) -> str:
    sources = Sources(ROOT, [ROOT], {name: text.encode() for name, text in files.items()})
    return traced_code(Fingerprinter(sources, cache=cache), "flow", "flow", cache).hex


def edited(name: str, before: str, after: str) -> dict[str, str]:
    assert FILES[name].count(before) == 1
    return {**FILES, name: FILES[name].replace(before, after)}


@pytest.mark.parametrize("edit", CHANGES.values(), ids=CHANGES.keys())
def test_an_edit_of_anything_that_makes_the_graph_is_seen(edit: tuple[str, str, str]) -> None:
    files = {**edited(*edit), "other.py": "def clean(table):\n    return table\n"}

    assert identity(files) != identity({**FILES, "other.py": files["other.py"]})


@pytest.mark.parametrize("edit", SAME.values(), ids=SAME.keys())
def test_an_edit_of_what_a_stage_runs_is_not(edit: tuple[str, str, str]) -> None:
    assert identity(edited(*edit)) == identity(FILES)


def test_with_a_cache_it_is_the_same(tmp_path: Path) -> None:
    for _ in range(2):
        cache = SummaryCache(tmp_path / "cache")
        assert identity(FILES, cache) == identity(FILES)
        cache.save()


def test_code_that_cannot_be_read_has_no_identity() -> None:
    with pytest.raises(FingerprintError):
        identity({**FILES, "settings.py": "NAMES = ("})
    with pytest.raises(FingerprintError):
        identity({**FILES, "flow.py": "from lineal import stage\n"})


BODIES = {
    "one line": "@stage\ndef f(): return 1\nx = 1\n",
    "one line of two": "@stage\ndef f(): a = 1; return a;\nx = 1\n",
    "one line over several": "@stage\ndef f(): return (1,\n    2)\nx = 1\n",
    "a docstring alone": '@stage\ndef f():\n    """A\n\n    B"""\nx = 1\n',
    "tabs": "@stage\ndef f():\n\ta = 1\n\treturn a\nx = 1\n",
    "a decorated function first": "@stage\ndef f():\n    @deco\n    @deco(1)\n    def g(): ...\n    return g\nx = 1\n",
    "a comment after it": "@stage\ndef f():\n    return 1  # so\n    # and so\nx = 1\n",
    "letters of several bytes": "@stage\ndef f(ä='ä', *, b='日本'):\n    é = 'ü'; return é\nx = 'ß'\n",
    "old line ends": "@stage\r\ndef f():\r\n    a = 1\r\n    return a\r\nx = 1\r\n",
    "no end of line": "x = 1\n@stage\ndef f():\n    return 1",
    "under a guard": "if x:\n    @stage\n    def f():\n        return 1\nelse:\n    @stage\n    def f():\n        return 2\nx = 1\n",
    "a body that continues": "@stage\ndef f():\n    return 1 + \\\n        2\nx = 1\n",
    "text over several lines": '@stage\ndef f():\n    return """a\nb\n"""\nx = 1\n',
    "dependencies": "@stage(depends_on=[ä, b.c,\n    'd'], retries=N)\ndef f():\n    return 1\nx = 1\n",
}


@pytest.mark.parametrize("text", BODIES.values(), ids=BODIES.keys())
def test_a_body_is_left_out_and_everything_else_stays_where_it_is(text: str) -> None:
    text = "from lineal import stage\nimport b\ndef ä(): ...\n" + text
    sources = Sources(ROOT, [ROOT], {"m.py": text.encode(), "b.py": b"def c(): ...\n"})
    outline = Outline(Fingerprinter(sources).lookup)

    short = ast.parse(outline.source("m"))
    whole = ast.parse(text)

    functions = [node for node in ast.walk(short) if isinstance(node, ast.FunctionDef)]
    assert {node.name for node in functions} == {"ä", "f"}
    assert all(len(node.body) == 1 and isinstance(node.body[0], ast.Expr) for node in functions)
    for before, after in zip(whole.body, short.body, strict=True):
        assert (before.lineno, type(before)) == (after.lineno, type(after))
        if not isinstance(before, ast.FunctionDef | ast.If):
            assert ast.dump(before) == ast.dump(after)
    assert "depends_on=[ä" not in outline.source("m").decode()


def test_bytes_in_another_encoding_are_left_as_they_are() -> None:
    text = "# coding: latin-1\nfrom lineal import stage\n@stage\ndef f():\n    return 'ä'\n".encode("latin-1")
    outline = Outline(Fingerprinter(Sources(ROOT, [ROOT], {"m.py": text})).lookup)

    assert outline.source("m") == text


def test_what_only_looks_like_a_stage_keeps_its_body() -> None:
    text = textwrap.dedent(
        """
        from lineal import stage as real
        from tools import stage, again
        import lineal

        @stage
        def a(): return 1
        @again
        @real
        def b(): return 2
        @real
        @again
        def c(): return 3
        @real
        def d(): return 4
        @lineal.stage(retries=1)
        def e(): return 5
        real = again
        @real
        def f(): return 6
        """
    )
    files = {"m.py": text.encode(), "tools.py": b"from lineal import stage\ndef again(f): return f\n"}
    outline = Outline(Fingerprinter(Sources(ROOT, [ROOT], files)).lookup)

    kept = {
        node.name for node in ast.parse(outline.source("m")).body
        if isinstance(node, ast.FunctionDef) and isinstance(node.body[0], ast.Return)
    }  # fmt: skip
    assert kept == {"b", "c", "f"}
