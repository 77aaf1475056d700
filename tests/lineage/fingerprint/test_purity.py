"""Which graphs may be kept: those that depend on code and parameters alone, as far as the code can be seen to."""

from __future__ import annotations

import builtins
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from lineal.fingerprint import Fingerprinter, Sources
from lineal.fingerprint.pure import ATTRIBUTES, BUILTINS, LINEAL, STANDARD
from lineal.fingerprint.purity import judge
from lineal.fingerprint.traced import traced_code

HEAD = """
from __future__ import annotations
import os
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
from lineal import Directory, File, Metrics, Schema, field, pipeline, stage, unless, when


@stage
def load(source: File, day: object = None) -> pd.DataFrame:
    return pd.read_csv(source)


@stage(retries=2)
def train(table: pd.DataFrame, rate: float = 0.1) -> Metrics:
    np.random.seed(int(os.environ["SEED"]))
    return {"auc": open("truth").read()}

"""


def verdict(files: Mapping[str, str], *, variables: bool = False) -> str | None:
    """What keeps the graph of ``flow`` in flow.py from being kept, or None."""
    sources = Sources(
        Path("/project"), [Path("/project")], {name: text.encode() for name, text in files.items()}
    )
    found = judge(traced_code(Fingerprinter(sources), "flow", "flow"), variables=variables).impurity
    return None if found is None else found.what


def verdict_of(text: str, **files: str) -> str | None:
    more = {f"{name}.py": textwrap.dedent(data) for name, data in files.items()}
    return verdict({"flow.py": HEAD + textwrap.dedent(text), **more})


