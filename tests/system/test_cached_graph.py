"""The graph is kept: what is unchanged is answered without importing the project, and never answered otherwise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import warm
from support import Project

FLOW = """
import os
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from typing import Annotated, NamedTuple

import pyarrow as pa
from lineal import Directory, File, LogicalDate, Metrics, Schema, field, pipeline, stage, unless, when

from journal import note
from settings import NAMES, THRESHOLD
from steps import scaled

note("import flow")


class Kind(Enum):
    LINEAR = "linear"
    TREE = "tree"


@dataclass(frozen=True)
class Config:
    depth: int = 3
    kind: Kind = Kind.TREE


class Rows(Schema, min_rows=1):
    a: Annotated[int, field(ge=0)]


class Pair(NamedTuple):
    left: object
    right: object


class Trained(NamedTuple):
    model: dict[str, int]
    metrics: Metrics


@stage(retries=1)
def load(source: File, day: date) -> Annotated[pa.Table, Rows]:
    note("load")
    from pyarrow import csv

    return csv.read_csv(source)


@stage
def listed(folder: Directory) -> list[str]:
    return [path.name for path in folder.files()]


@stage(env=["DEPTH"])
def train(table: Annotated[pa.Table, Rows], config: Config = Config(), names: list[str] = NAMES) -> Trained:
    note("train")
    total = int(scaled(sum(table["a"].to_pylist()), config.depth))
    return Trained({"total": total}, {"auc": total / 100})


@stage
def merged(parts: Pair, extra: dict[str, object] | None = None, maybe: int | None = None) -> Config:
    return Config(len(str(parts)))


@stage
def rare(table: pa.Table) -> int:
    return 1


@stage(effect=True)
def deploy(model: dict[str, int], target: str) -> str:
    note("deploy")
    return target


@stage(effect=True)
def warn(message: Config) -> None:
    note("warn")


@pipeline
def part(name: str, day: date):
    table = load.options(name=f"load-{name}")(File(f"raw/{name}.csv"), day)
    return train(table, Config(kind=Kind.LINEAR))


@pipeline
def flow(day: LogicalDate = date(2024, 1, 31), factor: float = 1.5, note_it: bool = False) -> Metrics:
    trained = [part(name, day - timedelta(days=number)) for number, name in enumerate(NAMES)]
    with when(trained[0].metrics["auc"] >= THRESHOLD):
        deploy(trained[0].model, target="production")
    with unless(trained[0].metrics["auc"] >= 0):
        skipped = rare(load(File("raw/a.csv"), day))
    both = merged(Pair(trained[0].model, trained[1].model), {"files": listed(Directory("raw")), "n": factor}, skipped)
    if note_it:
        warn(both)
    return trained[0].metrics
