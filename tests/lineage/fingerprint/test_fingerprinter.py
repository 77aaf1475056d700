"""What a fingerprint holds and says, beside the rules of the language (test_language.py)."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from lineal.fingerprint import BlindSpot, Fingerprint, Fingerprinter, FingerprintError, Sources, SummaryCache

Compute = Callable[..., Fingerprint]

STAGE = "from lineal import stage\n@stage(retries={retries}, timeout='{timeout}')\ndef stage_(x: int) -> int:\n    return h(x)\ndef h(x): return x * {k}\n"


def test_options_of_lineals_own_decorator_do_not_count_and_the_function_does(fingerprint_of: Compute) -> None:
    def compute(**values: object) -> str:
        files = {"pipeline.py": STAGE.format(**{"retries": 1, "timeout": "1h", "k": 2, **values})}
        return fingerprint_of(files, "stage_").hex

    assert compute() == compute(retries=3) == compute(timeout="2h")
    assert compute() != compute(k=3)


def test_a_decorated_stage_counts_as_its_function_does_without_the_decorator(fingerprint_of: Compute) -> None:
    plain = "def s(x: int) -> int:\n    return x\n"
    decorators = ["@lineal.stage\n", "@lineal.stage()\n", "@lineal.stage(retries=5, depends_on=[K])\n"]
    prints = {
        fingerprint_of({"pipeline.py": f"import lineal\nK = {k}\n{decorator}{plain}"}, "s").hex
        for k, decorator in enumerate(["", *decorators])
    }

    assert len(prints) == 1


def test_wrapping_a_function_later_counts_the_function_and_no_options(fingerprint_of: Compute) -> None:
    text = "from lineal import stage\ndef f(x): return x * {k}\ns = stage(f, timeout='{timeout}')\n"
    compute = lambda **v: fingerprint_of({"pipeline.py": text.format(**v)}, "s").hex

    assert compute(k=1, timeout="1h") == compute(k=1, timeout="2h")
    assert compute(k=1, timeout="1h") != compute(k=2, timeout="1h")


def test_a_decorator_of_the_project_around_lineals_counts(fingerprint_of: Compute) -> None:
    text = "import lineal\ndef twice(f): return lambda x: f(x) * {k}\n@lineal.stage(retries=1)\n@twice\ndef s(x): return x\n"

    assert (
        fingerprint_of({"pipeline.py": text.format(k=2)}, "s").hex
        != fingerprint_of({"pipeline.py": text.format(k=3)}, "s").hex
    )


def test_a_stage_that_calls_another_stage_depends_on_its_code(fingerprint_of: Compute) -> None:
    text = "from lineal import stage\n@stage(retries={r})\ndef a(x): return x * {k}\n@stage\ndef s(x): return a(x)\n"
    compute = lambda **v: fingerprint_of({"pipeline.py": text.format(**v)}, "s").hex

    assert compute(r=1, k=1) != compute(r=1, k=2)
    assert compute(r=1, k=1) == compute(r=2, k=1)


def test_lineal_itself_is_no_distribution_that_counts(fingerprint_of: Compute) -> None:
    found = fingerprint_of(
        {
            "pipeline.py": "import lineal\nfrom lineal import File\ndef s(x: File): return lineal.output('a')\n"
        },
        "s",
    )

    assert found.distributions == {}
    assert "lineal.output" in found.outside


def test_covers_names_each_unit_with_its_file_and_line(fingerprint_of: Compute) -> None:
    files = {
        "pipeline.py": "from pkg.m import f\n\n\ndef stage():\n    return f(K)\nK = 1\n",
        "pkg/m.py": "def f(x): return x\ndef g(): 0\n",
    }

    found = fingerprint_of(files)

    assert [(u.unit, u.file, u.line) for u in found.covers] == [
        ("pipeline:K", "pipeline.py", 6),
        ("pipeline:stage", "pipeline.py", 4),
        ("pkg.m:f", "pkg/m.py", 1),
    ]
    assert all(len(unit.hash) == 32 for unit in found.covers)
    assert found.modules == ("pipeline", "pkg", "pkg.m")


def test_a_unit_keeps_its_hash_when_only_something_else_changes(fingerprint_of: Compute) -> None:
    before = fingerprint_of({"pipeline.py": "K = 1\ndef stage(): return K\n"})
    after = fingerprint_of({"pipeline.py": "\n\nK = 2\ndef stage(): return K\n"})
    hashes = [{unit.unit: unit.hash for unit in found.covers} for found in (before, after)]

    assert hashes[0]["pipeline:stage"] == hashes[1]["pipeline:stage"]
    assert hashes[0]["pipeline:K"] != hashes[1]["pipeline:K"]


@pytest.mark.parametrize(
    ("text", "kind", "detail", "line"),
    [
        ("import importlib\ndef stage(n='x'):\n    return importlib.import_module(n)", "dynamic_import", "importlib.import_module of a computed name", 3),
        ("def stage(t='1'):\n    return eval(t)", "eval", "eval of text", 2),
        ("import nothing_of_that_name as n\ndef stage(): return n.f()", "unresolved_import", "nothing_of_that_name.f", 2),
        ("def stage():\n    return open('conf.json').read()", "undeclared_read", "conf.json", 2),
        ("from pathlib import Path\nHERE = Path(__file__).parent\ndef stage():\n    return (HERE / 'a' / 'b.txt').read_text()", "undeclared_read", "a/b.txt", 4),
        ("import os\ndef stage(): return os.environ['HOME_X']", "environment", "HOME_X", 2),
        ("import os\ndef stage(): return os.getenv('HOME_X', '1')", "environment", "HOME_X", 2),
        ("import pickle\ndef stage(d=b''): return pickle.loads(d)", "unpickle", "pickle.loads", 2),
        ("from pathlib import Path\nCONF = Path(__file__).parent / 'c.json'\ndef stage(): return CONF.read_text()", "undeclared_read", "c.json", 3),
        ("from pathlib import Path\nCONF = Path(__file__).parent / 'c.json'\ndef stage():\n    with open(CONF) as f: return f.read()", "undeclared_read", "c.json", 4),
        ("from pathlib import Path\nCONF = Path(__file__).parent / 'c.json'\ndef stage():\n    with CONF.open('r') as f: return f.read()", "undeclared_read", "c.json", 4),
        ("import os\ndef stage():\n    here = os.path.dirname(__file__)\n    path = os.path.join(here, 'a', 'c.json')\n    return open(path).read()", "undeclared_read", "a/c.json", 5),
        ("import gzip\ndef stage(): return gzip.open('a.gz', 'rt').read()", "undeclared_read", "a.gz", 2),
        ("import configparser\ndef stage(): return configparser.ConfigParser().read('a.ini')", "undeclared_read", "a.ini", 2),
        ("import pandas as pd\ndef stage(): return pd.read_orc('a.orc')", "undeclared_read", "a.orc", 2),
        ("from pathlib import Path\ndef stage(): return sorted(Path('data').glob('*.csv'))", "undeclared_read", "data", 2),
        ("from importlib.resources import files\ndef stage(): return files(__name__).joinpath('t.txt').read_text()", "undeclared_read", "t.txt", 2),
        ("from importlib import resources\nimport pkg\ndef stage(): return (resources.files(pkg) / 't.txt').read_text()", "undeclared_read", "pkg/t.txt", 3),
        ("from importlib import resources\ndef stage(): return resources.read_text('pkg', 't.txt')", "undeclared_read", "pkg/t.txt", 2),
        ("import pkgutil\ndef stage(): return pkgutil.get_data('pkg', 'a/t.txt')", "undeclared_read", "pkg/a/t.txt", 2),
        ("import os\ndef stage(): return 'A' in os.environ", "environment", "A", 2),
        ("from os import environ\ndef stage(): return environ['A']", "environment", "A", 2),
        ("import os\ndef stage(): return dict(os.environ)", "environment", "every variable", 2),
        ("import os\ndef stage(): return os.environ.copy()", "environment", "every variable", 2),
        ("import os\ndef stage(): return os.environ.pop('A', 1)", "environment", "A", 2),
        ("import os\ndef stage(n='A'): return os.environ[n]", "environment", "a computed name", 2),
        ("import os\ndef stage(): return os.path.expandvars('$A')", "environment", "the variables in a path", 2),
        ("from importlib import import_module as load\ndef stage(n='x'): return load(n)", "dynamic_import", "import_module by a name of its own", 2),
        ("from importlib.metadata import entry_points\ndef stage(): return list(entry_points(group='g'))", "dynamic_import", "entry_points", 2),
        ("def stage(t='1'): return list(map(eval, [t]))", "eval", "eval of text", 1),
    ],
)  # fmt: skip
def test_what_cannot_be_seen_is_said_with_file_and_line(
    text: str, kind: str, detail: str, line: int, fingerprint_of: Compute
) -> None:
    found = fingerprint_of({"pipeline.py": text, "pkg/__init__.py": ""})

    assert found.blind_spots == (BlindSpot(kind, detail, "pipeline.py", line),)


@pytest.mark.parametrize(
    "text",
    [
        "import json, os\ndef stage(x=1): return getattr(json, 'dumps')(x), os.path.join('a', 'b')",
        "try:\n    import nothing\nexcept ImportError:\n    nothing = None\ndef stage(): return nothing",
        "def stage():\n    try:\n        import nothing\n    except ImportError:\n        return 1\n    return nothing.x",
        "def stage(source): return open(source).read()",
        "def stage(out='x'):\n    with open('log.txt', 'w') as f: f.write('x')",
        "import re\nP = re.compile('x')\ndef stage(df=None): return df.eval('a') if df else P.match('x')",
        "def other(): return eval('1')\ndef stage(): return 1",
        "def stage(): return eval('1 + 1')",
        "def stage(path): return path.read_text(), path.open('rb').read(), open(path / 'x').read()",
        "def stage(source='x'):\n    path = source + '.txt'\n    return open(path).read()",
        "import os\ndef stage():\n    os.environ['A'] = '1'",
        "def stage(d={}, n='x'): return list(d.items()), d.get('environ'), d.copy(), d.pop('a', 1)",
        "def load(n): return n\ndef stage(): return load('plain')",
        "def stage(x='r'): return x.read('a'), x.walk('b'), x.path('c', 'd')",
    ],
)
def test_ordinary_code_has_no_blind_spots(text: str, fingerprint_of: Compute) -> None:
    assert fingerprint_of({"pipeline.py": text}).blind_spots == ()


@pytest.mark.parametrize(
    "call",
    [
        "runpy.run_path('tools/make.py')",
        "importlib.util.spec_from_file_location('make', 'tools/make.py')",
        "subprocess.run([sys.executable, 'tools/make.py'])",
        "subprocess.run([sys.executable, '-m', 'tools.make'])",
        "open('tools/make.py').read()",
    ],
)
def test_a_python_file_of_the_project_that_is_run_or_read_is_covered_with_what_it_reaches(
    call: str, fingerprint_of: Compute
) -> None:
    files = {
        "pipeline.py": f"import importlib.util, runpy, subprocess, sys\ndef stage(): return {call}\n",
        "tools/make.py": "from lib import f\nf()\n",
        "lib.py": "def f(): return 1\ndef g(): return 2\n",
    }

    found = fingerprint_of(files)

    assert found.blind_spots == ()
    assert {unit.unit for unit in found.covers} >= {"tools.make:line 2", "lib:f"}
    assert "lib:g" not in {unit.unit for unit in found.covers}


def test_code_that_is_run_from_a_file_that_is_not_there_is_a_blind_spot(fingerprint_of: Compute) -> None:
    found = fingerprint_of({"pipeline.py": "import runpy\ndef stage(): return runpy.run_path('none.py')\n"})

    assert found.blind_spots == (BlindSpot("dynamic_import", "runpy.run_path", "pipeline.py", 2),)


def test_declared_reads_count_by_their_bytes_and_close_the_blind_spot(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text("def stage(): return open('conf/a.json').read()\n")
    (tmp_path / "conf").mkdir()

    def compute(reads: list[str], text: str) -> Fingerprint:
        (tmp_path / "conf/a.json").write_text(text)
        return Fingerprinter(Sources.capture(tmp_path)).stage("pipeline", "stage", reads=reads)

    assert compute([], "1").hex == compute([], "2").hex
    assert [spot.kind for spot in compute([], "1").blind_spots] == ["undeclared_read"]
    for reads in (["conf/a.json"], ["conf"], ["conf/*.json"], [str(tmp_path / "conf/a.json")]):
        assert compute(reads, "1").hex != compute(reads, "2").hex
        assert compute(reads, "1").blind_spots == ()
    assert compute(["conf/none.json"], "1").blind_spots[0].kind == "missing_file"


def test_version_and_more_code_count(fingerprint_of: Compute) -> None:
    files = {"pipeline.py": "def stage(): return 1\ndef hidden(): return 1\n", "m.py": "K = 1\n"}
    edited = {
        "pipeline.py": files["pipeline.py"].replace("hidden(): return 1", "hidden(): return 2"),
        "m.py": "K = 2\n",
    }
    plain = fingerprint_of(files).hex

    assert fingerprint_of(edited).hex == plain
    assert fingerprint_of(files, version="2").hex != plain
    for depends_on in (["pipeline:hidden"], ["pipeline.hidden"], ["m"], ["m:K"]):
        assert (
            fingerprint_of(files, depends_on=depends_on).hex
            != fingerprint_of(edited, depends_on=depends_on).hex
        )


def test_broken_code_is_an_error_only_where_it_is_reached(fingerprint_of: Compute) -> None:
    broken = {"broken.py": "x = (\n"}

    assert fingerprint_of({"pipeline.py": "def stage(): return 1\n", **broken}).hex
    with pytest.raises(
        FingerprintError, match=r"broken\.py:1: is not valid Python: '\(' was never closed"
    ) as error:
        fingerprint_of({"pipeline.py": "import broken\ndef stage(): return broken.x\n", **broken})
    assert error.value.hint
    assert error.value.exit_code == 2
    assert pickle.loads(pickle.dumps(error.value)).line == 1


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"pipeline.py": "x = 1\n"}, "pipeline: has no function 'stage'"),
        ({"other.py": "x = 1\n"}, "pipeline: is no module of the project"),
        ({"pipeline.py": b"# coding: klingon\n"}, "unknown encoding: klingon"),
        ({"pipeline.py": b"x = '\xff'\n"}, "is not valid Python"),
        (
            {"pipeline.py": "x = " + "+".join(["1"] * 100_000) + "\ndef stage(): return x\n"},
            "is nested too deeply",
        ),
        (
            {"pipeline.py": "x = " + "(" * 500 + ")" * 500 + "\ndef stage(): return x\n"},
            "too many nested parentheses",
        ),
    ],
)
def test_an_error_says_what_and_where(
    files: dict[str, str | bytes], message: str, fingerprint_of: Compute
) -> None:
    with pytest.raises(FingerprintError, match=message.replace("(", r"\(")):
        fingerprint_of(files)


def test_functions_found_through_circular_star_imports_count(fingerprint_of: Compute) -> None:
    files = {f"m{i}.py": "".join(f"from m{j} import *\n" for j in range(5) if j != i) for i in range(4)}
    files["pipeline.py"] = "from m0 import *\ndef stage(): return f()\n"
    prints = {
        fingerprint_of({**files, "m4.py": f"from m2 import *\ndef f(): return {k}\n"}).hex for k in range(2)
    }

    assert len(prints) == 2


class TestTheCache:
    """A file between processes; here, between fingerprinters that share no memory of their own."""

    files = {"pipeline.py": b"from m import f\ndef stage(): return f()\n", "m.py": b"def f(): return 1\n"}  # noqa: RUF012

    def compute(self, path: Path, files: dict[str, bytes]) -> tuple[Fingerprint, bool]:
        """The fingerprint, and whether it came from the cache without a look at the code."""
        cache = SummaryCache(path)
        fingerprinter = Fingerprinter(Sources(Path("/p"), [Path("/p")], files), cache=cache)
        found = fingerprinter.stage("pipeline", "stage")
        cache.save()
        return found, fingerprinter._closures is None

    def test_an_unchanged_project_is_answered_from_the_file(self, tmp_path: Path) -> None:
        first, cached = self.compute(tmp_path / "deep/cache", self.files)
        again, cached_again = self.compute(tmp_path / "deep/cache", self.files)

        assert (cached, cached_again) == (False, True)
        assert again == first

    def test_any_edit_asks_the_code_again(self, tmp_path: Path) -> None:
        first, _ = self.compute(tmp_path / "cache", self.files)
        edited, cached = self.compute(tmp_path / "cache", {**self.files, "m.py": b"def f(): return 2\n"})
        unrelated, cached_unrelated = self.compute(tmp_path / "cache", {**self.files, "n.py": b"x = 1\n"})

        assert (cached, cached_unrelated) == (False, False)
        assert edited.hex != first.hex
        assert unrelated.hex == first.hex

    def test_summaries_come_back_as_they_were(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from lineal.fingerprint import summaries

        text = b"@d(1)\ndef f(x: int = 1, *a) -> 'str':\n    g = x; g.y = 2; return lambda: g\nclass A(B, metaclass=M):\n    k: int = 0\nX = f(2)\n__all__ = ['X']\n"
        cache = SummaryCache(tmp_path / "cache")
        sources = Sources(Path("/p"), [], {"a.py": text})
        monkeypatch.setattr(summaries, "_kept", {})
        first = summaries.Summaries(cache).get(sources, "a.py")
        cache.save()
        monkeypatch.setattr(summaries, "_kept", {})
        monkeypatch.setattr(summaries, "_summarize", None)

        assert summaries.Summaries(SummaryCache(tmp_path / "cache")).get(sources, "a.py") == first

    @pytest.mark.parametrize("damage", [b"", b"lineal", b"\0" * 400, None])
    def test_a_damaged_file_counts_as_empty(self, tmp_path: Path, damage: bytes | None) -> None:
        first, _ = self.compute(tmp_path / "cache", self.files)
        data = (tmp_path / "cache").read_bytes()
        (tmp_path / "cache").write_bytes(data[:-9] + b"x" * 9 if damage is None else damage)

        again, cached = self.compute(tmp_path / "cache", self.files)

        assert not cached
        assert again == first

    def test_a_place_that_cannot_be_written_stops_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")

        assert self.compute(tmp_path / "file" / "cache", self.files)[0].hex


def test_modules_imported_beside_count_where_they_change_what_the_stage_reaches(
    fingerprint_of: Compute,
) -> None:
    def compute(k: int, unrelated: int = 0, beside: tuple[str, ...] = ("pipeline",)) -> str:
        files = {
            "pipeline.py": f"import steps\nX = []\nX.append({unrelated})\nsteps.K = {k}\n",
            "steps.py": "K = 0\ndef stage(): return K\n",
        }
        return fingerprint_of(files, module="steps", beside=beside).hex

    assert compute(1) != compute(2)
    assert compute(1) == compute(1, unrelated=5)
    assert compute(1, beside=()) == compute(2, beside=())