PURE = {
    "stages alone": """
        @pipeline
        def flow(run_date: date, source: str = "raw.csv", rate: float = 0.1) -> Metrics:
            metrics = train(load(File(source), run_date), rate)
            with when(metrics["auc"] >= 0.5):
                train(load(Directory("more"), run_date - timedelta(days=1)), rate=rate * 2)
            return metrics
    """,
    "loops, text and dates": """
        FIRST, DAYS = date(2024, 1, 1), 7
        NAMES = ["a", *("b", "c")]

        @pipeline
        def flow(run_date: date = FIRST):
            for number, name in enumerate(sorted(NAMES)):
                for back in range(min(DAYS, 3)):
                    day = run_date - timedelta(days=back)
                    load(File(f"{name.lower()}-{day:%Y-%m-%d}-{number:03d}.csv"), day.strftime("%Y"))
            if run_date.weekday() in (5, 6) and len(NAMES) > 1:
                load(File("weekend/" + ",".join(n.upper() for n in NAMES)), str(max(1, 2)))
    """,
    "helpers and constants of other modules": """
        from settings import LIMITS, path_of
        import settings

        @pipeline
        def flow():
            return load(File(path_of("a", LIMITS["a"])), settings.LIMITS.get("b", settings.DEFAULT))
    """,
    "records of the project": """
        class Trained(NamedTuple):
            model: pd.DataFrame
            metrics: Metrics

        @dataclass(frozen=True)
        class Config:
            depth: int = 3
            names: tuple[str, ...] = ()

            def doubled(self) -> int:
                return self.depth * 2

        class Kind(Enum):
            SMALL = "small"

        @stage
        def fit(table: pd.DataFrame, depth: int = 1, kind: str = "") -> Trained: ...

        CONFIG = Config(names=("a",))

        @pipeline
        def flow(config: Config = CONFIG, kind: Kind = Kind.SMALL) -> Trained:
            trained = fit(load(File(config.names[0])), config.doubled(), kind.value)
            with unless(trained.metrics["auc"] < 0.5):
                fit(trained.model)
            return trained
    """,
    "contracts": """
        CARRIERS = {"AA", "UA"}
        LOW = 0

        class Rows(Schema, extra="forbid", min_rows=LOW + 1):
            carrier: Annotated[str, field(isin=CARRIERS)]
            when: Annotated[pd.Timestamp, field(unit="ns", timezone="UTC")]
            delay: Annotated[float | None, field(ge=LOW)]

        @stage
        def check(table: Annotated[pd.DataFrame, Rows]) -> Annotated[np.ndarray, "checked"]: ...

        @pipeline
        def flow():
            return check(load(File("x")))
    """,
    "an estimator of the project in an annotation": """
        from sklearn.base import BaseEstimator

        class Model(BaseEstimator):
            defaults = np.arange(3)

            def __init__(self, seed=None):
                self.random = np.random.default_rng(seed)

            def fit(self, table):
                return open("cache")

            def __getitem__(self, key):
                return np.random.rand()

        @stage
        def fit(table: pd.DataFrame) -> Model: ...

        @pipeline
        def flow():
            return fit(load(File("x")))
    """,
    "paths beside the module": """
        HERE = Path(__file__).resolve().parent
        DATA = HERE / "data"

        @pipeline
        def flow():
            return load(File(DATA.joinpath("x.csv").with_suffix(".parquet")), os.path.join(os.path.dirname(os.path.abspath(__file__)), "x"))
    """,
    "membership of sets": """
        KNOWN = frozenset({"a", "b"})

        @pipeline
        def flow(name: str = "a"):
            for each in sorted(KNOWN) if name == "c" else ["a"]:
                if each in KNOWN and each not in {"x", "y"}:
                    load(File(each))
            return load(File(name), len(KNOWN))
    """,
    "a sub-pipeline and options": """
        @pipeline
        def part(name: str):
            return load.options(name="loaded", retries=1)(File(name))

        @pipeline
        def flow():
            return [part("a"), train(part("b"))] and None
    """,
    "what is not reached may do anything": """
        import random
        SEED = int(os.environ.get("SEED", random.random()))
        TODAY = datetime.now()
        os.environ["OMP_NUM_THREADS"] = "1"
        pd.set_option("display.width", 100)
        print("imported", os.listdir("."))

        @stage
        def late(seed: int) -> str:
            return f"{SEED} {TODAY}"

        @pipeline
        def flow():
            return late(3)

        if __name__ == "__main__":
            flow.run()
    """,
    "an import in the function": """
        @pipeline
        def flow():
            import math
            from itertools import product
            for a, b in product("ab", repeat=2):
                load(File(a + b), math.sqrt(4))
    """,
    "getattr with a literal": """
        @pipeline
        def flow(run_date: date = date(2024, 1, 1)):
            return load(File("x"), getattr(run_date, "year"))
    """,
    "a function made a stage": """
        def plain(table: pd.DataFrame) -> pd.DataFrame:
            return table.sample(frac=np.random.rand())

        sampled = stage(plain, timeout="30m")

        @pipeline
        def flow():
            return sampled(load(File("x")))
    """,
    "code that a stage depends on": """
        import heavy
        from heavy import compute

        @stage(depends_on=[heavy, compute, heavy.compute, "heavy:compute"])
        def late(table: pd.DataFrame) -> pd.DataFrame: ...

        @pipeline
        def flow():
            return late(load(File("x")))
    """,
    "stages in a list, and with options of their own": """
        quick = train.options(retries=0, name="quick")
        STEPS = [train, quick]
        BY_NAME = {"load": load}

        @pipeline
        def flow():
            table = BY_NAME["load"](File("x"))
            for step in STEPS:
                step(table)
            return [step(table, rate=0.2) for step in STEPS][0]
    """,
    "a cached helper": """
        from functools import cache

        @cache
        def name_of(number: int) -> str:
            try:
                return f"part-{number}"
            except ValueError as error:
                raise RuntimeError(str(error)) from error

        @pipeline
        def flow():
            return load(File(name_of(3)))
    """,
    "the version of Python": """
        import sys

        if sys.version_info >= (3, 11):
            NAME = "new"
        else:
            NAME = "old"

        @pipeline
        def flow():
            return load(File(NAME), sys.platform)
    """,
}

