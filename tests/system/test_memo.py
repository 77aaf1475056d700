"""The memo of an unchanged run: it answers as the long way round would, or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from depth import one_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import Project

import lineal.api.graphs
import lineal.engine.grounds
import lineal.engine.session  # noqa: F401 - before processes are forked off
from lineal.graph.history import find_run, read_stages
from lineal_cli import app, start
from lineal_store import open_store
from lineal_store.errors import StoreUnavailable

FLOW = """
from dataclasses import dataclass

import helper
from lineal import Directory, File, Metrics, pipeline, stage, when
from steps import scaled


@stage
def load(source: File) -> list[int]:
    return [int(line) for line in source.path.read_text().split()]


@stage
def listed(folder: Directory) -> Directory:
    import lineal

    place = lineal.output("copy")
    place.mkdir()
    for path in folder.files():
        (place / path.name).write_bytes(path.read_bytes())
    return Directory(place)


@stage(env=["DEPTH"])
def train(numbers: list[int], factor: float) -> Metrics:
    return {"auc": scaled(sum(numbers), factor) + helper.ZERO}


@stage
def counted(copy: Directory, metrics: Metrics) -> int:
    return len(list(copy.files()))


@stage(effect=True)
def deploy(metrics: Metrics, target: str) -> str:
    return target


@pipeline
def flow(factor: float = 1.5, target: str = "here") -> int:
    metrics = train(load(File("raw/a.txt")), factor)
    with when(metrics["auc"] >= 1):
        deploy(metrics, target)
    with when(metrics["auc"] < 0):
        counted(listed(Directory("raw")), metrics)
    return counted(listed(Directory("raw")), metrics)
"""
FILES = {
    "lineal.toml": 'executor = "inline"\n',
    "flow.py": FLOW,
    "src/steps.py": "def scaled(number, factor):\n    return number * factor\n",
    "raw/a.txt": "1 2\n",
    "raw/b.txt": "3\n",
    "notes.md": "nothing\n",
}


@dataclass
class Flow(Project):
    """The project, a folder in which a library is installed, and where the words are typed."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.site = root.parent / "site-packages"

    def moved(self, root: Path) -> Flow:
        """A copy in another place."""
        shutil.copytree(self.root.parent, root.parent)
        return Flow(root)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Flow:
    flow = Flow(tmp_path_factory.mktemp("memo") / "all" / "project")
    for name, text in FILES.items():
        flow.write(name, text)
    (flow.site / "helper-1.0.dist-info").mkdir(parents=True)
    (flow.site / "helper.py").write_text("ZERO = 0\n")
    (flow.site / "helper-1.0.dist-info" / "METADATA").write_text("Name: helper\nVersion: 1.0\n")
    (flow.site / "helper-1.0.dist-info" / "RECORD").write_text("helper.py,,\n")
    return flow


@pytest.fixture(scope="module")
def ran(written: Flow, tmp_path_factory: pytest.TempPathFactory) -> Flow:
    flow = written.moved(tmp_path_factory.mktemp("ran") / "all" / "project")
    ask(flow)
    return flow


@pytest.fixture
def flow(ran: Flow, tmp_path: Path) -> Flow:
    """A pipeline that has run, and is known to find everything done."""
    flow = ran.moved(tmp_path / "all" / "project")
    forget(flow)  # what was kept for the other folder
    ask(flow)
    ask(flow)
    assert ask(flow).from_memo
    return flow


LATER_NS = 1_000_000_000
"""So much is the clock ahead that no file is of the last moment, as after a pause."""
# As in a process of its own: what is installed, and Lineal itself.
SEARCH = [
    path
    for path in sys.path
    if path.startswith((sys.prefix, sys.base_prefix))
    or Path(path, "lineal").is_dir()
    or Path(path, "lineal_store").is_dir()
    or Path(path, "lineal_cli").is_dir()
]


@dataclass(frozen=True)
class Said:
    code: int
    document: dict[str, Any]
    from_memo: bool
    run_id: str | None


