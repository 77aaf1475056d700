"""Whatever is typed, written or configured wrongly: one sentence, a hint, the right exit code, and nothing is harmed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import Ended, Project

FLOW = """
from datetime import date

from lineal import Directory, File, pipeline, stage


@stage
def load(source: File) -> list[int]:
    return [1]


@stage
def look(folder: Directory) -> int:
    return 1


@stage
def train(rows: list[int], rate: float = 0.1) -> float:
    return rate


@pipeline
def flow(day: date, rows: int, rate: float = 0.1) -> float:
    return train([rows], rate)


@pipeline
def branching() -> None:
    if train([1]) > 0.5:
        train([2])


@pipeline
def spelling() -> None:
    train([1], float(f"{train([1])}"))


@pipeline
def looping() -> None:
    for row in train([1]):
        pass


@pipeline
def ping() -> None:
    pong()


@pipeline
def pong() -> None:
    ping()


@pipeline
def no_file() -> None:
    load(File("raw/absent.csv"))


@pipeline
def no_folder() -> None:
    look(Directory("raw"))


@pipeline
def swapped() -> None:
    load(File("folder")), look(Directory("flow.py"))


@pipeline
def misfit() -> None:
    train("text")


@pipeline
def too_large() -> None:
    train(list(range(400_000)))
"""


@pytest.fixture
def flow(project: Project) -> Project:
    project.write("flow.py", FLOW)
    (project.root / "folder").mkdir()
    return project


def refused(project: Project, *words: str, code: int = 2, **variables: str) -> dict[str, str]:
    """The error document; it is all that is on stdout, it has a hint, and nothing was run."""
    ended = project.json(*words, **variables)
    assert ended.code == code, ended.out + ended.err
    assert set(ended.document) == {"error"}
    assert set(ended.error) == {"kind", "type", "message", "hint"}
    assert ended.error["hint"], ended.error
    assert "Traceback" not in ended.err
    assert ended.error["kind"] != "internal"
    return ended.error


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("run flw.py", "did you mean flow.py?"),
        ("run flow.py:flwo", "did you mean flow?"),
        ("run nowhere.module:flow", "there is no module nowhere.module"),
        ("run flow.py", "declares 11 pipelines"),
        ("run folder/", "there is no target folder/"),
        ("run flow.py:no_file --force laod", "Did you mean load?"),
        ("run flow.py:no_file --until laod", "Did you mean load?"),
        ("run flow.py:no_file --executor dusk", "Use process, inline or dask://host:8786."),
        ("run flow.py:no_file --parms x", "--params"),
        ("rnu flow.py", "did you mean run?"),
        ("why flow.py:no_file laod", "Did you mean load?"),
        ("runs --since yesterday", "2026-11-22"),
        ("show what-is-this", "is not an address"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest_one(flow: Project, words: str, told: str) -> None:
    error = refused(flow, *words.split())

    assert told in f"{error['message']}\n{error['hint']}"


def test_an_unknown_function_is_told_with_the_nearest_one(flow: Project) -> None:
    error = refused(flow, "fingerprint", "flow.py:laod", code=1)

    assert error["message"].endswith("has no function or stage laod; did you mean load?")


def test_all_mistakes_in_the_parameters_are_told_at_once(flow: Project) -> None:
    error = refused(flow, "run", "flow.py:flow", "day=2013-13-01", "raet=0.2", "rate=high")

    assert error["message"].splitlines()[0] == "4 mistakes in the parameters"
    assert 'day: expected date (2013-06-30), got "2013-13-01"' in error["message"]
    assert "rows: missing, int" in error["message"]
    assert 'rate: expected float, got "high"' in error["message"]
    assert "raet: no such parameter; did you mean rate?" in error["message"]
    assert "rows: int" in error["hint"]


@pytest.mark.parametrize(
    ("pipeline", "told", "hint"),
    [
        ("branching", "not decided yet", "with when"),
        ("spelling", "has no text yet", "pass it to a stage"),
        ("looping", "cannot be iterated over", "pass it to a stage"),
        ("ping", "levels deep: … -> ping -> pong", "stop somewhere"),
        ("misfit", "takes rows as list[int], not str", None),
    ],
)
def test_a_pipeline_that_cannot_be_traced_names_its_line(
    flow: Project, pipeline: str, told: str, hint: str | None
) -> None:
    ended = flow.json("run", f"flow.py:{pipeline}")

    assert ended.code == 2
    assert ended.error["message"].startswith(f"{flow.root / 'flow.py'}:")
    assert told in ended.error["message"]
    assert hint is None or hint in ended.error["hint"]
    assert not (flow.root / ".lineal").exists()


def test_a_source_that_cannot_be_taken_in_fails_its_stage_with_the_place_that_was_looked_at(
    flow: Project,
) -> None:
    absent = flow.json("run", "flow.py:no_file")
    no_folder = flow.json("run", "flow.py:no_folder")
    swapped = flow.json("run", "flow.py:swapped")
    text = flow.command("run", "flow.py:no_file")

    assert (absent.code, no_folder.code, swapped.code, text.code) == (1, 1, 1, 1)
    error = absent.stages["load"]["error"]
    assert (error["kind"], error["type"]) == ("contract", "SourceUnavailable")
    assert str(flow.root / "raw" / "absent.csv") in error["message"]
    assert "project's folder" in error["hint"]
    assert str(flow.root / "raw") in no_folder.stages["look"]["error"]["message"]
    assert swapped.stages["load"]["error"]["hint"] == "Use Directory(...)."
    assert swapped.stages["look"]["error"]["hint"] == "Use File(...)."
    assert "lineal logs" not in text.out  # it never began: there is nothing to be read
    assert "lineal run flow.py:no_file" in text.out


def test_a_constant_that_is_too_large_is_refused_with_a_way_out(flow: Project) -> None:
    run = flow.json("run", "flow.py:too_large")

    assert run.code == 1
    assert "as a File" in run.stages["train"]["error"]["hint"]


@pytest.mark.parametrize(
    ("configuration", "told"),
    [
        ('stroe = "x"', ["unknown key stroe; did you mean store?"]),
        ('store = 3\n[profiles.prod]\nnamspace = "x"', ["store: expected text", "did you mean namespace?"]),
        ("store = ", ["lineal.toml", "is not TOML"]),
        ('executor = "dusk"', ["there is no executor dusk"]),
        ('pipelines = ["flow.py:gone"]', ["no pipeline gone"]),
    ],
)
def test_the_configuration_is_checked_as_a_whole(flow: Project, configuration: str, told: list[str]) -> None:
    flow.write("lineal.toml", configuration)
    target = [] if "pipelines" in configuration else ["flow.py:no_file"]

    error = refused(flow, "run", *target)

    assert all(words in error["message"] for words in told)


def test_misspelt_variables_and_profiles_are_told(flow: Project) -> None:
    assert "LINEAL_STORE?" in refused(flow, "run", "flow.py:no_file", LINEAL_STROE="x")["message"]
    assert "nope" in refused(flow, "run", "flow.py:no_file", "--profile", "nope")["message"]


ORDINARY = """
import os