IMPURE = {
    "environ": ("os.environ", "load(File(os.environ['X']))"),
    "getenv": ("os.getenv", "load(File(os.getenv('X', 'a')))"),
    "today": ("datetime.date.today", "load(File('x'), date.today())"),
    "now": ("datetime.datetime.now", "load(File('x'), datetime.now())"),
    "now of an alias": ("the attribute now of a value", "d = datetime; load(File('x'), d.now())"),
    "today of a value": ("the attribute today of a value", "load(File('x'), date(2024, 1, 1).today())"),
    "today in a list": ("the attribute today of a value", "load(File('x'), [date][0].today())"),
    "today by name": ("datetime.date.today", "load(File('x'), getattr(date, 'today')())"),
    "a computed attribute": ("getattr()", "load(File('x'), getattr(date, str(1))())"),
    "an attribute in a variable": ("getattr()", "look = getattr; load(File('x'), look(date, 'today')())"),
    "time": ("time.time", "import time; load(File('x'), time.time())"),
    "open": ("open()", "load(File(open('names').read()))"),
    "listdir": ("os.listdir", "[load(File(name)) for name in os.listdir('.')]"),
    "listdir imported inside": ("os.listdir", "from os import listdir; [load(File(n)) for n in listdir('.')]"),
    "exists": ("the attribute exists of a value", "load(File('x' if Path('x').exists() else 'y'))"),
    "glob": ("the attribute glob of a value", "[load(File(p)) for p in Path('.').glob('*.csv')]"),
    "resolve of another path": ("the attribute resolve of a value", "load(File(Path('x').resolve()))"),
    "abspath of another path": ("os.path.abspath", "load(File(os.path.abspath('x')), os.path.abspath(__file__))"),
    "reading a source": ("the attribute open of a value", "load(File('x'), list(File('x').open()))"),
    "listing a source": ("the attribute files of a value", "load(File('x'), len(Directory('x').files()))"),
    "random": ("random.random", "import random; load(File('x'), random.random())"),
    "numpy": ("numpy.random.rand", "load(File('x'), np.random.rand())"),
    "a library": ("pandas.read_csv", "[load(File(n)) for n in pd.read_csv('index.csv')['name']]"),
    "eval": ("eval()", "load(File('x'), eval('1 + 1'))"),
    "an import by name": ("os.environ", "import importlib; load(File('x'), importlib.import_module('os').environ)"),
    "an import by a name that is made": ("import", "import importlib; load(File('x'), importlib.import_module(str(1)))"),
    "globals": ("globals()", "load(File('x'), globals()['NAME'])"),
    "id": ("id()", "load(File('x'), id(load))"),
    "hash": ("hash()", "load(File('x'), hash('a'))"),
    "print": ("print()", "print('tracing'); load(File('x'))"),
    "a loop over a set": ("a set, whose order differs from process to process", "[load(File(n)) for n in {'a', 'b'}]"),
    "a list of a set": ("a set, whose order differs from process to process", "load(File('x'), list(set('ab')))"),
    "a set passed on": ("a set, whose order differs from process to process", "load(File('x'), {n for n in 'ab'})"),
    "common keys": ("a set, whose order differs from process to process", "[load(File(n)) for n in {'a': 1}.keys() & {'a': 2}.keys()]"),
    "the function of a stage": ("the attribute function of a value", "load(File('x'), load.function(File('x')))"),
    "the wrapped function": ("the attribute __wrapped__ of a value", "load(File('x'), load.__wrapped__(File('x')))"),
    "the clock through operator": ("operator.methodcaller", "import operator; load(File('x'), operator.methodcaller('today')(date))"),
    "the time zone": ("the attribute timestamp of a value", "load(File('x'), datetime(2024, 1, 1).timestamp())"),
    "a global counter": ("a global that it changes", "global N; N = 1; load(File('x'))"),
    "a process": ("subprocess.run", "import subprocess; subprocess.run(['true']); load(File('x'))"),
    "a library that is not there": ("nowhere_to_be_found.x, which is not to be found", "import nowhere_to_be_found; load(File('x'), nowhere_to_be_found.x)"),
    "a name that is not there": ("unheard_of", "load(File('x'), unheard_of)"),
    "who is logged in": ("getpass.getuser", "import getpass; load(File(getpass.getuser()))"),
    "the first of a set by length": (
        "a set, whose order differs from process to process",
        "load(File(sorted({'ab', 'cd'}, key=len)[0]))",
    ),
    "a library that may be there": ("an import of numpy", "\n    try:\n        import numpy\n    except ImportError:\n        load(File('x'))"),
    "a method out of a pattern": ("the attribute today of a value", "\n    match date(2024, 1, 1):\n        case date(today=f):\n            load(File('x'), f())"),
    "the loader": ("__loader__.get_data", "load(File('x'), __loader__.get_data('y'))"),
    "the path of a file with a changed name": ("the attribute exists of a value", "load(File(__file__.exists()))"),
    "a module by way of another": ("the attribute modules of a value", "import typing; load(File('x'), typing.sys.modules)"),
    "the modules": ("sys.modules", "import sys; load(File('x'), len(sys.modules))"),
    "an object's own text": ("object()", "load(File('x'), str(object()))"),
    "unknown modules of Lineal": ("lineal.open_store", "import lineal; lineal.open_store('x'); load(File('x'))"),
}  # fmt: skip