def ask(flow: Flow, *words: str, clock_ns: int = LATER_NS, **variables: str) -> Said:
    """What ``lineal run`` says with these words."""
    code, text, from_memo = said(flow, "run", *words, "--json", clock_ns=clock_ns, **variables)
    document = json.loads(text)
    run_id = document.get("run_id")
    return Said(code, told(document), from_memo, run_id)


def said(flow: Flow, *words: str, clock_ns: int = LATER_NS, **variables: str) -> tuple[int, str, bool]:
    """How a command ends, what it says, and whether that is a memo's answer.

    By a process that is forked off this one, in a tenth of the time that a new one takes. Its clock is ``clock_ns`` ahead.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.dup2(write, 1)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            os.environ.clear()
            os.environ.update(flow.environment(variables))
            os.chdir(flow.root)
            sys.path[:] = [str(flow.site), *SEARCH]
            long_way, now_ns = app.main, time.time_ns
            thought: list[bool] = []
            app.main = lambda arguments: thought.append(True) or long_way(arguments)  # type: ignore[func-returns-value]
            time.time_ns = lambda: now_ns() + clock_ns
            code = start.main([*words])
            print("\n" + json.dumps(not thought), flush=True)
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as stream:
        text, _, from_memo = stream.read().rstrip().rpartition("\n")
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), text, json.loads(from_memo)


def told(document: dict[str, Any]) -> dict[str, Any]:
    """What was said, without what differs from one run to the next."""
    for part in (document, *document.get("stages", [])):
        part.pop("seconds", None)
    if document.get("run_id"):
        document["run_id"] = "a run"
    return document


def memos(flow: Flow) -> list[Path]:
    folder = flow.root / ".lineal" / "memos"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def forget(flow: Flow) -> None:
    shutil.rmtree(flow.root / ".lineal" / "memos", ignore_errors=True)


def recorded(flow: Flow, run_id: str | None) -> dict[str, Any]:
    """The run's record, without what is its own."""
    store = open_store(flow.store, create=False)
    run = find_run(store, str(run_id))
    assert run is not None
    fields = {name: getattr(run, name) for name in run.__struct_fields__}
    for name in ("run_id", "process", "started_at", "finished_at", "seconds"):
        assert fields.pop(name) is not None
    return {**fields, "stages": read_stages(store, run)}


# -- nothing changed --------------------------------------------------------------------------


def test_a_memo_says_and_records_what_the_long_way_does(flow: Flow) -> None:
    short = ask(flow)
    forget(flow)
    long = ask(flow)

    assert (short.from_memo, long.from_memo) == (True, False)
    assert short.document == long.document
    assert recorded(flow, short.run_id) == recorded(flow, long.run_id)
    assert {stage["cache"] for stage in short.document["stages"]} == {"hit", None}


def test_a_run_that_executed_is_followed_by_one_from_the_memo(flow: Flow) -> None:
    flow.edit("src/steps.py", "number * factor", "factor * number")
    ran = ask(flow)
    ask(flow)
    short = ask(flow)
    forget(flow)

    assert {stage["cache"] for stage in ran.document["stages"]} == {"hit", "miss", None}
    assert short.from_memo
    assert ask(flow).document == short.document


@pytest.mark.parametrize("skipped", [True, False])
def test_people_are_told_the_same(flow: Flow, skipped: bool) -> None:
    def lines() -> list[tuple[str, bool]]:
        answers = [said(flow, "run"), said(flow, "status", "--exit-code")]
        return [(re.sub(r"run \S+|[0-9.]+ s\b", "…", text), from_memo) for _, text, from_memo in answers]

    if not skipped:
        flow.edit("flow.py", '    with when(metrics["auc"] < 0):\n', "    if True:\n")
    for _ in range(2):
        said(flow, "run")
    short = lines()
    forget(flow)
    status = said(flow, "status", "--exit-code")
    run, _ = lines()

    assert [from_memo for _, from_memo in short] == [True, True]
    assert status == (0, short[1][0], False)
    assert run == (short[0][0], False)
    assert ("nothing to do, 7 stages unchanged" in short[0][0]) != skipped


