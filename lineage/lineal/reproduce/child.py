"""The process that executes stages again: started in its own session, and ended with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from lineal.errors import LinealError
from lineal.reproduce.job import Answer, Job, read_answer, write

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


def execute(job: Job, python: Path, folder: Path, search: tuple[Path, ...] = ()) -> Answer:
    """Have ``python`` execute ``job`` with what lies in ``folder``; ``search`` are folders in which modules are looked for first.

    What it prints goes to this process's stderr. When this is interrupted, or this process dies, it is stopped with all that
    it started. `ReplayFailed` where it says nothing.
    """
    write(folder / "job", job)
    (folder / "answer").unlink(missing_ok=True)
    process = subprocess.Popen(
        [str(python), "-m", "lineal.api.replay", str(folder)],
        cwd=job.root,
        env=_environment(os.environ, job.variables, search),
        stdin=subprocess.PIPE,  # which ends when this process does
        stdout=sys.stderr.fileno(),
        start_new_session=True,  # Ctrl-C reaches this process alone, which then stops that one
    )
    try:
        status = process.wait()
    except BaseException:
        _stop(process)
        raise
    finally:
        assert process.stdin is not None
        process.stdin.close()
    answer = read_answer(folder / "answer")
    if answer is None:
        raise ReplayFailed(status)
    return answer


def _stop(process: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C would: the run ends its attempts; whoever does not end in time is killed."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_GRACE_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment(
    own: Mapping[str, str], recorded: Mapping[str, str], search: tuple[Path, ...]
) -> dict[str, str]:
    """This process's environment without what could lead back to the user's project and store, and with what was recorded."""
    kept = {name: value for name, value in own.items() if not name.startswith(("LINEAL_", "PYTHON"))}
    paths = [*map(str, search), *_installed(own.get("PYTHONPATH", ""))]
    return {**kept, **({"PYTHONPATH": os.pathsep.join(paths)} if paths else {}), **recorded}


def _installed(path: str) -> list[str]:
    """The folders on a PYTHONPATH that hold installed distributions: a project's own sources are restored, not searched."""
    folders = [Path(entry).absolute() for entry in path.split(os.pathsep) if entry]
    return [str(folder) for folder in folders if any(folder.glob("*.dist-info"))]
