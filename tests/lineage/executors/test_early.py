"""A zygote that is started before the executor needs it: it is the one that is used, or it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from lineal.executors.early import Early
from lineal.executors.process import ProcessExecutor
from lineal.executors.protocol import Setup
from lineal.executors.testing import Workbench


@pytest.fixture
def early() -> Iterator[Early]:
    early = Early()
    yield early
    early.close()


@pytest.fixture
def bench(early: Early, tmp_path: Path) -> Iterator[Workbench]:
    bench = Workbench(tmp_path, lambda setup, store, slots: ProcessExecutor(setup, slots, early=early))
    yield bench
    bench.executor.close()


def started(early: Early) -> subprocess.Popen[bytes]:
    assert early._zygote is not None
    return early._zygote.process


def setup_of(bench: Workbench) -> Setup:
    """In the environment as it is now, for pytest changes it with each step."""
    variables = {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    bench.executor._setup = replace(bench.executor._setup, variables=variables)
    return bench.executor._setup


def test_a_zygote_that_was_started_early_makes_the_workers(early: Early, bench: Workbench) -> None:
    early.start(setup_of(bench).root)
    process = started(early)

    assert bench.bytes_of(bench.attempt("add", a=1, b=2)) == b"3"
    assert bench.executor._zygote is process


def test_one_that_has_begun_to_import_the_project_does_too(early: Early, bench: Workbench) -> None:
    early.prepare(setup_of(bench))
    process = started(early)

    assert bench.bytes_of(bench.attempt("add", a=1, b=2)) == b"3"
    assert bench.executor._zygote is process


def test_stages_find_the_variables_that_were_settled_after_it_was_started(
    early: Early, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GONE", "yes")
    early.start(setup_of(bench).root)
    process = started(early)
    monkeypatch.delenv("GONE")
    monkeypatch.setenv("MODE", "fast")
    setup_of(bench)

    found = bench.attempt("variables", names=["OMP_NUM_THREADS", "MODE", "GONE"])

    assert bench.bytes_of(found) == b'["1","fast",null]'
    assert bench.executor._zygote is process


def test_what_importing_the_project_has_set_here_it_has_set_there(
    early: Early, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    early.prepare(setup_of(bench))
    process = started(early)
    monkeypatch.setenv("MODE", "fast")
    setup_of(bench)

    assert bench.bytes_of(bench.attempt("add", a=1, b=2)) == b"3"
    assert bench.executor._zygote is process


@pytest.mark.parametrize("change", [{"PYTHONHASHSEED": "7"}, {"LC_ALL": "de_DE.UTF-8"}])
def test_other_variables_that_python_reads_when_it_starts_take_another_zygote(
    early: Early, bench: Workbench, change: dict[str, str]
) -> None:
    setup = setup_of(bench)
    early.start(setup.root)
    process = started(early)

    assert early.take(replace(setup, variables={**setup.variables, **change})) is None
    assert process.returncode == -signal.SIGKILL


def test_what_imports_other_code_is_not_used(early: Early, bench: Workbench) -> None:
    early.prepare(replace(setup_of(bench), modules=("no_such_module",)))
    process = started(early)

    assert bench.bytes_of(bench.attempt("add", a=1, b=2)) == b"3"
    assert bench.executor._zygote is not process


def test_one_that_has_died_is_not_used(early: Early, bench: Workbench) -> None:
    early.start(setup_of(bench).root)
    process = started(early)
    os.kill(process.pid, signal.SIGKILL)
    psutil.Process(process.pid).wait(30)

    assert bench.bytes_of(bench.attempt("add", a=1, b=2)) == b"3"
    assert bench.executor._zygote is not process


def test_one_that_nobody_has_taken_is_ended(early: Early, bench: Workbench) -> None:
    early.start(setup_of(bench).root)
    process = started(early)

    early.close()

    assert process.returncode == -signal.SIGKILL