IMPURE_ELSEWHERE = {
    "a constant": (
        "os.environ",
        "NAME = os.environ['X']\n@pipeline\ndef flow():\n    return load(File(NAME))",
    ),
    "a constant's constant": (
        "os.getcwd",
        "A = os.getcwd()\nB = [A]\n@pipeline\ndef flow():\n    return load(File(B[0]))",
    ),
    "a default of the pipeline": (
        "datetime.date.today",
        "@pipeline\ndef flow(run_date: date = date.today()):\n    return load(File('x'), run_date)",
    ),
    "a default of a stage": (
        "os.environ",
        "@stage\ndef late(name: str = os.environ['X']) -> str: ...\n@pipeline\ndef flow():\n    return late()",
    ),
    "an option of a stage": (
        "os.cpu_count",
        "@stage(resources={'cpu': os.cpu_count()})\ndef late() -> str: ...\n@pipeline\ndef flow():\n    return late()",
    ),
    "an option of a wrapped function": (
        "os.cpu_count",
        "def f() -> str: ...\nlate = stage(f, retries=os.cpu_count())\n@pipeline\ndef flow():\n    return late()",
    ),
    "a rule of a contract": (
        "os.environ",
        (
            "class Rows(Schema):\n    a: Annotated[int, field(ge=int(os.environ['LOW']))]\n@stage\n"
            "def late() -> Annotated[pd.DataFrame, Rows]: ...\n@pipeline\ndef flow():\n    return late()"
        ),
    ),
    "an option of a contract": (
        "os.environ",
        (
            "class Rows(Schema, min_rows=int(os.environ['LOW'])):\n    a: int\n@stage\n"
            "def late() -> Annotated[pd.DataFrame, Rows]: ...\n@pipeline\ndef flow():\n    return late()"
        ),
    ),
    "a type that depends": (
        "os.environ.get",
        (
            "Frame = np.ndarray if os.environ.get('X') else pd.DataFrame\n@stage\ndef late() -> Frame: ...\n"
            "@pipeline\ndef flow():\n    return late()"
        ),
    ),
    "a guard": (
        "os.environ.get",
        "if os.environ.get('X'):\n    NAME = 'a'\nelse:\n    NAME = 'b'\n@pipeline\ndef flow():\n    return load(File(NAME))",
    ),
    "what is tried": (
        "open()",
        "try:\n    open('x')\n    NAME = 'a'\nexcept OSError:\n    NAME = 'b'\n@pipeline\ndef flow():\n    return load(File(NAME))",
    ),
    "a decorator of the project": (
        "os.environ",
        "def twice(f):\n    f.times = os.environ['X']\n    return f\n@pipeline\n@twice\ndef flow():\n    return load(File('x'))",
    ),
    "a helper two calls away": (
        "datetime.date.today",
        "def a():\n    return b()\ndef b():\n    return date.today()\n@pipeline\ndef flow():\n    return load(File('x'), a())",
    ),
    "a property of a record": (
        "os.environ",
        (
            "class R(NamedTuple):\n    x: int\n    @property\n    def y(self):\n        return os.environ['X']\n@stage\n"
            "def late(n: object = None) -> R: ...\n@pipeline\ndef flow():\n    return late(late().y)"
        ),
    ),
    "a record that makes itself": (
        "os.environ",
        (
            "@dataclass\nclass C:\n    n: str = ''\n    def __post_init__(self):\n        self.n = os.environ['X']\n"
            "@pipeline\ndef flow(c: C):\n    return load(File(c.n))"
        ),
    ),
    "a class that makes its subclasses": (
        "os.environ",
        (
            "class B:\n    def __init_subclass__(cls):\n        cls.y = os.environ['X']\n"
            "class R(B):\n    x: int\n@stage\ndef late() -> R: ...\n@pipeline\ndef flow():\n    return late()"
        ),
    ),
    "a parameter that is a set": (
        "a set, whose order differs from process to process",
        "@pipeline\ndef flow(names: set[str]):\n    for name in names:\n        load(File(name))",
    ),
    "a loop over a set with a name": (
        "a set, whose order differs from process to process",
        "NAMES = {'a', 'b'}\n@pipeline\ndef flow():\n    for name in NAMES:\n        load(File(name))",
    ),
    "a stage called on import": (
        "the stage late, which runs on import",
        "@stage\ndef late() -> str: ...\nNAME = late()\n@pipeline\ndef flow():\n    return load(File(NAME))",
    ),
    "a stage called on import by a helper": (
        "the stage late, which runs on import",
        "@stage\ndef late() -> str: ...\ndef f():\n    return late()\nNAME = f()\n@pipeline\ndef flow():\n    return load(File(NAME))",
    ),
    "a function that is a stage and called": (
        "f, which is both a stage and called as it is",
        "def f() -> str:\n    return 'x'\nlate = stage(f)\n@pipeline\ndef flow():\n    return late(load(File(f())))",
    ),
    "a stage under another decorator": (
        "numpy.random.rand",
        "def deco(f):\n    return f\n@stage\n@deco\ndef late() -> str:\n    return np.random.rand()\n@pipeline\ndef flow():\n    return late()",
    ),
    "a built-in that is replaced": (
        "builtins.len",
        "import builtins\nbuiltins.len = lambda x: int(os.environ['X'])\n@pipeline\ndef flow():\n    return load(File('x'), len('ab'))",
    ),
    "a module that is patched": (
        "os.environ",
        "import math\nmath.pi = float(os.environ['PI'])\n@pipeline\ndef flow():\n    return load(File('x'), math.pi)",
    ),
    "a list that is filled on import": (
        "os.environ",
        "NAMES = []\nNAMES.append(os.environ['X'])\n@pipeline\ndef flow():\n    return load(File(NAMES[0]))",
    ),
    "the search path": (
        "sys.path",
        "import sys\nsys.path.insert(0, os.environ['X'])\n@pipeline\ndef flow():\n    return load(File('x'))",
    ),
    "a stage of a library": (
        "somewhere.clean, which is not to be found",
        "from somewhere import clean\n@pipeline\ndef flow():\n    return clean(load(File('x')))",
    ),
    "a record with a set": (
        "a set, whose order differs from process to process",
        "@dataclass\nclass C:\n    names: set[str]\n@pipeline\ndef flow(c: C):\n    for n in c.names:\n        load(File(n))",
    ),
    "the locale": (
        "the locale",
        (
            "import locale\nlocale.setlocale(locale.LC_ALL, os.environ['X'])\n@pipeline\ndef flow(run_date: date):\n"
            "    return load(File(run_date.strftime('%A')))"
        ),
    ),
    "another module in the place of one": (
        "sys.modules",
        (
            "import sys\nsys.modules['settings'] = sys\nfrom settings import DEFAULT\n@pipeline\ndef flow():\n"
            "    return load(File('x'), DEFAULT)"
        ),
    ),
    "a name that hides a built-in": (
        "sorted(), which is not the built-in one",
        (
            "def sorted(names):\n    return names\n@pipeline\ndef flow():\n    for name in sorted({'a', 'b'}):\n"
            "        load(File(name))"
        ),
    ),
    "a module as a whole": (
        "settings",
        "import settings\n@pipeline\ndef flow():\n    return load(File('x'), str(settings))",
    ),
}