"""

FILES = {
    "lineal.toml": 'pipelines = ["flow.py:flow"]\nexecutor = "inline"\n',
    "flow.py": FLOW,
    "settings.py": "NAMES = ['a', 'b']\nTHRESHOLD = 0.01\nOTHER = 1\n",
    "steps.py": "def scaled(number, factor):\n    return number * factor\n",
    "raw/a.csv": "a\n1\n2\n",
    "raw/b.csv": "a\n3\n",
}


def project_of(root: Path, files: dict[str, str]) -> Project:
    root.mkdir()
    project = Project(root)
    project.keep_journal()
    for name, text in files.items():
        project.write(name, text)
    return project


@pytest.fixture(scope="module")
def flow_that_ran(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = project_of(tmp_path_factory.mktemp("flow") / "project", FILES)
    assert project.json("run").code == 0
    return project


@pytest.fixture
def flow(flow_that_ran: Project, tmp_path: Path) -> Project:
    """A pipeline that has run, and whose graph is kept."""
    project = flow_that_ran.copied(tmp_path / "project")
    forget(project)  # what is kept of the other folder
    assert project.json("status", "--exit-code").code == 0
    project.journal()
    return project


def graphs(project: Project) -> list[Path]:
    folder = project.root / ".lineal" / "graphs"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def forget(project: Project) -> None:
    shutil.rmtree(project.root / ".lineal" / "graphs", ignore_errors=True)


def imports(project: Project) -> int:
    """How often the project was imported since the last look."""
    return sum("import" in word for word in project.journal())


def asked(project: Project, *arguments: str) -> tuple[int, Any]:
    """The answer of a question, from a process that has imported what the project does."""
    imported = ("pyarrow.csv",)
    ended = warm.run([*arguments, "--json"], project.root, project.environment({}), imported=imported)
    return ended.returncode, told(json.loads(ended.stdout))


def told(document: dict[str, Any]) -> dict[str, Any]:
    """What a command said, without what differs from one to the next."""
    for part in (document, *document.get("stages", [])):
        part.pop("seconds", None)
    if document.get("run_id"):
        document["run_id"] = "a run"
    return document


# -- nothing changed --------------------------------------------------------------------------


def test_status_run_and_why_of_an_unchanged_project_import_none_of_it(flow: Project) -> None:
    answers = [
        flow.json("status", "--exit-code"),
        flow.json("run"),
        flow.json("why"),
        flow.json("why", "part/train"),
        flow.json("status", "flow.py:flow", "factor=1.5"),
        flow.json("run", "--until", "part/train"),
    ]
    flow.json("status", "flow.py:flow", "factor=1.5")

    assert [ended.code for ended in answers] == [0] * 6
    assert imports(flow) == 1  # the first time that the factor is given
    assert answers[0].document["warnings"] == []
    assert set(answers[1].words("cache").values()) == {"hit", None}
    assert flow.json("runs").document["runs"][1]["state"] == "succeeded"


def test_what_would_fail_on_import_is_not_noticed_and_not_needed(flow: Project) -> None:
    shutil.move(flow.root / "journal.py", flow.root / "gone")  # an edit: then it is noticed
    assert "No module named 'journal'" in flow.json("status").error["message"]
    shutil.move(flow.root / "gone", flow.root / "journal.py")

    assert flow.json("run", JOURNAL="/no/such/folder/at/all").code == 0  # importing would raise
    assert flow.json("run", "--force", "listed", JOURNAL="/no/such/folder/at/all").error["kind"] == "import"


def test_no_library_is_imported(flow: Project) -> None:
    flow.write(
        "sitecustomize.py",
        "import atexit, sys\natexit.register(lambda: print(sorted({m.partition('.')[0] for m in sys.modules}), file=sys.stderr))\n",
    )
    flow.json("status", PYTHONPATH=str(flow.root))

    told = flow.json("status", PYTHONPATH=str(flow.root)).err

    assert "'lineal_cli'" in told
    for library in ("pandas", "numpy", "sklearn", "pyarrow", "s3fs", "fsspec", "rich", "psutil"):
        assert f"'{library}'" not in told


QUESTIONS = {
    "status": ["status"],
    "status of a date": ["status", "day=2024-02-29"],
    "status of a branch": ["status", "note_it=true"],
    "why": ["why"],
    "why a stage": ["why", "merged"],
    "why a branch": ["why", "flow", "warn", "note_it=true"],
    "what a part would do": ["run", "-n", "--until", "part/train"],
    "what a forced run would do": ["run", "-n", "--force", "listed"],
    "an unknown stage": ["run", "-n", "--force", "lisded"],
    "a parameter of another type": ["status", "factor=much"],
    "status of another namespace": ["status", "--namespace", "other"],
    "status of another store": ["status", "--store", "elsewhere"],
}

SITUATIONS: dict[str, Callable[[Project], object]] = {
    "unchanged": lambda flow: None,
    "a stage edited": lambda flow: flow.edit("flow.py", "total / 100", "total / 50"),
    "a helper of a stage edited": lambda flow: flow.edit(
        "steps.py", "number * factor", "number * factor + 1"
    ),
    "the pipeline edited": lambda flow: flow.edit(
        "flow.py", "name in enumerate(NAMES)", "name in enumerate(NAMES * 2)"
    ),
    "a constant edited": lambda flow: flow.edit("settings.py", "'b'", "'a'"),
    "a threshold edited": lambda flow: flow.edit("settings.py", "0.01", "0.99"),
    "an option edited": lambda flow: flow.edit(
        "flow.py", "@stage\ndef merged", "@stage(version='2')\ndef merged"
    ),
    "a contract edited": lambda flow: flow.edit("flow.py", "field(ge=0)", "field(ge=-1)"),
    "a record edited": lambda flow: flow.edit("flow.py", "    depth: int = 3", "    depth: int = 4"),
    "a class of constants edited": lambda flow: flow.edit("flow.py", 'TREE = "tree"', 'TREE = "trees"'),
    "an annotation edited": lambda flow: flow.edit(
        "flow.py", "folder: Directory", "folder: Directory | None"
    ),
    "data changed": lambda flow: flow.write("raw/b.csv", "a\n4\n"),
    "data gone": lambda flow: (flow.root / "raw/b.csv").unlink(),
    "a syntax error": lambda flow: flow.edit("settings.py", "OTHER = 1", "OTHER = ("),
    "a name that is not there": lambda flow: flow.edit("flow.py", "THRESHOLD):", "THRESH):"),
}


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS.keys())
def test_every_answer_is_the_same_with_and_without_the_kept_graph(
    flow: Project, situation: Callable[[Project], object]
) -> None:
    for question in (["status", "day=2024-02-29"], ["status", "note_it=true"]):
        asked(flow, *question)  # so that these are kept too
    situation(flow)

    with_it = {name: asked(flow, *question) for name, question in QUESTIONS.items()}
    without = {}
    for name, question in QUESTIONS.items():
        forget(flow)
        without[name] = asked(flow, *question)

    assert with_it == without


@pytest.mark.parametrize("situation", ["a stage edited", "a threshold edited", "data gone"])
def test_runs_end_the_same_with_and_without_the_kept_graph(
    flow: Project, tmp_path: Path, situation: str
) -> None:
    ended = []
    for name in ("with", "without"):
        project = flow.copied(tmp_path / name)
        asked(project, "status")
        SITUATIONS[situation](project)
        runs = []
        for arguments in (
            ["run"],
            ["run"],
            ["run", "day=2024-02-01", "note_it=true"],
            ["run", "--only", "merged"],
        ):
            if name == "without":
                forget(project)
            run = project.json(*arguments)
            runs.append((run.code, json.dumps(told(run.document)).replace(str(project.root), "the project")))
        found = asked(project, "runs")[1]["runs"]
        ended.append((runs, [(each["state"], each["parameters"], each["counts"]) for each in found]))

    assert ended[0] == ended[1]


# -- what is edited ---------------------------------------------------------------------------


def test_after_an_edit_of_a_stage_status_and_why_import_nothing_and_run_traces_again(flow: Project) -> None:
    flow.edit("flow.py", "total / 100", "total / 50")

    assert flow.json("status").words("cache")["part/train"] == "miss"
    assert flow.json("why", "part/train").code == 0
    assert imports(flow) == 0
    assert flow.json("run").words("cache")["part/train"] == "miss"
    assert imports(flow) == 1
    assert flow.json("status", "--exit-code").code == 0
    assert imports(flow) == 0


def test_after_an_edit_of_the_pipeline_it_is_traced_once(flow: Project) -> None:
    flow.edit("flow.py", "day - timedelta(days=number)", "day - timedelta(days=2 * number)")

    assert set(flow.json("status").words("cache").values()) >= {"miss"}
    assert imports(flow) == 1
    flow.json("status")
    assert imports(flow) == 0


def test_each_set_of_parameters_has_its_own_graph(flow: Project) -> None:
    flow.write("night.toml", "note_it = true\n")

    assert "warn" in flow.json("status", "--params", "night.toml").stages
    assert "warn" in flow.json("status", "--params", "night.toml").stages
    assert imports(flow) == 1
    flow.write("night.toml", "note_it = false\n")
    assert "warn" not in flow.json("status", "--params", "night.toml").stages
    assert "warn" not in flow.json("status").stages


# -- what may not be kept ---------------------------------------------------------------------

LOOKS = {
    "the environment": ("os.environ['NAMES'].split()", "pipeline reaches os.environ (flow.py:"),
    "a file": ("open('names').read().split()", "pipeline reaches open() (flow.py:"),
    "a folder": ("sorted(os.listdir('names.d'))", "pipeline reaches os.listdir (flow.py:"),
    "a glob": (
        "sorted(path.name for path in Path('names.d').glob('*'))",
        "pipeline reaches the attribute glob of a value",
    ),
    "a library": (
        "pyarrow.csv.read_csv('names.csv')['name'].to_pylist()",
        "pipeline reaches pyarrow.csv.read_csv (flow.py:",
    ),
    "a helper elsewhere": ("names()", "pipeline reaches os.environ (steps.py:"),
    "text that is run": ("eval(os.environ['TEXT'])", "pipeline reaches eval() (flow.py:"),
    "a module by a computed name": (
        "importlib.import_module(os.environ['MODULE']).NAMES",
        "pipeline reaches ",
    ),
    "getattr": ("getattr(os, os.environ['WHAT'])['NAMES'].split()", "pipeline reaches getattr() (flow.py:"),
}


def set_names(project: Project, *names: str) -> None:
    project.variables |= {
        "NAMES": " ".join(names),
        "TEXT": repr(list(names)),
        "MODULE": f"names_{len(names)}",
        "WHAT": "environ",
    }
    project.write("names", " ".join(names))
    project.write("names.csv", "name\n" + "\n".join(names) + "\n")
    project.write(f"names_{len(names)}.py", f"NAMES = {list(names)}\n")
    shutil.rmtree(project.root / "names.d", ignore_errors=True)
    for name in names:
        project.write(f"names.d/{name}", "")


@pytest.mark.parametrize(("expression", "words"), LOOKS.values(), ids=LOOKS.keys())
def test_a_pipeline_that_looks_around_is_traced_each_time(
    tmp_path: Path, expression: str, words: str
) -> None:
    project = project_of(
        tmp_path / "project",
        {
            "lineal.toml": 'executor = "inline"\n',
            "steps.py": "import os\n\ndef names():\n    return os.environ['NAMES'].split()\n",
            "flow.py": f"""
            import importlib
            import os
            from pathlib import Path
            import pyarrow.csv  # noqa: F401 - before processes are forked off
            from lineal import pipeline, stage
            from journal import note
            from steps import names

            note("import")

            @stage
            def one(name: str) -> str:
                return name

            @pipeline
            def flow():
                for name in {expression}:
                    one.options(name=name)(name)
            """,
        },
    )
    set_names(project, "a", "b")
    assert project.json("run").code == 0
    project.journal()

    before = asked(project, "status")[1]
    set_names(project, "a", "b", "c")
    after = asked(project, "status")[1]
    again = project.json("run").document

    assert [stage["id"] for stage in before["stages"]] == ["a", "b"]
    assert [stage["id"] for stage in after["stages"]] == ["a", "b", "c"]
    assert before["warnings"][0].startswith(f"graph traced anew: {words}")
    assert [stage["cache"] for stage in again["stages"]] == ["hit", "hit", "miss"]
    assert again["warnings"] == []
    assert imports(project) == 3


def test_a_graph_with_a_secret_is_never_written_down(tmp_path: Path) -> None:
    project = project_of(
        tmp_path / "project",
        {
            "lineal.toml": 'executor = "inline"\n',
            "flow.py": """
            from lineal import Secret, pipeline, stage
            from journal import note
            note("import")

            @stage
            def one(token: Secret, n: int = 1) -> int:
                return n

            @pipeline
            def flow(token: Secret):
                return one(token)
            """,
        },
    )
    for _ in range(2):
        assert project.json("run", "token=hunter2").code == 0
    warnings = project.json("status", "token=hunter2").document["warnings"]

    assert warnings == ["graph traced anew: a parameter is a secret"]
    assert "graph traced anew: a parameter is a secret" in project.command("status", "token=hunter2").out
    assert graphs(project) == []
    assert imports(project) == 4


IMPORTING = {
    "a variable that a stage declares": (
        "import os\nos.environ.setdefault('DEPTH', '3')\n", "importing the project changes os.environ (flow.py:2)"
    ),
    "a variable that a stage declares, out of sight": (
        "import tuned\n", "importing the project sets DEPTH, which one declares"
    ),
    "the search path": ("import sys\nsys.path.append('/nowhere')\n", "importing the project changes sys.path"),
    "the current folder": ("import os\nos.chdir('/')\n", "importing the project changes the current folder"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "told"), IMPORTING.values(), ids=IMPORTING.keys())
def test_a_project_whose_import_changes_what_planning_looks_at_is_imported_each_time(
    tmp_path: Path, text: str, told: str
) -> None:
    library = tmp_path / "site-packages"
    library.mkdir()
    (library / "tuned.py").write_text("import os\nos.environ['DEPTH'] = '3'\n")
    flow = f"{text}from lineal import pipeline, stage\n\n@stage(env=['DEPTH'])\ndef one() -> int:\n    return 1\n\n@pipeline\ndef flow():\n    return one()\n"
    project = project_of(tmp_path / "project", {"lineal.toml": 'executor = "inline"\n', "flow.py": flow})
    project.variables |= {"PYTHONPATH": str(library)} if "tuned" in text else {"DEPTH": "3"}

    assert project.json("run").code == 0
    for _ in range(2):
        status = project.json("status", "--exit-code")
        assert status.code == 0
        assert status.document["warnings"][0].startswith(f"graph traced anew: {told}")
    assert project.json("run").words("cache") == {"one": "hit"}


def test_a_difference_that_nothing_shows_is_an_error_once(tmp_path: Path) -> None:
    flow = "from lineal import pipeline, stage\n\ndef helper(): ...\n\n@stage\ndef one(name: str) -> int:\n    return 1\n\n@pipeline\ndef flow():\n    return one(f'{helper}')\n"
    project = project_of(
        tmp_path / "project", {"lineal.toml": 'executor = "inline"\n', "flow.py": flow}
    )  # the address of a function
    project.is_cold = True
    assert project.json("run").code == 0
    assert project.json("status", "--exit-code").code == 0  # as it is kept

    refused = project.json("run", "--force", "one")

    assert (refused.code, refused.error["type"]) == (2, "GraphChanged")
    assert "flow depends on something that Lineal does not see" in refused.error["message"]
    assert refused.error["message"].endswith("one is called otherwise")
    assert project.json("run").words("cache") == {"one": "miss"}
    assert project.json("status").document["warnings"][0].startswith("graph traced anew: it was another one")
    assert project.json("status").words("cache") == {"one": "miss"}


# -- the files --------------------------------------------------------------------------------


def test_asking_makes_nothing_in_a_project_that_has_not_run(tmp_path: Path) -> None:
    project = project_of(tmp_path / "project", FILES)

    assert project.json("status").code == 0
    assert not (project.root / ".lineal").exists()


def test_a_damaged_or_foreign_file_counts_as_none(flow: Project) -> None:
    (kept,) = graphs(flow)
    whole = kept.read_bytes()
    for data in (b"", whole[:-1], whole[:200] + b"\0" + whole[201:], b"x" * 1000, whole + b"\0"):
        kept.write_bytes(data)
        assert flow.json("status", "--exit-code").code == 0
        assert imports(flow) == 1
        assert flow.json("status", "--exit-code").code == 0
        assert imports(flow) == 0
    assert kept.read_bytes() == whole


def test_the_file_of_another_graph_counts_as_none(flow: Project) -> None:
    (kept,) = graphs(flow)
    flow.json("status", "note_it=true")
    (other,) = set(graphs(flow)) - {kept}
    other.write_bytes(kept.read_bytes())

    assert "warn" in flow.json("status", "note_it=true").stages
    assert "warn" in flow.json("status", "note_it=true").stages


def test_a_place_that_cannot_be_written_to_costs_time_only(flow: Project) -> None:
    forget(flow)
    (flow.root / ".lineal" / "graphs").write_text("in the way")

    for _ in range(2):
        assert flow.json("status", "--exit-code").code == 0
    assert imports(flow) == 2


def test_old_graphs_are_forgotten(flow: Project) -> None:
    folder = flow.root / ".lineal" / "graphs"
    for number in range(300):
        (folder / f"{number:032x}").write_bytes(b"")

    flow.json("status", "factor=2")

    assert len(graphs(flow)) == 256


def test_two_processes_at_once_do_not_disturb_each_other(flow: Project) -> None:
    for _ in range(2):
        forget(flow)
        started = [flow.start(*words, "--json") for words in (["status"], ["run"], ["status"], ["run"])]
        ended = [flow.ended(process) for process in started]
        assert [(one.code, set(one.words("cache").values())) for one in ended] == [(0, {"hit", None})] * 4
        flow.journal()
        assert flow.json("status", "--exit-code").code == 0
        assert imports(flow) == 0


def test_a_project_that_was_moved_is_traced_again(flow: Project, tmp_path: Path) -> None:
    moved = flow.copied(tmp_path / "moved")

    assert moved.json("status", "--exit-code").code == 0
    assert imports(moved) == 1


def test_code_beside_the_project_is_looked_at_each_time(tmp_path: Path) -> None:
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "names.py").write_text("NAMES = ['a']\n")
    flow = "from lineal import pipeline, stage\nfrom names import NAMES\nfrom journal import note\nnote('import')\n\n@stage\ndef one(name: str) -> str:\n    return name\n\n@pipeline\ndef flow():\n    for name in NAMES:\n        one.options(name=name)(name)\n"
    project = project_of(tmp_path / "project", {"lineal.toml": 'executor = "inline"\n', "flow.py": flow})
    project.variables["PYTHONPATH"] = str(beside)
    assert project.json("run").code == 0
    project.journal()

    assert list(project.json("status").stages) == ["a"]
    assert imports(project) == 0
    (beside / "names.py").write_text("NAMES = ['a', 'b']\n")
    assert list(project.json("status").stages) == ["a", "b"]
    assert imports(project) == 1


def test_another_version_of_a_library_is_traced_anew(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    info = site / "frames-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "frames.py").write_text("class Frame: ...\n")
    (info / "RECORD").write_text("frames.py,,\n")
    (info / "METADATA").write_text("Name: frames\nVersion: 1.0\n")
    flow = "from lineal import pipeline, stage\nfrom journal import note\nfrom frames import Frame\nnote('import')\n\n@stage\ndef one() -> dict[str, Frame]:\n    return {}\n\n@pipeline\ndef flow():\n    return one()\n"
    project = project_of(tmp_path / "project", {"lineal.toml": 'executor = "inline"\n', "flow.py": flow})
    project.variables["PYTHONPATH"] = str(site)
    assert project.json("run").code == 0
    project.journal()

    assert project.json("status", "--exit-code").code == 0
    assert imports(project) == 0
    info.rename(site / "frames-1.1.dist-info")
    project.json("status")
    assert imports(project) == 1


@pytest.mark.parametrize(("kind", "taken"), [("int", 0), ("Size", 2)])
def test_a_condition_on_a_large_result_takes_the_code_only_where_it_is_of_the_projects_classes(
    tmp_path: Path, kind: str, taken: int
) -> None:
    project = project_of(
        tmp_path / "project",
        {
            "lineal.toml": 'executor = "inline"\n',
            "flow.py": f"""
            from enum import IntEnum
            from lineal import pipeline, stage, when
            from journal import note
            note("import")

            class Size(IntEnum):
                LARGE = 7

            @stage
            def many() -> dict[str, {kind}]:
                return {{str(n): {kind}(7) for n in range(100_000)}}

            @stage
            def one() -> int:
                return 1

            @pipeline
            def flow():
                with when(many()["99999"] > 3):
                    one()
            """,
        },
    )
    assert project.json("run").code == 0
    project.journal()

    assert project.json("status", "--exit-code").words("cache") == {"many": "hit", "one": "hit"}
    assert project.json("run").words("cache") == {"many": "hit", "one": "hit"}
    assert imports(project) == taken