def test_more_stages_than_a_record_holds_lie_on_the_same_pages(project: Project) -> None:
    flow = Flow(project.root)
    flow.write("lineal.toml", 'executor = "inline"\n')
    flow.write(
        "wide.py",
        """
        from lineal import pipeline, stage


        @stage
        def one(number: int) -> int:
            return number


        @pipeline
        def wide() -> None:
            for number in range(250):
                one(number)
        """,
    )
    ask(flow, "wide.py")
    short = ask(flow, "wide.py")  # the very next one
    forget(flow)
    long = ask(flow, "wide.py")

    assert (short.from_memo, long.from_memo) == (True, False)
    assert short.document == long.document
    assert recorded(flow, short.run_id) == recorded(flow, long.run_id)


# -- something changed ------------------------------------------------------------------------


def rewrite(path: Path, before: bytes, after: bytes) -> None:
    """A change that leaves size and times as they were, as far as anybody can."""
    assert len(before) == len(after)
    status, data = path.stat(), path.read_bytes()
    assert before in data
    path.write_bytes(data.replace(before, after))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def objects(flow: Flow, kind: str) -> list[Path]:
    return sorted(path for path in (flow.store / kind).rglob("*") if path.is_file())


def output_of(flow: Flow, stage: str) -> Path:
    run = next(iter(ask_documents(flow)))
    digest = next(one for one in run["stages"] if one["id"] == stage)["outputs"]["result"]["digest"][7:]
    return flow.store / "blobs" / digest[:2] / digest[2:]


def ask_documents(flow: Flow) -> list[dict[str, Any]]:
    return [ask(flow).document]


def truncate(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, 0)


def delete_environment(flow: Flow) -> None:
    store = open_store(flow.store, create=False)
    run = find_run(store, next(iter(store.runs.newest_first())))
    assert run is not None
    digest = run.environment[7:]
    (flow.store / "blobs" / digest[:2] / digest[2:]).unlink()


def retire(flow: Flow) -> None:
    """As `--force` in another process does."""
    store = open_store(flow.store, create=False)
    filed = next(iter(store.actions.list()))
    store.actions.retire(filed.key, filed.generation, "quarantined", by="a test", at=datetime.now(UTC))


def replace_store(flow: Flow) -> None:
    shutil.copytree(flow.store, flow.root.parent / "other", copy_function=shutil.copy)
    shutil.rmtree(flow.store)
    (flow.root.parent / "other").rename(flow.store)


def install_again(flow: Flow) -> None:
    (flow.site / "helper-1.0.dist-info").rename(flow.site / "helper-2.0.dist-info")


