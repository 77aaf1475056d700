from __future__ import annotations

import os
import signal
import sys
import time

import psutil
import pytest
from msgspec.structs import replace

from lineal.executors.process import ProcessExecutor
from lineal.executors.protocol import Begun, Held, Outcome
from lineal.executors.testing import IsolatedExecutorTests, Make, Workbench
from lineal.executors.wire import Line, Wanted
from lineal_store.identity import LARGE_BYTES


class TestProcessExecutor(IsolatedExecutorTests):
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def make_executor(self, clock) -> Make:
        return lambda setup, store, slots: ProcessExecutor(setup, slots, monotonic=clock)

    def test_code_that_cannot_be_imported_fails_every_attempt_with_the_reason(self, bench) -> None:
        bench.executor._setup = replace(bench.executor._setup, modules=("no_such_module",))

        failures = [bench.attempt("add", a=1, b=number).failure for number in range(2)]

        assert [failure.type for failure in failures] == ["ModuleNotFoundError"] * 2
        assert "cannot be imported" in failures[0].message

    def test_an_attempt_that_has_not_begun_can_be_killed(self, bench) -> None:
        attempt_id = bench.submit("sleep", seconds=600.0)

        bench.executor.kill(attempt_id)

        assert bench.outcome(attempt_id).failure.type == "NotBegun"
        assert not any(isinstance(report, Begun) for report in bench.reports)

    def test_an_attempt_that_loses_its_zygote_was_killed_and_the_next_has_another(self, bench) -> None:
        attempt_id = begun(bench, "sleep", seconds=600.0)
        os.kill(zygote(bench), signal.SIGKILL)

        outcome = bench.outcome(attempt_id)

        assert (outcome.failure.kind, outcome.repeatable) == ("killed", True)
        assert "parent process was killed by SIGKILL" in outcome.failure.message
        assert bench.bytes_of(bench.attempt("add", a=1, b=1)) == b"2"

    def test_how_a_zygote_ends_is_told_though_it_closes_its_files_first(self, bench) -> None:
        ending = b"import os, time; os.closerange(3, 1000); time.sleep(0.3); os._exit(7)"
        bench.executor._setup = replace(bench.executor._setup, sources={"stages_for_tests.py": ending})

        failure = bench.attempt("add", a=1, b=1).failure

        assert "parent process ended with status 7" in failure.message

    def test_what_had_not_begun_when_the_zygote_died_is_done_by_another(self, bench) -> None:
        bench.attempt("add", a=1, b=1)
        with stopped(zygote(bench)):
            for worker in psutil.Process(zygote(bench)).children():
                worker.kill()  # so that nobody waits for an attempt
            waiting = bench.submit("add", a=1, b=2)
            os.kill(zygote(bench), signal.SIGKILL)

        assert bench.bytes_of(bench.outcome(waiting)) == b"3"

    def test_a_zygote_that_is_stopped_holds_up_nobody_for_long(self, bench, clock) -> None:
        begun(bench, "sleep", seconds=600.0)
        wait_for_spares(bench)
        first = zygote(bench)
        os.kill(first, signal.SIGSTOP)

        spares = len(bench.executor._spares)
        ids = [bench.submit("add", a=1, b=number) for number in range(spares + 2)]
        values = [int(bench.bytes_of(bench.outcome(one))) for one in ids[:spares]]
        clock.seconds += 31
        values += [int(bench.bytes_of(bench.outcome(one))) for one in ids[spares:]]

        assert values == [*range(1, spares + 3)]
        assert zygote(bench) != first
        assert not psutil.pid_exists(first)

    def test_a_worker_that_is_stopped_before_it_begins_is_replaced(self, bench, clock) -> None:
        begun(bench, "sleep", seconds=600.0)
        wait_for_spares(bench)
        for worker in psutil.Process(zygote(bench)).children():
            worker.suspend()

        waiting = bench.submit("add", a=1, b=2)
        clock.seconds += 31

        assert bench.bytes_of(bench.outcome(waiting)) == b"3"

    def test_a_project_whose_import_never_ends_is_told(self, tmp_path, monkeypatch) -> None:
        bench = Workbench(
            tmp_path, lambda setup, store, slots: ProcessExecutor(setup, slots, import_seconds=0.5)
        )
        slow = replace(
            bench.executor._setup, sources={"stages_for_tests.py": b"import time; time.sleep(600)"}
        )
        bench.executor._setup = slow

        outcome = bench.attempt("add", a=1, b=1)
        bench.executor.close()

        assert (outcome.failure.kind, outcome.failure.type) == ("killed", "NotBegun")
        assert "when it is imported" in outcome.failure.hint

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="who has read how much is told by Linux")
    def test_what_a_worker_has_written_the_next_does_not_hash(self, bench) -> None:
        text = "x" * 2 * LARGE_BYTES
        made = bench.attempt("write", text=text).outputs["result"]
        given = bench.held(b"y" * len(text), "file")

        of_a_worker, of_the_engine = (
            int(bench.bytes_of(bench.attempt("count_read", source=held)))
            for held in (Held(made.digest, "file"), given)
        )

        assert of_a_worker < LARGE_BYTES
        assert of_the_engine >= len(text)

    def test_an_attempt_is_reported_as_begun_before_it_ends(self, bench) -> None:
        attempt_id = bench.submit("add", a=1, b=1)
        bench.outcome(attempt_id)

        mine = [report for report in bench.reports if isinstance(report, Begun | Outcome)]
        assert [type(report) for report in mine] == [Begun, Outcome]

    def test_workers_rehearse_while_they_wait_where_a_slot_is_free_and_nobody_notices(
        self, bench, monkeypatch
    ) -> None:
        asked, send = [], Line.send

        def noted(line: Line, message: object, *beside: object) -> None:
            asked.extend([message.at_leisure] if isinstance(message, Wanted) else [])
            send(line, message, *beside)

        monkeypatch.setattr(Line, "send", noted)
        alone = [bench.attempt("draw", seed=7) for _ in range(8)]
        first, *later = asked
        begun(bench, "sleep", seconds=600.0)
        asked.clear()
        beside_another = [bench.attempt("draw", seed=7) for _ in range(8)]

        assert not first  # an attempt waits
        assert later
        assert all(later)
        assert asked
        assert not any(asked)
        outcomes = [*alone, *beside_another]
        assert len({bench.bytes_of(outcome) for outcome in outcomes}) == 1
        assert all(outcome.observed == alone[0].observed for outcome in outcomes)

    def test_what_a_module_has_started_serves_all_attempts(self, bench) -> None:
        pid_file = bench.root / "helper.pid"
        helper = (
            "import subprocess\n"
            "helper = subprocess.Popen(['sleep', '600'])\n"
            f"open({str(pid_file)!r}, 'w').write(str(helper.pid))\n"
        )
        old = bench.executor._setup
        sources = {**old.sources, "helper.py": helper.encode()}
        bench.executor._setup = replace(old, sources=sources, modules=(*old.modules, "helper"))

        bench.attempt("die")  # after which what is left is looked for
        assert bench.bytes_of(bench.attempt("add", a=1, b=1)) == b"2"

        process = psutil.Process(bench.number_in(pid_file))
        assert process.is_running()
        bench.executor.close()
        assert psutil.wait_procs([process], timeout=30)[0]

    def test_closing_leaves_no_process_behind(self, bench) -> None:
        begun(bench, "spawn_and_sleep", pid_file=str(bench.root / "pid"))
        family = psutil.Process(zygote(bench)).children(recursive=True)

        bench.executor.close()

        _, alive = psutil.wait_procs(family, timeout=30)
        assert not alive


def begun(bench: Workbench, stage: str, **arguments: object) -> str:
    """The id of an attempt that runs."""
    attempt_id = bench.submit(stage, **arguments)
    deadline = time.monotonic() + 60
    while Begun(attempt_id) not in bench.reports and time.monotonic() < deadline:
        bench.reports += bench.executor.wait(0.1)
    return attempt_id


def wait_for_spares(bench: Workbench) -> None:
    """While an attempt runs: until nothing is on its way from the zygote, and workers wait for the next ones."""
    deadline = time.monotonic() + 60
    while (bench.executor._wanted or len(bench.executor._spares) < 2) and time.monotonic() < deadline:
        bench.reports += bench.executor.wait(0.1)


def zygote(bench: Workbench) -> int:
    return bench.executor._zygote.pid


class Clock:
    """A clock that runs ahead of the machine's by so many ``seconds``."""

    seconds = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.seconds


class stopped:  # noqa: N801
    """Inside the block the process stands still."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def __enter__(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        if psutil.pid_exists(self._pid):
            os.kill(self._pid, signal.SIGCONT)
