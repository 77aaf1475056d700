"""What every executor must do: a suite that each implementation runs.

A test module subclasses `ExecutorTests` and gives the fixture ``make_executor``. Needs pytest.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec.structs import replace as replace_fields

from lineal.artifacts.lists import entries_of, listed
from lineal.artifacts.values import encode_value
from lineal.executors.protocol import Begun, Captured, Envelope, Executor, Given, Held, Hidden, Outcome, Setup
from lineal_store import Digest, Store, open_store
from lineal_store.identity import LARGE_BYTES

STAGES = """
import os
import sys
import time
from typing import NamedTuple

from lineal import Directory, File, Secret, checkpoint_dir, output, stage


class Two(NamedTuple):
    left: int
    right: bytes


@stage
def add(a: int, b: int) -> int:
    return a + b


@stage
def both(a: int) -> Two:
    return Two(a, b"x" * a)


@stage
def weigh(pairs: list[Two]) -> list[int]:
    return [pair.left * 10 + len(pair.right) for pair in pairs]


@stage
def look(path: str, variable: str) -> int:
    open(path).close()
    os.environ.get(variable)
    return looked_after()


def looked_after() -> int:
    return 1


@stage
def start() -> int:
    return os.system("true")


@stage
def name_and_size(source: File) -> list[str | int]:
    return [source.path.name, len(source.path.read_bytes())]


@stage
def count_read(source: File) -> int:
    with open("/proc/self/io") as counts:  # what this process has read so far, on Linux
        return int(counts.readline().split()[1])


@stage
def double(source: int) -> int:
    return 2 * source


@stage
def write(text: str) -> File:
    path = output("made.txt")
    path.write_text(text)
    return File(path)


@stage
def folder(names: list[str]) -> Directory:
    path = output("folder")
    path.mkdir()
    for name in names:
        (path / name).write_text(name)
    return Directory(path)


@stage
def names(folder: Directory) -> list[str]:
    return sorted(path.name for path in folder.files())


@stage
def leave(path: str) -> int:
    with open(path, "w") as file:
        file.write("left behind")
    return 0


@stage
def fail(why: str) -> int:
    return deeper(why)


def deeper(why: str) -> int:
    raise RuntimeError(why)


@stage
def save(text: str) -> str:
    saved = checkpoint_dir() / "saved.txt"
    before = saved.read_text() if saved.exists() else ""
    saved.write_text(before + text)
    return before


def is_busy(error: Exception) -> bool:
    return "busy" in str(error)


@stage
def wrong() -> int:
    return "no number"


@stage
def draw() -> float:
    import random
    return random.random()


@stage
def unlock(password: Secret) -> int:
    return len(password.reveal())


@stage
def say(text: str) -> int:
    print(text)
    print("on stderr", file=sys.stderr)
    return 0


@stage
def leave_by_exit(status: int) -> int:
    os._exit(status)


@stage
def die() -> int:
    os.kill(os.getpid(), 9)
    return 0


@stage
def die_by(number: int) -> int:
    print("about to die", flush=True)
    os.kill(os.getpid(), number)
    return 0


@stage
def hold(megabytes: int, seconds: float) -> int:
    held = b"x" * (megabytes * 1_000_000)
    time.sleep(seconds)
    return len(held)


@stage
def run_out() -> int:
    raise MemoryError


@stage
def disturb(folder: str) -> int:
    import random
    os.chdir(folder)
    os.environ["DISTURBED"] = "yes"
    os.environ.pop("PATH", None)
    random.seed(5)
    return 0


@stage
def variables(names: list[str]) -> list[str | None]:
    return [os.environ.get(name) for name in names]


@stage
def threads() -> str:
    return os.environ["OMP_NUM_THREADS"]


@stage
def daemon(pid_file: str, wait: bool) -> int:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            import signal
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            with open(pid_file + ".part", "w") as file:
                file.write(str(os.getpid()))
            os.rename(pid_file + ".part", pid_file)
            time.sleep(600)
        os._exit(0)
    while wait or not os.path.exists(pid_file):
        time.sleep(0.01)
    return 0


@stage
def sleep(seconds: float) -> int:
    time.sleep(seconds)
    return 0


@stage
def spawn_and_sleep(pid_file: str) -> int:
    import subprocess
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(pid_file, "w") as file:
        file.write(str(child.pid))
    time.sleep(600)
    return 0