CHANGES: dict[str, Callable[[Flow], object]] = {
    "a source": lambda flow: flow.edit("src/steps.py", "*", "+"),
    "a source, as if it were not": lambda flow: rewrite(flow.root / "src/steps.py", b"*", b"+"),
    "a source was replaced by a copy": lambda flow: (
        shutil.copy2(flow.root / "flow.py", flow.root / "x.py")
        and (flow.root / "x.py").replace(flow.root / "flow.py")
    ),
    "a module shadows another": lambda flow: flow.write(
        "steps.py", "def scaled(number, factor):\n    return 0\n"
    ),
    "a package shadows a module": lambda flow: flow.write(
        "src/steps/__init__.py", "def scaled(a, b):\n    return 0\n"
    ),
    "a second pipeline": lambda flow: flow.write("sub/other.py", FLOW),
    "an input": lambda flow: flow.write("raw/a.txt", "1 2 3\n"),
    "an input, as if it were not": lambda flow: rewrite(flow.root / "raw/a.txt", b"1", b"9"),
    "an input is gone": lambda flow: (flow.root / "raw/a.txt").unlink(),
    "a folder has one file more": lambda flow: flow.write("raw/c.txt", "4\n"),
    "a setting": lambda flow: flow.write("lineal.toml", 'executor = "inline"\nnamespace = "other"\n'),
    "a personal setting": lambda flow: flow.write("lineal.local.toml", 'namespace = "mine"\n'),
    "a setting that is wrong": lambda flow: flow.write("lineal.toml", "executor = 1\n"),
    "another project file": lambda flow: flow.write("pyproject.toml", '[tool.lineal]\nnamespace = "other"\n'),
    "a file is called as the parameter is given": lambda flow: flow.write("factor=1.5", ""),
    "an output is gone": lambda flow: output_of(flow, "train").unlink(),
    "an output is empty": lambda flow: truncate(output_of(flow, "train")),
    "a file of a folder is gone": lambda flow: [
        path.unlink() for path in objects(flow, "blobs") if path.read_bytes() == b"3\n"
    ],
    "a list of files is damaged": lambda flow: [
        rewrite(path.chmod(0o644) or path, b"b.txt", b"c.txt")
        for path in objects(flow, "blobs")
        if b"b.txt" in path.read_bytes() and b"def " not in path.read_bytes() and path.stat().st_size < 400
    ],
    "the environment's record is gone": delete_environment,
    "a result is gone": lambda flow: objects(flow, "actions")[0].unlink(),
    "a result is damaged": lambda flow: truncate(objects(flow, "actions")[0]),
    "a result is retired": retire,
    "the effect had another outcome since": lambda flow: (
        ask(flow, "target=there") and ask(flow, "factor=2.5")
    ),
    "another version is installed": install_again,
    "a library's files": lambda flow: (flow.site / "helper-1.0.dist-info" / "new").write_text(""),
    "the store is gone": lambda flow: shutil.rmtree(flow.store),
    "another store is in its place": replace_store,
    "the memo is cut off": lambda flow: [os.truncate(path, path.stat().st_size - 1) for path in memos(flow)],
    "the memo is damaged": lambda flow: [
        path.write_bytes(path.read_bytes()[:-9] + b"x" + path.read_bytes()[-8:]) for path in memos(flow)
    ],
    "the memo is empty": lambda flow: [os.truncate(path, 0) for path in memos(flow)],
}


@pytest.mark.parametrize("change", CHANGES)
def test_after_any_change_the_memo_is_not_used(flow: Flow, change: str) -> None:
    words = ["factor=1.5"] if change == "a file is called as the parameter is given" else []
    for _ in range(2):
        ask(flow, *words)
    before = ask(flow, *words)
    assert before.from_memo

    CHANGES[change](flow)

    assert not ask(flow, *words).from_memo


VARIABLES = {
    "a declared variable": {"DEPTH": "2"},
    "the namespace": {"LINEAL_NAMESPACE": "other"},
    "the store": {"LINEAL_STORE": ".lineal/other"},
    "the executor": {"LINEAL_EXECUTOR": "process"},
    "a setting that there is none of": {"LINEAL_NAMESPAC": "x"},
    "the user": {"LOGNAME": "somebody-else"},
    "the language": {"LC_ALL": "tr_TR.UTF-8"},
    "the number of threads": {"OMP_NUM_THREADS": "3"},
}


@pytest.mark.parametrize("what", VARIABLES)
def test_in_another_environment_the_memo_is_not_used(flow: Flow, what: str) -> None:
    assert not ask(flow, **VARIABLES[what]).from_memo


def test_once_the_clock_is_set_back_the_memo_is_not_used(flow: Flow) -> None:
    assert not ask(flow, clock_ns=-3_600_000_000_000).from_memo
    assert ask(flow, clock_ns=3_600_000_000_000).from_memo


# -- what is not kept -------------------------------------------------------------------------


def test_what_was_changed_a_moment_ago_is_not_relied_on(flow: Flow) -> None:
    forget(flow)
    ask(flow, clock_ns=-10_000_000_000)  # all files are of the future

    assert not ask(flow).from_memo