from journal import note
from lineal import pipeline, stage


@stage
def first() -> list[int]:
    note("first")
    return [1]


@stage
def second(numbers: list[int]) -> bytes:
    note("second")
    if os.environ.get("FILLS"):
        open(os.environ["FULL_SINCE"], "w").close()
    return b"x" * 1000


@pipeline
def ordinary() -> bytes:
    return second(first())
"""


@pytest.fixture
def ordinary(project: Project) -> Project:
    project.keep_journal()
    project.write("ordinary.py", ORDINARY)
    return project


def test_a_store_that_cannot_be_used_is_told_before_anything_runs(ordinary: Project, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "thesis.tex").write_text("")
    stories = {
        str(file / "store"): "a file stands where a directory should be",
        str(file): "a file stands where a directory should be",
        str(folder): "it holds thesis.tex",
        "ftp://host/store": "is no kind of store",
    }

    for url, told in stories.items():
        error = refused(ordinary, "run", code=5, LINEAL_STORE=url)
        assert (error["kind"], error["type"]) == ("store", "StoreUnavailable")
        assert told in error["message"]
    assert ordinary.journal() == []
    assert sorted(path.name for path in folder.iterdir()) == ["thesis.tex"]


def test_a_store_of_a_newer_format_is_left_alone(ordinary: Project) -> None:
    assert ordinary.json("run").code == 0
    header = ordinary.store / "lineal-store.json"
    header.chmod(0o644)
    header.write_text(json.dumps({**json.loads(header.read_text()), "format": 2}))
    before = sorted(ordinary.store.rglob("*"))

    for command in (["run"], ["status"], ["runs"], ["store", "verify"], ["trace", "ordinary.py"]):
        error = refused(ordinary, *command, code=5)
        assert "format 2" in error["message"]
        assert "Upgrade" in error["hint"]
    assert sorted(ordinary.store.rglob("*")) == before


def test_asking_makes_no_store(flow: Project) -> None:
    assert flow.json("runs").document == {"runs": []}
    assert flow.json("status", "flow.py:no_file").code == 0
    assert flow.json("show", "flow@latest").code == 1
    assert not flow.store.exists()


FULL_DISK = """
import errno
import os
import sys