"""

Make = Callable[[Setup, Store, int], Executor]


class Workbench:
    """A store with the project's code in it, an executor, and the means to try one attempt."""

    def __init__(self, folder: Path, make: Make, slots: int = 2) -> None:
        self.root = folder / "project"
        self.root.mkdir()
        (self.root / "stages_for_tests.py").write_text(STAGES)
        self.store = open_store(folder / "store")
        self.scratch = folder / "scratch"
        sources = {"stages_for_tests.py": STAGES.encode()}
        setup = Setup(
            self.store.place,
            sources,
            str(self.root),
            (str(self.root),),
            ("stages_for_tests",),
            {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
            bounded=("OMP_NUM_THREADS",),
        )
        self.executor = make(setup, self.store, slots)
        self._attempts = 0
        self.reports: list[Begun | Captured | Outcome] = []

    def envelope(
        self, stage: str, *, seed: int = 1, resources: Mapping[str, float] | None = None, **arguments: Any
    ) -> Envelope:
        self._attempts += 1
        scratch = self.scratch / str(self._attempts)
        scratch.mkdir(parents=True)
        taken = {
            name: value if isinstance(value, (Held, Hidden)) else Given(encode_value(value))
            for name, value in arguments.items()
        }
        return Envelope(
            f"attempt-{self._attempts}",
            stage,
            "stages_for_tests",
            stage,
            str(scratch),
            taken,
            seed,
            resources=resources or {},
        )

    def submit(self, stage: str, **arguments: Any) -> str:
        envelope = self.envelope(stage, **arguments)
        self.executor.submit(envelope)
        return envelope.attempt_id

    def outcome(self, attempt_id: str, *, within_seconds: float = 60.0) -> Outcome:
        """Wait for the attempt's end, keeping every report on the way."""
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline:
            for report in self.reports:
                if isinstance(report, Outcome) and report.attempt_id == attempt_id:
                    return report
            self.reports += self.executor.wait(1.0)
        raise AssertionError(f"{attempt_id} has no outcome after {within_seconds} s")

    def attempt(self, stage: str, **arguments: Any) -> Outcome:
        return self.outcome(self.submit(stage, **arguments))

    def number_in(self, file: Path) -> int:
        """The number that a stage writes into ``file``, waited for."""
        deadline = time.monotonic() + 60
        while not (file.exists() and file.read_text()) and time.monotonic() < deadline:
            self.reports += self.executor.wait(0.05)
        return int(file.read_text())

    def held(self, data: bytes, type_: str, suffix: str = "") -> Held:
        return Held(str(self.store.blobs.put(data)), type_, (), None, suffix)

    def bytes_of(self, outcome: Outcome, output: str = "result") -> bytes:
        assert outcome.failure is None, outcome.failure
        digest = outcome.outputs[output].digest
        return outcome.carried.get(digest) or self.store.blobs.read(Digest.parse(digest))


class ExecutorTests:
    """The specification of an executor."""

    @pytest.fixture
    def make_executor(self) -> Make:
        raise AssertionError("give a fixture make_executor(setup, store, slots)")

    @pytest.fixture
    def bench(
        self, tmp_path: Path, make_executor: Make, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Workbench]:
        bench = Workbench(tmp_path, make_executor)
        monkeypatch.syspath_prepend(bench.root)
        yield bench
        bench.executor.close()

    def test_an_attempt_ends_with_outputs(self, bench: Workbench) -> None:
        assert bench.bytes_of(bench.attempt("add", a=1, b=2)) == b"3"

    def test_small_outputs_are_carried_and_large_ones_are_in_the_store(self, bench: Workbench) -> None:
        small, large = bench.attempt("write", text="kept"), bench.attempt("write", text="kept" * 10_000)

        assert list(small.carried.values()) == [b"kept"]
        assert not large.carried
        assert bench.bytes_of(large) == b"kept" * 10_000

    def test_what_a_record_holds_is_not_read_from_the_store(self, bench: Workbench) -> None:
        held = Held(str(Digest.of(b"40")), "json", inline=b"40")

        assert bench.bytes_of(bench.attempt("add", a=held, b=2)) == b"42"

    @pytest.mark.parametrize(
        ("data", "type_", "stage"), [(b"40", "json", "double"), (b"12", "file", "name_and_size")]
    )
    def test_an_input_may_be_carried_too(self, bench: Workbench, data: bytes, type_: str, stage: str) -> None:
        held = Held(str(Digest.of(data)), type_, (), None, ".txt" if type_ == "file" else "")
        envelope = replace_fields(bench.envelope(stage, source=held), carried={held.digest: data})
        bench.executor.submit(envelope)

        assert bench.bytes_of(bench.outcome(envelope.attempt_id)) in (b"80", b'["source.txt",2]')

    def test_the_work_is_told_apart_from_the_whole_attempt(self, bench: Workbench) -> None:
        outcome = bench.attempt("sleep", seconds=0.05)

        assert 0.05 <= outcome.work_seconds < outcome.seconds

    def test_what_fails_has_worked_too(self, bench: Workbench) -> None:
        outcome = bench.attempt("fail", why="it does")

        assert 0.0 < outcome.work_seconds < outcome.seconds

    def test_several_outputs_are_artifacts_of_their_own(self, bench: Workbench) -> None:
        outcome = bench.attempt("both", a=3)

        assert bench.bytes_of(outcome, "left") == b"3"
        assert bench.bytes_of(outcome, "right") == b"xxx"

    def test_an_input_is_read_from_the_store(self, bench: Workbench) -> None:
        assert bench.bytes_of(bench.attempt("add", a=bench.held(b"40", "json"), b=2)) == b"42"

    def test_an_outside_file_goes_by_the_parameters_name_and_its_own_ending(self, bench: Workbench) -> None:
        source = bench.held(b"12345", "file", ".csv.gz")

        assert bench.bytes_of(bench.attempt("name_and_size", source=source)) == b'["source.csv.gz",5]'

    def test_a_file_that_a_stage_makes_is_kept(self, bench: Workbench) -> None:
        assert bench.bytes_of(bench.attempt("write", text="kept")) == b"kept"

    def test_a_directory_goes_out_and_in(self, bench: Workbench) -> None:
        made = bench.attempt("folder", names=["b", "a"]).outputs["result"]

        listed = bench.attempt("names", folder=Held(made.digest, made.type))

        assert bench.bytes_of(listed) == b'["a","b"]'

    def test_a_list_of_what_the_calls_of_a_stage_returned_comes_in_as_values(self, bench: Workbench) -> None:
        calls = [bench.attempt("both", a=number) for number in (1, 2)]
        bench.store.blobs.put_many([data for call in calls for data in call.carried.values()])
        entries = (
            entry
            for place, call in enumerate(calls)
            for name, made in call.outputs.items()
            for entry in entries_of(
                place, name, made.type, "", Digest.parse(made.digest), made.size_bytes, None
            )
        )
        tree = bench.store.blobs.put(listed(entries).encode())

        pairs = Held(str(tree), "list", made_by=("stages_for_tests", "both", "result"))
        weighed = bench.attempt("weigh", pairs=pairs)

        assert bench.bytes_of(weighed) == b"[11,22]"

    def test_a_file_left_outside_the_scratch_folder_is_a_side_product(
        self, bench: Workbench, tmp_path: Path
    ) -> None:
        left = tmp_path / "left.txt"

        outcome = bench.attempt("leave", path=str(left))

        assert [(one.path, one.digest) for one in outcome.side_products] == [
            (str(left), str(Digest.of(b"left behind")))
        ]

    def test_what_a_stage_runs_and_looks_at_is_observed(self, bench: Workbench) -> None:
        path = bench.root / "some.txt"
        bench.attempt("add", a=1, b=2)  # so that the module has been imported
        assert bench.attempt("look", path=str(path), variable="SOME_MODE").observed is None  # it failed
        path.write_text("")

        observed = bench.attempt("look", path=str(path), variable="SOME_MODE").observed

        assert observed is not None
        assert [entry.name for entry in observed.entered] == ["look", "looked_after"]
        assert {entry.file for entry in observed.entered} == {str(bench.root / "stages_for_tests.py")}
        found = [(one.kind, one.name) for one in observed.accesses]
        assert found == [("file", "some.txt"), ("variable", "SOME_MODE")]
        assert observed.loaded == ()
        assert "stages_for_tests" in observed.present
        assert not observed.children

    def test_that_a_stage_starts_processes_is_observed(self, bench: Workbench) -> None:
        observed = bench.attempt("start").observed

        assert observed is not None
        assert observed.children

    def test_an_exception_is_a_failure_with_the_users_own_frames(self, bench: Workbench) -> None:
        outcome = bench.attempt("fail", why="no such luck")

        assert outcome.failure is not None
        assert (outcome.failure.kind, outcome.failure.type, outcome.failure.message) == (
            "exception",
            "RuntimeError",
            "no such luck",
        )
        assert "in deeper" in outcome.failure.traceback
        assert "executors" not in outcome.failure.traceback
        assert outcome.raised[:2] == ("RuntimeError", "Exception")
        assert not outcome.outputs

    @pytest.mark.parametrize(("why", "repeatable"), [("busy", True), ("broken", False)])
    def test_the_function_that_the_envelope_names_says_whether_to_try_again(
        self, bench: Workbench, why: str, repeatable: bool
    ) -> None:
        envelope = replace_fields(bench.envelope("fail", why=why), retry_if="stages_for_tests:is_busy")
        bench.executor.submit(envelope)

        assert bench.outcome(envelope.attempt_id).repeatable is repeatable

    def test_attempts_with_one_folder_for_checkpoints_find_there_what_was_saved(
        self, bench: Workbench, tmp_path: Path
    ) -> None:
        for saved, found in (("a", b'""'), ("b", b'"a"')):
            envelope = replace_fields(bench.envelope("save", text=saved), checkpoints=str(tmp_path / "kept"))
            bench.executor.submit(envelope)

            outcome = bench.outcome(envelope.attempt_id)
            assert bench.bytes_of(outcome) == found
            assert outcome.side_products == ()

    def test_a_value_that_is_not_what_was_declared_is_a_broken_contract(self, bench: Workbench) -> None:
        outcome = bench.attempt("wrong")

        assert outcome.failure is not None
        assert outcome.failure.kind == "contract"

    def test_random_generators_are_seeded_by_the_envelope(self, bench: Workbench) -> None:
        drawn = [bench.bytes_of(bench.attempt("draw", seed=seed)) for seed in (7, 7, 8)]

        assert drawn[0] == drawn[1] != drawn[2]

    def test_a_secret_reaches_the_stage(self, bench: Workbench) -> None:
        from lineal.artifacts import Secret

        assert bench.bytes_of(bench.attempt("unlock", password=Hidden(Secret("hunter2")))) == b"7"

    def test_an_input_that_is_gone_is_named(self, bench: Workbench) -> None:
        gone = Digest.of(b"never stored")

        assert bench.attempt("add", a=Held(str(gone), "json"), b=1).lost == str(gone)

    def test_an_input_whose_bytes_are_damaged_is_named(self, bench: Workbench) -> None:
        held = bench.held(b"40", "json")
        path = bench.store.backend.local_path(f"blobs/{held.digest[7:9]}/{held.digest[9:]}")
        assert path is not None
        path.chmod(0o644)
        path.write_bytes(b"41")

        assert bench.attempt("add", a=held, b=1).lost == held.digest

    def test_what_an_attempt_wrote_and_was_damaged_since_is_not_given_to_the_next(
        self, bench: Workbench
    ) -> None:
        made = bench.attempt("write", text="x" * 2 * LARGE_BYTES).outputs["result"].digest
        path = bench.store.blobs.fetch(Digest.parse(made))
        before = path.stat()
        path.chmod(0o644)
        path.write_bytes(b"x" * (2 * LARGE_BYTES - 1) + b"y")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

        assert bench.attempt("name_and_size", source=Held(made, "file")).lost == made

    def test_every_attempt_has_exactly_one_outcome(self, bench: Workbench) -> None:
        ids = [bench.submit("add", a=number, b=1) for number in range(6)]

        values = [int(bench.bytes_of(bench.outcome(attempt_id))) for attempt_id in ids]

        assert values == [1, 2, 3, 4, 5, 6]
        outcomes = [report for report in bench.reports if isinstance(report, Outcome)]
        assert sorted(outcome.attempt_id for outcome in outcomes) == sorted(ids)

    def test_a_stage_that_runs_out_of_memory_says_so(self, bench: Workbench) -> None:
        failure = bench.attempt("run_out").failure

        assert failure is not None
        assert (failure.kind, failure.type) == ("out_of_memory", "MemoryError")
        assert "resources=" in str(failure.hint)

    def test_what_an_attempt_does_to_its_process_reaches_nobody_else(
        self, bench: Workbench, tmp_path: Path
    ) -> None:
        before = Path.cwd(), dict(os.environ), random.getstate()

        assert bench.attempt("disturb", folder=str(tmp_path)).failure is None

        assert (Path.cwd(), dict(os.environ), random.getstate()) == before

    def test_waiting_for_nothing_returns_at_once(self, bench: Workbench) -> None:
        assert list(bench.executor.wait(0.0)) == []


class IsolatedExecutorTests(ExecutorTests):
    """What an executor with processes of its own must do besides."""

    def test_what_a_stage_prints_is_captured(self, bench: Workbench) -> None:
        outcome = bench.attempt("say", text="hello")

        text = "".join(report.text for report in bench.reports if isinstance(report, Captured))
        assert text.splitlines() == ["hello", "on stderr"]
        assert outcome.log is not None
        assert Path(outcome.log).read_text() == text

    @pytest.mark.parametrize("status", [0, 3])
    def test_a_stage_that_leaves_by_os_exit_is_a_killed_attempt(self, bench: Workbench, status: int) -> None:
        failure = bench.attempt("leave_by_exit", status=status).failure

        assert failure is not None
        assert failure.kind == "killed"
        assert f"status {status}" in failure.message

    def test_a_stage_that_is_killed_says_by_what(self, bench: Workbench) -> None:
        failure = bench.attempt("die").failure

        assert failure is not None
        assert (failure.kind, failure.type) == ("killed", "SIGKILL")

    @pytest.mark.parametrize("name", ["SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL"])
    def test_a_crash_says_by_which_signal_and_what_was_written_last(
        self, bench: Workbench, name: str
    ) -> None:
        failure = bench.attempt("die_by", number=int(getattr(signal, name))).failure

        assert failure is not None
        assert (failure.kind, failure.type) == ("killed", name)
        assert "about to die" in failure.traceback
        assert "in die_by" in failure.traceback

    def test_a_stage_that_uses_more_memory_than_it_declares_is_stopped(self, bench: Workbench) -> None:
        big = bench.submit("hold", megabytes=300, seconds=60.0, resources={"memory": 150e6})
        small = bench.submit("hold", megabytes=10, seconds=0.6, resources={"memory": 150e6})

        failure = bench.outcome(big).failure
        assert failure is not None
        assert failure.kind == "out_of_memory"
        assert "declares at most 0.15 GB" in failure.message
        assert bench.outcome(small).failure is None

    def test_a_stage_gets_as_many_threads_as_it_declares(self, bench: Workbench) -> None:
        assert bench.bytes_of(bench.attempt("threads")) == b'"1"'
        assert bench.bytes_of(bench.attempt("threads", resources={"cpu": 3})) == b'"3"'

    def test_a_daemon_that_ignores_the_request_to_end_does_not_outlive_a_killed_attempt(
        self, bench: Workbench, tmp_path: Path
    ) -> None:
        pid_file = tmp_path / "pid"
        attempt_id = bench.submit("daemon", pid_file=str(pid_file), wait=True)
        pid = bench.number_in(pid_file)

        bench.executor.kill(attempt_id)

        assert bench.outcome(attempt_id).failure is not None
        assert not _runs(pid)

    def test_a_daemon_does_not_outlive_an_attempt_that_ends_well(
        self, bench: Workbench, tmp_path: Path
    ) -> None:
        pid_file = tmp_path / "pid"
        assert bench.attempt("daemon", pid_file=str(pid_file), wait=False).failure is None

        with suppress(psutil.NoSuchProcess):  # it is gone already
            psutil.Process(bench.number_in(pid_file)).wait(30)

    def test_killing_does_not_wait_for_the_end(self, bench: Workbench, tmp_path: Path) -> None:
        pid_file = tmp_path / "pid"
        attempt_id = bench.submit("daemon", pid_file=str(pid_file), wait=True)
        pid = bench.number_in(pid_file)

        bench.executor.kill(attempt_id)

        assert _runs(pid)  # the request to end is ignored, and the time for it is not over

    def test_a_death_harms_no_other_attempt(self, bench: Workbench) -> None:
        dying, living = bench.submit("die"), bench.submit("add", a=1, b=1)

        assert bench.outcome(dying).failure is not None
        assert bench.bytes_of(bench.outcome(living)) == b"2"

    def test_killing_ends_the_attempt_and_the_processes_that_it_started(
        self, bench: Workbench, tmp_path: Path
    ) -> None:
        pid_file = tmp_path / "pid"
        attempt_id = bench.submit("spawn_and_sleep", pid_file=str(pid_file))
        pid = bench.number_in(pid_file)

        bench.executor.kill(attempt_id)

        failure = bench.outcome(attempt_id).failure
        assert failure is not None
        assert failure.kind == "killed"
        assert not _runs(pid)

    def test_closing_ends_what_still_runs(self, bench: Workbench) -> None:
        attempt_id = bench.submit("sleep", seconds=600.0)
        while not any(isinstance(report, Begun) for report in bench.reports):
            bench.reports += bench.executor.wait(1.0)

        started = time.monotonic()
        bench.executor.close()

        assert time.monotonic() - started < 30
        assert attempt_id == "attempt-1"


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
