"""The process that executes stages again: started in its own session, and ended with all that it started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

from lineal.errors import LinealError
from lineal.graph.records import Environment
from lineal.reproduce.environments import Interpreter, replay_variables
from lineal.reproduce.job import Answer, Job, read_answer, write
from lineal.reproduce.tolerance import Tolerance

_GRACE_SECONDS = 10.0


class ReplayFailed(LinealError):
    """The process that was to execute the stages ended without an answer."""

    kind = "killed"
    hint = "What it wrote last is above; with --keep its folder stays."

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
        how = f"signal {-self.status}" if self.status < 0 else f"exit code {self.status}"
        return f"the process that executes the stages ended with {how}, and said nothing"


def execute(
    job: Job,
    interpreter: Interpreter,
    environment: Environment | None,
    folder: Path,
    search: tuple[Path, ...] = (),
) -> Answer:
    """Have a process execute ``job`` with what lies in ``folder``; ``search`` are folders in which modules are looked for first.

    It finds the variables of the recorded ``environment``. When this is interrupted, or this process dies, it is stopped with all
    that it started. `ReplayFailed` where it says nothing.
    """
    write(folder / "job", job)
    (folder / "answer").unlink(missing_ok=True)
    status = _run(["lineal.api.replay", str(folder)], interpreter, environment, Path(job.root), search)
    answer = read_answer(folder / "answer")
    if answer is None:
        raise ReplayFailed(status)
    return answer


def compare_models(
    expected: Path,
    actual: Path,
    tolerance: Tolerance,
    interpreter: Interpreter,
    environment: Environment | None,
    folder: Path,
    search: tuple[Path, ...],
) -> tuple[bool, str] | None:
    """What `lineal.reproduce.models` says of two pickles; None where it says nothing. Runs what they name."""
    answer = folder / "models"
    answer.unlink(missing_ok=True)
    words = [str(expected), str(actual), repr(tolerance.rtol), repr(tolerance.atol), str(answer)]
    _run(["lineal.reproduce.models", *words], interpreter, environment, folder, search)
    try:
        holds, detail = json.loads(answer.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return holds, detail


def _run(
    words: list[str],
    interpreter: Interpreter,
    environment: Environment | None,
    folder: Path,
    search: tuple[Path, ...],
) -> int:
    """Run a module as a process of its own, to its end; what it prints goes to stderr. Returns its exit status."""
    process = subprocess.Popen(
        [str(interpreter.python), "-P", "-m", *words],
        cwd=folder,
        env=_environment(interpreter, environment, search),
        stdin=subprocess.PIPE,  # which ends when this process does
        stdout=2,  # the answer alone goes to stdout
        start_new_session=True,  # Ctrl-C reaches this process alone, which then stops that one
    )
    try:
        return process.wait()
    except BaseException:
        _stop(process)
        raise
    finally:
        assert process.stdin is not None
        process.stdin.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C would: the run ends its attempts; whoever does not end in time is killed."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_GRACE_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment(
    interpreter: Interpreter, environment: Environment | None, search: tuple[Path, ...]
) -> dict[str, str]:
    """This process's environment without what could lead back to the user's project and store, and with what was recorded."""
    found = dict(os.environ)
    if environment is not None:
        found = replay_variables(environment, interpreter.kind)
    paths = [*map(str, search), *_installed(found.pop("PYTHONPATH", ""))]
    kept = {name: text for name, text in found.items() if not name.startswith("LINEAL_")}
    return {**kept, **({"PYTHONPATH": os.pathsep.join(paths)} if paths else {})}


def _installed(path: str) -> list[str]:
    """The folders on a PYTHONPATH that hold installed distributions: a project's own sources are restored, not searched."""
    folders = [Path(entry).absolute() for entry in path.split(os.pathsep) if entry]
    return [str(folder) for folder in folders if any(folder.glob("*.dist-info"))]
