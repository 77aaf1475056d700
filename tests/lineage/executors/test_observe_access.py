"""What a stage looks at from outside, as far as Python tells."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from lineal.artifacts import File
from lineal.executors.observe_access import MOST_OF_A_KIND, AccessLog, taking_note
from lineal.executors.observe_places import Declared, Places

CODE = """
import gzip, json, linecache, os, pathlib, subprocess, traceback


def do(function, *arguments):
    return function(*arguments)


def read(path):
    with open(path) as stream:
        return stream.read()


def get(name):
    return os.environ.get(name)


def listed():
    return {**os.environ}


def traced():
    try:
        raise ValueError
    except ValueError:
        return traceback.format_exc()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "data.txt").write_text("1")
    (root / "code.py").write_text(CODE)
    return root


@pytest.fixture
def code(root: Path) -> ModuleType:
    """Code of the project."""
    module = ModuleType("code_of_the_project")
    exec(compile(CODE, str(root / "code.py"), "exec"), module.__dict__)  # noqa: S102
    return module


@pytest.fixture
def library(tmp_path: Path) -> Callable[..., object]:
    """``call(function, *arguments)`` in code that belongs neither to the project nor to the standard library."""
    space: dict[str, Callable[..., object]] = {}
    file = str(tmp_path / "lib" / "site-packages" / "library.py")
    exec(compile("def call(function, *arguments): return function(*arguments)", file, "exec"), space)  # noqa: S102
    return space["call"]


def log_for(root: Path, *reads: str, variables: tuple[str, ...] = (), scratch: str = "") -> AccessLog:
    return AccessLog(Places(str(root)), Declared(str(root), reads), variables, scratch=scratch)


def names(log: AccessLog, kind: str = "file") -> list[str]:
    return [access.name for access in log.accesses() if access.kind == kind]


def test_a_file_of_the_project_is_told_with_the_line_that_opens_it(root: Path, code: ModuleType) -> None:
    log = log_for(root)

    with taking_note(log):
        code.read(root / "data.txt")
        code.read(str(root / "data.txt"))

    (access,) = log.accesses()
    assert (access.kind, access.name, access.file) == ("file", "data.txt", str(root / "code.py"))
    assert CODE.splitlines()[access.line - 1].strip().startswith("with open(path)")


@pytest.mark.parametrize(
    "reads", [["data.txt"], ["."], ["*.txt"], ["d*"], ["**/*.txt"], ["nothing", "./data.txt"]], ids=str
)
def test_a_declared_file_is_not_told(root: Path, code: ModuleType, reads: list[str]) -> None:
    log = log_for(root, *reads)

    with taking_note(log):
        code.read(root / "data.txt")

    assert log.accesses() == ()


def test_patterns_do_not_cross_folders(root: Path) -> None:
    declared = Declared(str(root), ["parts/*.csv", "more/**/x.csv"])

    found = [
        str(root / name) in declared
        for name in (
            "parts/a.csv",
            "parts/b/a.csv",
            "more/x.csv",
            "more/a/b/x.csv",
            "parts.csv",
            "more/y.csv",
        )
    ]

    assert found == [True, False, True, True, False, False]


def test_a_file_outside_the_project_is_told_by_its_path(
    root: Path, code: ModuleType, library: Callable[..., object], tmp_path: Path
) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("")
    log = log_for(root)

    with taking_note(log):
        code.do(library, code.read, outside)

    assert names(log) == [str(outside)]