OTHERS = {
    "settings": "import pandas as pd\nLIMITS = {'a': 1, 'b': 2}\nDEFAULT = 3\n\ndef path_of(name, limit):\n    return f'{name}/{limit}'\n",
    "heavy": "import numpy as np\n\ndef compute():\n    return np.random.rand()\n\nSTATE = compute()\n",
}


@pytest.mark.parametrize("text", PURE.values(), ids=PURE.keys())
def test_a_graph_of_code_and_parameters_may_be_kept(text: str) -> None:
    assert verdict_of(text, **OTHERS) is None


@pytest.mark.parametrize(("told", "body"), IMPURE.values(), ids=IMPURE.keys())
def test_a_pipeline_that_looks_around_is_traced_each_time(told: str, body: str) -> None:
    assert told in (verdict_of(f"@pipeline\ndef flow():\n    {body}\n") or "nothing")


@pytest.mark.parametrize(("told", "body"), IMPURE.values(), ids=IMPURE.keys())
def test_so_is_one_whose_helper_in_another_module_does(told: str, body: str) -> None:
    helper = HEAD + f"\nNAME = 'x'\ndef helper():\n    {body}\n"
    text = "from helper import helper as h\n@pipeline\ndef flow():\n    h()\n"

    assert told in (verdict({"flow.py": HEAD + text, "helper.py": helper}) or "nothing")


