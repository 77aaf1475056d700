"""``lineal serve`` and its jobs as they are, but for two things: a job notes that it was run, and runs nothing; and clocks jump.

Run as ``python jumping.py serve …`` in place of ``python -m lineal_cli serve …``; what it starts for a job is this file too. Each job adds a
line to the file JOURNAL. The file CLOCK says how many seconds to add to the time: for libfaketime, where that is installed
(`variables`), so that everything in these processes sees it; else for whom asks the time in `lineal.api`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lineal.api import job, serve
from lineal.api.log import make_log
from lineal.automation.launching import Launcher
from lineal.state import Job

LIBRARIES = ("/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib/faketime")


def variables(clock: Path, journal: Path) -> dict[str, str]:
    """What these processes are given, so that ``clock`` counts."""
    common = {"JOURNAL": str(journal), "CLOCK": str(clock)}
    for folder in LIBRARIES:
        library = Path(folder, "libfaketimeMT.so.1")
        if library.exists():
            return {
                **common,
                "LD_PRELOAD": str(library),
                "FAKETIME_TIMESTAMP_FILE": str(clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
    return common


def set_clock(clock: Path, offset: timedelta) -> None:
    """From now on the time is so much later than it is."""
    written = clock.with_name(f"{clock.name}.new")
    written.write_text(f"{offset.total_seconds():+.0f}\n")
    written.rename(clock)


def main(arguments: Sequence[str]) -> int:
    if "LD_PRELOAD" not in os.environ:
        serve._now = job._now = _now
    if arguments[0] == "serve":
        from lineal_cli.app import main as command

        job.Launcher = _launcher  # type: ignore[assignment, misc]
        return command(list(arguments))
    job._run = _note
    root, folder, job_id, token = arguments
    return job.run_job(Path(root), Path(folder), int(job_id), token, make_log("json"))


def _launcher(command: Sequence[str], folder: Path, locks: Path, given: Mapping[str, str]) -> Launcher:
    return Launcher([sys.executable, __file__, *command[3:]], folder, locks, given)


def _note(root: Path, state: Any, it: Job, token: str, log: Any) -> tuple[Any, str, None]:
    descriptor = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{it.origin} {it.logical_date}\n".encode())
    os.close(descriptor)
    return "succeeded", "", None


def _now() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=float(Path(os.environ["CLOCK"]).read_text()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
