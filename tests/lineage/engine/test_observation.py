"""What was seen of an attempt, judged."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from lineal.engine.observation import Declarations, Judge
from lineal.executors.protocol import Access, Entry, Observations
from lineal.fingerprint import Distributions, Fingerprint, Fingerprinter, Sources
from lineal.fingerprint.summaries import Summaries
from lineal.graph.records import Observed, RanUnit

FLOW = """
import functools
import helpers

LIMIT = len(open("limit.txt").read())
with open("table.txt") as stream:
    TABLE = stream.read()
OTHER = open("other.txt").read()

def train(x):
    return [each for each in [x, LIMIT, TABLE]]

def unrelated(x):
    return (lambda: helpers.scale(x))()

@functools.lru_cache
@functools.wraps(unrelated)
def decorated(x):
    return x

if LIMIT:
    @functools.cache
    def guarded(x):
        return x

class Model:
    def fit(self):
        return 1
"""
HELPERS = """
def scale(x):
    return times(x)

def times(x):
    return x
"""


class Bench:
    """A project of two modules, and a judge of what is seen in it."""

    def __init__(self, root: Path) -> None:
        for name, text in (("flow.py", FLOW), ("helpers.py", HELPERS), ("plugin.py", "def f(): pass\n")):
            (root / name).write_text(textwrap.dedent(text))
        self.root = root
        self.sources = Sources.capture(root)
        self.fingerprinter = Fingerprinter(self.sources, distributions=Distributions([]))

    def entry(self, name: str, file: str = "flow.py", code: str | None = None) -> Entry:
        """The code that is written in the line that ``name`` is in."""
        lines = (self.root / file).read_text().splitlines()
        line = next(number for number, text in enumerate(lines, start=1) if name in text)
        return Entry(str(self.root / file), line, code or name.split()[-1].partition("(")[0])

    def judge(
        self,
        seen: Observations,
        *also: str,
        strict: bool = False,
        declared: Declarations = Declarations(),  # noqa: B008
    ) -> Observed:
        covering: list[Fingerprint] = [self.fingerprinter.stage("flow", "train")]
        covering += [self.fingerprinter.stage(*name.split(":")) for name in also]
        judge = Judge(
            self.sources,
            Summaries(),
            strict=strict,
            fingerprint=lambda *name: self.fingerprinter.stage(*name),
        )
        return judge.judge("train", seen, covering, declared)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_code_inside_the_fingerprint_is_recorded_and_nothing_else(bench: Bench) -> None:
    observed = bench.judge(Observations(entered=(bench.entry("def train"),), present=("flow", "helpers")))

    assert observed == Observed(units=["flow:train"], modules=["flow", "helpers"])


def test_code_outside_the_fingerprint_is_named_with_what_to_declare(bench: Bench) -> None:
    observed = bench.judge(Observations(entered=(bench.entry("def scale", "helpers.py"),)))

    assert observed.uncovered == [RanUnit("helpers:scale", "helpers.py", 2)]
    assert observed.refused == (
        "`helpers.scale` in helpers.py:2 ran, and the fingerprint of `train` does not cover it: "
        'declare depends_on=["helpers:scale"]'
    )
    assert observed.warnings == [observed.refused]


def test_what_is_reached_from_what_has_to_be_declared_need_not_be(bench: Bench) -> None:
    entered = (bench.entry("def scale", "helpers.py"), bench.entry("def times", "helpers.py"))

    observed = bench.judge(Observations(entered=entered))

    assert [unit.unit for unit in observed.uncovered] == ["helpers:scale", "helpers:times"]
    assert observed.refused.endswith('declare depends_on=["helpers:scale"]')


def test_what_the_inputs_name_is_covered_by_its_own_fingerprint(bench: Bench) -> None:
    entered = (bench.entry("def fit", code="Model.fit"), bench.entry("def times", "helpers.py"))

    assert bench.judge(Observations(entered=entered)).refused
    assert not bench.judge(Observations(entered=entered), "flow:Model", "helpers:scale").refused


@pytest.mark.parametrize(
    ("where", "unit"),
    [
        ("def unrelated", "flow:unrelated"),
        ("(lambda: helpers", "flow:unrelated"),
        ("@functools.lru_cache", "flow:decorated"),  # where the code of a decorated function begins
        ("@functools.cache", "flow:guarded"),
        ("def guarded", "flow:guarded"),
        ("def fit", "flow:Model"),
    ],
)
def test_code_belongs_to_the_top_level_statement_that_it_is_written_in(
    bench: Bench, where: str, unit: str
) -> None:
    observed = bench.judge(Observations(entered=(bench.entry(where),)))

    assert [each.unit for each in observed.uncovered] == [unit]


def test_a_module_that_the_fingerprint_does_not_load(bench: Bench) -> None:
    seen = Observations(
        entered=(Entry(str(bench.root / "plugin.py"), 1, "f"),), loaded=(str(bench.root / "plugin.py"),)
    )

    observed = bench.judge(seen)

    assert [unit.unit for unit in observed.uncovered] == ["plugin", "plugin:f"]
    assert observed.refused == (
        "`plugin` in plugin.py ran, and the fingerprint of `train` does not cover it: "
        'declare depends_on=["plugin"]'
    )
    assert not bench.judge(Observations(loaded=(str(bench.root / "helpers.py"),))).refused


def test_a_script_that_is_run_and_declared_as_a_file_is_covered(bench: Bench) -> None:
    seen = Observations(loaded=(str(bench.root / "plugin.py"),))

    assert not bench.judge(seen, declared=Declarations(reads=("plugin.py",))).refused


ACCESSES = [
    (Access("file", "a.csv", "/p/flow.py", 3), "reads a.csv (flow.py:3), which it does not declare"),
    (Access("file", "/data/a.csv"), 'reads=["/data/a.csv"], or take it in by File'),
    (
        Access("variable", "MODE", "/p/flow.py", 3),
        'variable MODE (flow.py:3), which it does not declare: env=["MODE"]',
    ),
    (Access("variable", "*"), "reads all environment variables: take those"),
    (Access("connection", "db.example:5432"), "connects to db.example:5432: what it reads there"),
    (Access("url", "source"), "looks at the URL of source, which is no part"),
]
KINDS = pytest.mark.parametrize(("access", "told"), ACCESSES, ids=[each[0].name for each in ACCESSES])


@KINDS
def test_what_is_not_declared_is_told(bench: Bench, access: Access, told: str) -> None:
    observed = bench.judge(Observations(accesses=(access,)))

    assert len(observed.warnings) == 1
    assert observed.warnings[0].startswith("`train` ")
    assert told in observed.warnings[0]
    assert observed.refused == ""
    assert access.name in observed.files + observed.variables + observed.connections + observed.urls


@KINDS
def test_strict_refuses_what_is_told(bench: Bench, access: Access, told: str) -> None:
    observed = bench.judge(Observations(accesses=(access,)), strict=True)

    assert observed.refused == f"strict is set, and {observed.warnings[0]}"


@KINDS
def test_a_stage_that_is_never_cached_need_declare_nothing(bench: Bench, access: Access, told: str) -> None:
    seen = Observations(accesses=(access,), entered=(bench.entry("def scale", "helpers.py"),))

    observed = bench.judge(seen, declared=Declarations(cached=False), strict=True)

    assert (observed.warnings, observed.refused) == ([], "")
    assert observed.uncovered


def test_an_effect_may_connect(bench: Bench) -> None:
    seen = Observations(accesses=(Access("connection", "db.example:5432"),))

    observed = bench.judge(seen, declared=Declarations(effect=True), strict=True)

    assert (observed.connections, observed.warnings, observed.refused) == (["db.example:5432"], [], "")


def test_many_files_are_one_sentence(bench: Bench) -> None:
    files = tuple(Access("file", f"{number}.csv") for number in range(5))

    (warning,) = bench.judge(Observations(accesses=files)).warnings

    assert "reads 0.csv, 1.csv, 2.csv and 2 more, which" in warning
    assert 'reads=["0.csv", "1.csv", "2.csv", …]' in warning
    (warning,) = bench.judge(Observations(accesses=files, more=("file",))).warnings
    assert "reads 0.csv, 1.csv, 2.csv and more, which" in warning


@pytest.mark.parametrize(
    ("statement", "names"),
    [("LIMIT =", ["x"]), ("with open", ["x"]), ("OTHER =", []), ("TABLE =", ["x"])],
    ids=str,
)
def test_an_import_that_reads_concerns_the_stages_that_use_what_came_of_it(
    bench: Bench, statement: str, names: list[str]
) -> None:
    line = bench.entry(statement).line
    seen = Observations(imported=(Access("file", "x", str(bench.root / "flow.py"), line),))

    assert bench.judge(seen).files == names
    assert bench.judge(seen, declared=Declarations(reads=("x",))).files == []


def test_child_processes_are_marked_and_not_told(bench: Bench) -> None:
    observed = bench.judge(Observations(children=True), strict=True)

    assert (observed.children, observed.warnings, observed.refused) == (True, [], "")


def test_the_record_has_an_end(bench: Bench) -> None:
    from lineal.graph.records import to_bytes

    entered = tuple(Entry("/elsewhere/m.py", number, f"function_{number}") for number in range(10_000))
    names = tuple(f"module_{number}" for number in range(10_000))

    observed = bench.judge(Observations(entered=entered, present=names))

    assert len(to_bytes(observed)) < 200_000
    assert (
        len(to_bytes(bench.judge(Observations(present=tuple(f"{number:0>9999}" for number in range(99))))))
        < 110_000
    )
    assert observed.left_out == 20_000 - len(observed.units) - len(observed.modules)