@pytest.mark.parametrize(("told", "text"), IMPURE_ELSEWHERE.values(), ids=IMPURE_ELSEWHERE.keys())
def test_so_is_one_of_which_anything_that_makes_its_graph_does(told: str, text: str) -> None:
    assert told in (verdict_of(text, **OTHERS) or "nothing")


def test_variables_that_are_set_on_import_matter_where_a_stage_declares_some() -> None:
    text = HEAD + "os.environ['X'] = '1'\n@pipeline\ndef flow():\n    return load(File('x'))\n"

    assert verdict({"flow.py": text}) is None
    assert verdict({"flow.py": text}, variables=True) == "os.environ"


SETTING = {
    "an item": ("os.environ['X'] = '1'", "os.environ"),
    "by a method": ("os.environ.setdefault('X', '1')", "os.environ"),
    "by a function": ("def f():\n    os.environ.update(X='1')\nf()", "os.environ"),
    "by a library": ("import dotenv\ndotenv.load_dotenv()", "dotenv, which may set variables,"),
    "not by reading": ("def f(x): ...\nf(os.environ['X'])\nwith open(os.environ['Y'], 'a') as log:\n    log.write('a')", None),
}  # fmt: skip


@pytest.mark.parametrize(("text", "told"), SETTING.values(), ids=SETTING.keys())
def test_setting_them_is_told_from_reading_them(text: str, told: str | None) -> None:
    flow = HEAD + text + "\n@pipeline\ndef flow():\n    return load(File('x'))\n"

    assert (
        verdict({"flow.py": flow, "dotenv.py": ""} if told is None else {"flow.py": flow}, variables=True)
        == told
    )
    assert verdict({"flow.py": flow}) is None or told == "dotenv, which may set variables,"