def fail_on_the_full_disk(event, arguments):
    if event == "open":
        target, mode, flags = arguments
        writes = (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)) or set(mode or "") & set("wax+")
    elif event in ("os.mkdir", "os.link", "os.rename"):
        target, writes = arguments[event != "os.mkdir"], True
    else:
        return
    if writes and isinstance(target, (str, os.PathLike)) and os.path.exists(os.environ["FULL_SINCE"]):
        if os.path.abspath(target).startswith(os.environ["FULL_DISK"]):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))


sys.addaudithook(fail_on_the_full_disk)
"""


@pytest.mark.parametrize("disk", ["store", "store/spool", ""])
def test_a_disk_that_becomes_full_ends_the_run_and_the_next_one_goes_on(
    ordinary: Project, tmp_path: Path, disk: str
) -> None:
    """Every way of writing to the disk is made to fail as on a full one, in the engine and in the workers."""
    full = tmp_path / "full"
    full.mkdir()
    (full / "sitecustomize.py").write_text(FULL_DISK)
    ordinary.variables["FULL_DISK"] = str(ordinary.root / ".lineal" / disk)
    ordinary.variables["FULL_SINCE"] = str(full / "since")
    ordinary.variables["PYTHONPATH"] = str(full)

    filled = ordinary.json("run", FILLS="yes")
    still = ordinary.json("run")
    shutil.rmtree(full)
    after = ordinary.json("run")

    assert "Traceback" not in filled.err + still.err
    assert filled.code == 5
    assert filled.error["type"] == "StoreUnavailable"
    assert still.code == 5
    assert "room" in still.error["hint"]
    assert after.code == 0
    assert after.words("cache", "reason") == {"first": ("hit", "unchanged"), "second": ("miss", "new")}
    assert ordinary.value(after.document["outputs"]["result"]) == b"x" * 1000
    assert [word for word in ordinary.journal() if word == "first"] == ["first"]


def test_a_disk_that_is_full_from_the_start_runs_nothing(ordinary: Project, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "sitecustomize.py").write_text(FULL_DISK)
    here = {"FULL_DISK": str(ordinary.root / ".lineal"), "FULL_SINCE": str(full), "PYTHONPATH": str(full)}

    error = refused(ordinary, "run", code=5, **here)

    assert "disk is full" in error["message"]
    assert ordinary.journal() == []


def test_output_that_nobody_reads_is_no_error_of_lineals(ordinary: Project) -> None:
    assert ordinary.json("run").code == 0
    read, write = os.pipe()
    os.close(read)

    for command in (["runs"], ["runs", "--json"], ["--help"], ["run", "absent.py", "--json"]):
        ended = told_to(write, ordinary, *command)
        assert ended.code in (1, 2)
        assert "Traceback" not in ended.err
        assert "internal error" not in ended.err
    with open("/dev/full", "w") as full:
        ended = told_to(full.fileno(), ordinary, "run", "--json")
    assert ended.code == 1
    assert ended.err == "error: the output cannot be written: No space left on device\n"


def told_to(stdout: int, project: Project, *arguments: str) -> Ended:
    done = subprocess.run(
        [sys.executable, "-m", "lineal_cli", *arguments],
        check=False,
        cwd=project.root,
        env=project.environment({}),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Ended(done.returncode, "", done.stderr)


def test_whatever_the_project_prints_stdout_holds_one_document(project: Project) -> None:
    project.write(
        "flow.py",
        """
        import os
        import subprocess

        from lineal import pipeline, stage

        print("at import")
        os.write(1, b"below Python\\n")
        subprocess.run(["echo", "from a child"])


        @stage
        def one() -> int:
            print("in the stage")
            return 1


        @pipeline
        def flow() -> int:
            print("while tracing")
            return one()
        """,
    )

    for command in (["run"], ["run", "--executor", "inline", "--force", "one"], ["status"], ["dag"], ["why"]):
        ended = project.json(*command)
        assert ended.code == 0
        assert isinstance(json.loads(ended.out), dict)
        assert "at import" in ended.err


@pytest.mark.parametrize("timeout", ["soon", "0", "-1s", "1 week"])
def test_a_timeout_that_is_no_time_is_refused(flow: Project, timeout: str) -> None:
    error = refused(flow, "run", "flow.py:flow", f"--timeout={timeout}")

    assert error["message"] == f"--timeout {timeout} is no time"
