"""What has to run again, and what has not: the promise, seen from outside."""

from __future__ import annotations

import os
import py_compile
import sqlite3
from pathlib import Path

import pytest
from support import Project

FLOW = '''
from lineal import File, pipeline, stage

from journal import note
from numeric.steps import scale

note("import flow")


@stage
def load(source: File) -> list[int]:
    """Read the numbers."""
    note("load")
    return [int(word) for word in source.open().read().split()]


@stage
def scaled(numbers: list[int], factor: int = 1) -> list[int]:
    note("scaled")
    return [scale(number, factor) for number in numbers]


@stage
def total(numbers: list[int]) -> int:
    note("total")
    return sum(numbers)


@stage
def count(numbers: list[int]) -> int:
    note("count")
    return len(numbers)


@pipeline
def flow(factor: int = 1) -> dict[str, int]:
    numbers = load(File("raw.txt"))
    return {"total": total(scaled(numbers, factor)), "count": count(numbers)}
'''

STEPS = """
from numeric.units import unit


def scale(number: int, factor: int) -> int:
    return number * factor * unit()


def unrelated() -> int:
    return 1
"""


@pytest.fixture(scope="module")
def flow_that_ran(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("flow") / "project"
    root.mkdir()
    project = Project(root)
    project.write("lineal.toml", "")
    project.write("flow.py", FLOW)
    project.write("numeric/__init__.py", "")
    project.write("numeric/steps.py", STEPS)
    project.write("numeric/units.py", "def unit() -> int:\n    return 2\n")
    project.write("raw.txt", "1 2 3\n")
    project.keep_journal()
    assert project.json("run").code == 0
    return project


@pytest.fixture
def flow(flow_that_ran: Project, tmp_path: Path) -> Project:
    """A pipeline that has run."""
    return flow_that_ran.copied(tmp_path / "project")


def rewrite(path: Path, before: str, after: str) -> None:
    """Change the text to one of the same length, and put the old times back."""
    text = path.read_text()
    assert before in text and len(before) == len(after)
    status = path.stat()
    path.write_text(text.replace(before, after))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_second_run_finds_everything_and_starts_no_process(flow: Project) -> None:
    again = flow.json("run")

    assert again.code == 0
    assert set(again.words("cache", "reason", "attempts", "seconds").values()) == {
        ("hit", "unchanged", 0, 0.0)
    }
    assert flow.journal() == ["import flow"]  # once, to trace it: no worker imported it again
    assert flow.json("status", "--exit-code").code == 0


def test_an_edit_two_calls_deep_runs_what_reaches_it_and_going_back_runs_nothing(flow: Project) -> None:
    before = flow.json("run").document["outputs"]

    flow.edit("numeric/units.py", "return 2", "return 3")
    planned = flow.json("status", "--exit-code")
    edited = flow.json("run")
    flow.edit("numeric/units.py", "return 3", "return 2")
    back = flow.json("run")

    assert planned.code == 3
    assert planned.words("cache", "reason") == {
        "load": ("hit", "unchanged"),
        "scaled": ("miss", "code"),
        "total": ("unknown", "upstream"),
        "count": ("hit", "unchanged"),
    }
    assert edited.words("cache", "reason") == {
        "load": ("hit", "unchanged"),
        "scaled": ("miss", "code"),
        "total": ("miss", "input"),
        "count": ("hit", "unchanged"),
    }
    assert [word for word in flow.journal() if "import" not in word] == ["scaled", "total"]
    assert set(back.words("cache").values()) == {"hit"}
    assert back.document["outputs"] == before != edited.document["outputs"]


def test_what_cannot_change_a_result_runs_nothing(flow: Project) -> None:
    flow.edit("flow.py", '"""Read the numbers."""', '"""Read all of them."""  # said better')
    flow.edit("flow.py", "    return sum(numbers)", "    return (\n        sum(numbers)\n    )")
    flow.edit("numeric/steps.py", "def unrelated() -> int:\n    return 1", "def unrelated():\n    return 2")
    flow.edit("numeric/units.py", "def unit", "\n\n# two\ndef unit")
    flow.write("numeric/extra.py", "def another() -> int:\n    return 1\n")
    for name in ("raw.txt", "flow.py", "numeric/units.py"):
        os.utime(flow.root / name)

    assert set(flow.json("run").words("cache").values()) == {"hit"}


def test_equal_bytes_stop_an_edit_from_spreading(flow: Project) -> None:
    flow.edit("flow.py", "[int(word) for word in", "[int(word, 10) for word in")

    run = flow.json("run")

    assert run.words("cache") == {"load": "miss", "scaled": "hit", "total": "hit", "count": "hit"}


def test_a_same_size_edit_of_a_helper_with_its_old_time_is_seen_and_runs_the_new_code(flow: Project) -> None:
    helper = flow.root / "numeric" / "units.py"
    py_compile.compile(str(helper))  # bytecode of the old text, which its time and size still fit

    rewrite(helper, "return 2", "return 5")
    run = flow.json("run", PYTHONDONTWRITEBYTECODE="")

    assert run.words("cache")["scaled"] == "miss"
    assert flow.value(run.document["outputs"]["total"]) == b"30"


def test_a_same_size_edit_of_data_with_its_old_time_is_seen(flow: Project) -> None:
    rewrite(flow.root / "raw.txt", "1 2 3", "1 2 4")

    run = flow.json("run")

    assert run.words("cache", "reason")["load"] == ("miss", "input")
    assert flow.value(run.document["outputs"]["total"]) == b"14"


def test_a_parameter_runs_what_takes_it_and_its_default_is_the_same_as_none_given(flow: Project) -> None:
    other = flow.json("run", "factor=3")
    default = flow.json("run", "factor=1")

    assert other.words("reason") == {
        "load": "unchanged",
        "scaled": "parameter",
        "total": "input",
        "count": "unchanged",
    }
    assert set(default.words("cache").values()) == {"hit"}


def test_the_declared_environment_and_the_version_are_part_of_the_key_and_the_rest_is_not(
    project: Project,
) -> None:
    project.write(
        "flow.py",
        """
        import os

        from lineal import pipeline, stage


        @stage(env=["REGION"], version="1", retries=1, timeout="1m")
        def place() -> str:
            return os.environ.get("REGION", "nowhere")


        @stage(cache=False)
        def always(place: str) -> str:
            return place


        @stage(reads=["table.txt"])
        def read(place: str) -> str:
            with open("table.txt") as table:
                return table.read()


        @pipeline
        def flow() -> str:
            return read(always(place()))
        """,
    )
    project.write("table.txt", "one\n")

    first = project.json("run")
    again = project.json("run", OTHER="1")
    elsewhere = project.json("run", REGION="eu")
    project.edit("flow.py", 'version="1", retries=1, timeout="1m"', 'version="1", retries=5, timeout="9m"')
    patient = project.json("run", REGION="eu")
    project.edit("flow.py", 'version="1"', 'version="2"')
    bumped = project.json("run", REGION="eu")
    project.edit("table.txt", "one", "two")
    declared = project.json("run", REGION="eu")

    assert first.code == 0
    assert again.words("cache", "reason") == {
        "place": ("hit", "unchanged"),
        "always": ("off", "uncached"),
        "read": ("hit", "unchanged"),
    }
    assert elsewhere.words("reason")["place"] == "environment"
    assert patient.words("cache")["place"] == "hit"
    assert bumped.words("reason")["place"] == "code"
    assert declared.words("reason")["read"] == "code"
    assert project.value(declared.document["outputs"]["result"]) == b'"two\\n"'


def test_two_projects_of_one_store_share_what_is_the_same(flow: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "clone")
    other.variables = {**flow.variables, "LINEAL_STORE": str(flow.store)}
    for path in flow.root.rglob("*"):
        if path.is_file() and ".lineal" not in path.parts:
            other.write(str(path.relative_to(flow.root)), path.read_text())

    assert set(other.json("run").words("cache").values()) == {"hit"}


def test_why_names_what_changed(flow: Project) -> None:
    flow.edit("numeric/units.py", "return 2", "return 3")

    told = flow.json("why").document["stages"]
    text = flow.command("why", "scaled")

    scaled = next(one for one in told if one["stage"] == "scaled")
    assert (scaled["reason"], scaled["nearest"] is not None) == ("code", True)
    assert [(one["kind"], one["name"], one["file"]) for one in scaled["changes"]] == [
        ("code", "numeric.units:unit", "numeric/units.py")
    ]
    assert "numeric/units.py" in text.out
    assert "numeric.units:unit" in text.out


def test_a_stage_that_asks_a_database_runs_again_when_the_observed_version_is_another(
    project: Project,
) -> None:
    database = project.root.parent / "flights.db"
    project.write(
        "flow.py",
        """
        import sqlite3

        from lineal import pipeline, stage


        def newest(database: str) -> tuple[str, int]:
            with sqlite3.connect(database) as connection:
                return connection.execute("select max(day), count(*) from flights").fetchone()


        @stage(version_of=newest)
        def read(database: str) -> list[str]:
            with sqlite3.connect(database) as connection:
                return [day for day, in connection.execute("select day from flights")]


        @stage
        def count(days: list[str]) -> int:
            return len(days)


        @pipeline
        def flow(database: str) -> int:
            return count(read(database))
        """,
    )

    def insert(day: str) -> None:
        with sqlite3.connect(database) as connection:
            connection.execute("create table if not exists flights (day text)")
            connection.execute("insert into flights values (?)", [day])

    insert("2026-11-21")
    first = project.json("run", f"database={database}")
    same = project.json("run", f"database={database}")
    insert("2026-11-22")
    why = project.json("why", "flow.py", f"database={database}")
    other = project.json("run", f"database={database}")

    assert first.words("cache") == {"read": "miss", "count": "miss"}
    assert same.words("cache") == {"read": "hit", "count": "hit"}
    changes = why.document["stages"][0]["changes"]
    assert [(change["kind"], change["name"], change["diff"]) for change in changes] == [
        ("environment", "version_of", None)
    ]
    assert other.words("reason") == {"read": "environment", "count": "input"}
    assert project.value(other.document["outputs"]["result"]) == b"2"