def test_what_only_libraries_read_everywhere_is_not_told(
    root: Path,
    code: ModuleType,
    library: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    for name in (".cache/fonts.json", ".config/library.toml"):
        (home / name).parent.mkdir(parents=True)
        (home / name).write_text("")
    monkeypatch.setenv("HOME", str(home))
    log = log_for(root)

    with taking_note(log):
        code.do(library, open, home / ".cache/fonts.json")
        code.do(library, open, "/etc/hostname") if Path("/etc/hostname").exists() else None
        code.read(home / ".config/library.toml")

    assert names(log) == [str(home / ".config/library.toml")]  # the project's own code opened that


def test_the_interpreters_own_files_are_not_told(root: Path, code: ModuleType) -> None:
    log = log_for(root)

    with taking_note(log):
        code.read(os.__file__)
        code.read(pytest.__file__)
        code.read(os.devnull)
        code.read("/proc/self/status") if Path("/proc/self/status").exists() else None
        code.traced()  # which reads the source for its lines

    assert log.accesses() == ()


def test_what_the_stage_made_itself_is_not_told(root: Path, code: ModuleType, tmp_path: Path) -> None:
    log = log_for(root, scratch=str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "input.csv").write_text("")

    def work() -> None:
        (root / "made.txt").write_text("1")
        code.read(root / "made.txt")
        code.read(tmp_path / "scratch" / "input.csv")
        with tempfile.NamedTemporaryFile() as stream:
            code.read(stream.name)
        folder = Path(tempfile.mkdtemp())
        subprocess.run([sys.executable, "-c", "open('x', 'w')"], cwd=folder, check=True)
        code.read(folder / "x")
        (root / "part").write_text("2")
        (root / "part").replace(root / "whole")
        code.read(root / "whole")

    with taking_note(log):
        work()

    assert log.accesses() == ()
    assert str(root / "made.txt") in log.written


def test_a_file_that_is_changed_in_place_is_read_first(root: Path, code: ModuleType) -> None:
    log = log_for(root)

    with taking_note(log), open(root / "data.txt", "r+") as stream:
        stream.write("2")

    assert names(log) == ["data.txt"]
    assert str(root / "data.txt") in log.written


def test_a_file_that_is_not_there_is_told_too(root: Path, code: ModuleType) -> None:
    log = log_for(root)

    with taking_note(log), pytest.raises(FileNotFoundError):
        code.read(root / "optional.toml")

    assert names(log) == ["optional.toml"]


def test_a_database_is_a_file(root: Path) -> None:
    with contextlib.closing(sqlite3.connect(root / "data.db")) as database:
        database.execute("create table t (x)")
    log = log_for(root)

    with taking_note(log):
        for name in (root / "data.db", f"file:{root}/data.db?mode=ro", ":memory:", root / "new.db"):
            sqlite3.connect(name, uri=str(name).startswith("file:")).close()

    assert names(log) == ["data.db"]


def test_a_name_that_is_no_text_is_told_as_text(root: Path, code: ModuleType) -> None:
    path = os.fsencode(root) + b"/caf\xe9.txt"
    with open(path, "w"):
        pass
    log = log_for(root)

    with taking_note(log):
        code.read(path)

    assert names(log) == ["caf\\udce9.txt"]


def test_there_is_an_end_to_what_is_told(root: Path, code: ModuleType) -> None:
    for number in range(MOST_OF_A_KIND + 5):
        (root / f"{number}.txt").write_text("")
    log = log_for(root)

    with taking_note(log):
        for number in range(MOST_OF_A_KIND + 5):
            code.read(root / f"{number}.txt")

    assert len(names(log)) == MOST_OF_A_KIND
    assert log.more == {"file"}


def test_variables_that_the_project_reads_are_told(
    root: Path, code: ModuleType, library: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MODE", "DECLARED", "FOR_LIBRARIES"):
        monkeypatch.setenv(name, "1")
    log = log_for(root, variables=("DECLARED",))

    with taking_note(log):
        for name in ("MODE", "MODE", "ABSENT", "DECLARED", "PATH", "LC_ALL", "PYTHONPATH", "OMP_NUM_THREADS"):
            code.get(name)
        code.do(os.getenv, "GETENV")
        code.do(os.path.expandvars, "$EXPANDED/x")
        code.do(lambda: None)
        code.do(library, os.getenv, "FOR_LIBRARIES")
        os.environ["OWN"] = "1"
        code.get("OWN")

    assert names(log, "variable") == ["ABSENT", "EXPANDED", "GETENV", "MODE"]


def test_the_environment_is_as_it_was_afterwards(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SET_INSIDE", raising=False)
    kind = type(os.environ._data)  # type: ignore[attr-defined]

    with taking_note(log_for(root)):
        os.environ["SET_INSIDE"] = "1"
        assert os.environb[b"SET_INSIDE"] == b"1"
        assert subprocess.check_output(["sh", "-c", "echo $SET_INSIDE"]) == b"1\n"

    assert os.environ.pop("SET_INSIDE") == "1"
    assert type(os.environ._data) is kind  # type: ignore[attr-defined]


def test_a_look_at_all_variables_is_one(
    root: Path, code: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODE", "1")
    log = log_for(root)

    with taking_note(log):
        assert code.listed()["MODE"] == "1"
        code.get("MODE")

    assert names(log, "variable") == ["*", "MODE"]


def test_the_environment_may_be_copied_for_a_child(root: Path, code: ModuleType) -> None:
    log = log_for(root)

    with taking_note(log):
        subprocess.run([sys.executable, "-c", ""], env=code.listed(), check=True)

    assert log.accesses() == ()
    assert log.children


@pytest.fixture
def port() -> Iterator[int]:
    """A server that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_connections_are_told_by_name(root: Path, code: ModuleType, port: int) -> None:
    log = log_for(root)

    def connect() -> None:
        socket.create_connection(("localhost", port)).close()

    with taking_note(log):
        thread = threading.Thread(target=connect)
        thread.start()
        thread.join()
        code.do(connect)

    assert names(log, "connection") == [f"localhost:{port}"]


@pytest.mark.parametrize(
    "start",
    [
        lambda: subprocess.run([sys.executable, "-c", ""], check=True),
        lambda: os.system("true"),
        lambda: os.waitpid(os.fork() or os._exit(0), 0),  # type: ignore[func-returns-value]
        lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0),
        lambda: _multiprocess("fork"),
        lambda: _multiprocess("spawn"),
    ],
    ids=["subprocess", "system", "fork", "posix_spawn", "multiprocessing by fork", "and by spawn"],
)
def test_child_processes_are_noticed(root: Path, start: Callable[[], object]) -> None:
    log = log_for(root)

    with taking_note(log):
        start()

    assert log.children


def _multiprocess(method: str) -> None:
    import multiprocessing

    process = multiprocessing.get_context(method).Process(target=print)
    process.start()
    process.join()


def test_no_child_process_is_none(root: Path, code: ModuleType) -> None:
    log = log_for(root)

    with taking_note(log):
        code.read(root / "data.txt")

    assert not log.children


def test_the_url_of_a_file_that_was_handed_out_is_told_by_its_parameter(root: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    held = File.held("s3://raw/2013.csv", scratch / "input" / "source" / "source.csv")
    log = log_for(root, scratch=str(scratch))

    with taking_note(log):
        assert repr(held) == "File('source.csv')"
        assert log.accesses() == ()
        assert held.url == "s3://raw/2013.csv"
        assert File("x.csv").url == "x.csv"

    assert names(log, "url") == ["source"]


def test_code_that_is_run_without_an_import_is_noted(root: Path, code: ModuleType) -> None:
    import runpy

    (root / "script.py").write_text("x = 1\n")
    log = log_for(root)

    with taking_note(log):
        code.do(runpy.run_path, str(root / "script.py"))

    assert list(log.ran) == [str(root / "script.py")]
    assert names(log) == ["script.py"]


def test_at_import_an_access_belongs_to_the_statement_that_was_running(root: Path, code: ModuleType) -> None:
    log = AccessLog(Places(str(root)), at_import=True)
    space = {"code": code, "root": root}

    with taking_note(log):
        exec(compile("\n\nx = code.read(root / 'data.txt')", str(root / "other.py"), "exec"), space)  # noqa: S102
        code.get("NOBODY_IMPORTS")

    (access,) = [access for access in log.accesses() if access.file]
    assert (access.name, access.file, access.line) == ("data.txt", str(root / "other.py"), 3)


def test_an_observer_that_fails_changes_nothing(
    root: Path, code: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_for(root)
    monkeypatch.setattr(log, "_note", lambda *arguments: 1 / 0)

    with taking_note(log):
        assert code.read(root / "data.txt") == "1"