def test_the_place_is_told() -> None:
    text = "from lineal import pipeline, stage\nimport os\n\n\n@pipeline\ndef flow():\n    x = 1\n    y = [\n        os.environ\n    ]\n"
    sources = Sources(Path("/project"), [Path("/project")], {"flow.py": text.encode()})

    found = judge(traced_code(Fingerprinter(sources), "flow", "flow")).impurity

    assert str(found) == "pipeline reaches os.environ (flow.py:9)"


TRACE_ALL = """
import hashlib, importlib, os, sys
from pathlib import Path
from lineal.fingerprint.sources import Sources
from lineal.stages.frozen import freeze

for folder in sorted(Path(sys.argv[1]).iterdir()):
    for name in ("flow", "settings", "heavy"):
        sys.modules.pop(name, None)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    pipeline = importlib.import_module("flow").flow
    given = {"run_date": __import__("datetime").date(2024, 3, 2)} if folder.name == "stages alone" else {}
    data = freeze(pipeline.trace(given), Sources(folder, [folder], {}))
    print(folder.name, hashlib.sha256(data).hexdigest())
    sys.path.pop(0)
"""


def test_what_may_be_kept_is_traced_to_the_same_graph_wherever_it_is(tmp_path: Path) -> None:
    for name, text in PURE.items():
        files = {"flow": HEAD + textwrap.dedent(text), **OTHERS}
        (tmp_path / "cases" / name).mkdir(parents=True)
        for module, data in files.items():
            (tmp_path / "cases" / name / f"{module}.py").write_text(data)
    traced = []
    for number, zone in enumerate(["UTC", "Asia/Tokyo"]):
        folder = tmp_path / f"from {number}"
        folder.mkdir()
        variables = {
            **os.environ,
            "PYTHONHASHSEED": str(number + 1),
            "TZ": zone,
            "SEED": str(number),
            "X": zone,
        }
        done = subprocess.run(
            [sys.executable, "-c", TRACE_ALL, str(tmp_path / "cases")],
            cwd=folder,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        traced.append([line for line in done.stdout.splitlines() if not line.startswith("imported")])

    assert len(traced[0]) == len(PURE)
    assert traced[0] == traced[1]


def test_the_documentation_lists_what_the_code_does() -> None:
    text = Path(__file__).parents[3].joinpath("docs", "cached-graph.md").read_text()
    section = text.partition("## What may be kept")[2].partition("## Limits")[0]
    rows = {
        module: set(re.findall(r"`([^`]+)`", names.partition(";")[0]))
        for modules, names in re.findall(r"^\| (`.+?) \| (.+) \|$", section, re.MULTILINE)
        for module in re.findall(r"`([^`]+)`", modules)
    }

    everything = {"operator.attrgetter", "methodcaller"}  # but these
    assert {module: everything if "*" in names else set(names) for module, names in STANDARD.items()} == rows
    listed = set(re.findall(r"`([^`(]+)`", section))
    errors = {
        name
        for name, found in vars(builtins).items()
        if isinstance(found, type) and issubclass(found, BaseException)
    }
    assert listed >= (BUILTINS - errors) | LINEAL
    assert listed.isdisjoint(ATTRIBUTES & {"today", "now", "exists"})


def test_no_change_of_one_place_gives_another_graph_under_the_same_identity() -> None:
    cases = {}
    for name, text in PURE.items():
        modules = {"flow": HEAD + textwrap.dedent(text), **OTHERS}
        cases[name] = {f"{module}.py": data for module, data in modules.items()}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("trace_mutants.py"))],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["missed"] == []
    assert found["mutants"] > found["others"] > 200