@pytest.mark.parametrize(
    "words",
    [["--force", "load"], ["--only", "load"], ["--until", "train"], ["--dry-run"]],
    ids=lambda words: words[0],
)
def test_a_run_of_a_part_or_by_force_leaves_no_memo(flow: Flow, words: list[str]) -> None:
    forget(flow)
    ask(flow, *words)

    assert memos(flow) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("@stage\ndef load", "@stage(cache=False)\ndef load"),
        ("@stage\ndef load", '@stage(reads=["notes.md"])\ndef load'),
        ("    metrics = train", "    print()\n    metrics = train"),
    ],
    ids=["a stage that is never cached", "a stage that reads files on its own", "a graph that is not kept"],
)
def test_of_what_cannot_be_told_by_looking_there_is_no_memo(flow: Flow, before: str, after: str) -> None:
    forget(flow)
    flow.edit("flow.py", before, after)
    ask(flow)
    ask(flow)

    assert memos(flow) == []


@pytest.mark.parametrize(
    "setting", ["strict = true", "[[alerts]]\nto = 'log'\n"], ids=["strict", "somebody is to be told"]
)
def test_with_such_settings_there_is_no_memo(flow: Flow, setting: str) -> None:
    forget(flow)
    flow.write("lineal.toml", f'executor = "inline"\n{setting}\n')
    ask(flow)
    ask(flow)

    assert memos(flow) == []


def test_a_run_has_succeeded_whatever_becomes_of_its_memo(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("here", "the disk is full")

    forget(flow)
    monkeypatch.setattr("lineal.engine.grounds.find_grounds", fail)

    assert ask(flow).code == 0
    assert memos(flow) == []


def test_a_failure_leaves_no_memo(flow: Flow) -> None:
    forget(flow)
    flow.edit("src/steps.py", "number * factor", "number / 0")

    assert ask(flow).code == 1
    assert memos(flow) == []


# -- whatever happens -------------------------------------------------------------------------

UNDONE: dict[str, Callable[[Flow], object]] = {
    "nothing": lambda flow: None,
    "the source as it was": lambda flow: flow.write("src/steps.py", FILES["src/steps.py"]),
    "the input as it was": lambda flow: flow.write("raw/a.txt", FILES["raw/a.txt"]),
    "no personal setting": lambda flow: (flow.root / "lineal.local.toml").unlink(missing_ok=True),
    "the version as it was": lambda flow: (flow.site / "helper-2.0.dist-info").rename(
        flow.site / "helper-1.0.dist-info"
    ),
    "no shadow": lambda flow: (flow.root / "steps.py").unlink(missing_ok=True),
    "a run": lambda flow: ask(flow),
    "another deployment": lambda flow: ask(flow, "target=there"),
    "no memo": forget,
}
STEPS = {
    **{
        name: CHANGES[name]
        for name in (
            "a source",
            "an input",
            "a module shadows another",
            "a folder has one file more",
            "a personal setting",
            "another version is installed",
            "an output is empty",
            "a result is gone",
            "a result is damaged",
            "a result is retired",
            "another store is in its place",
            "the store is gone",
            "the memo is damaged",
        )
    },
    **UNDONE,
}


def possible(step: Callable[[Flow], object], flow: Flow) -> None:
    try:
        step(flow)
    except (
        AssertionError,
        OSError,
        StopIteration,
        LookupError,
    ):  # it is so already, or there is nothing to change
        pass


@settings(
    max_examples=one_of(5, 100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=6))
def test_whatever_was_done_before_a_memo_says_what_the_long_way_does(
    written: Flow, tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    flow = written.moved(tmp_path_factory.mktemp("steps") / "all" / "project")
    for _ in range(2):
        ask(flow)
    assert ask(flow).from_memo
    for step in steps:
        possible(STEPS[step], flow)
        short = ask(flow)
        if short.from_memo:
            kept = memos(flow)
            aside = flow.root / ".lineal" / "aside"
            kept[0].parent.rename(aside)
            long = ask(flow)
            assert not long.from_memo
            assert long.document == short.document, step
            assert recorded(flow, long.run_id) == recorded(flow, short.run_id), step
            forget(flow)
            aside.rename(kept[0].parent)
