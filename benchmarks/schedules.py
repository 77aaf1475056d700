"""What one `lineal serve` with many schedules costs, and how late it is.

usage: python benchmarks/schedules.py [--schedules 500] [--seconds 30]

Three daemons, one after another: one whose schedules are all due next year (idle); one with a schedule due every second, whose runs are
real ones; and one whose schedules are all due at the same instant. Recorded is when the job is durable in the state, begun when its process
says so; both are seconds after it was due.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from lineal.state import State

FLOW = """
from lineal import pipeline, stage


@stage
def load() -> int:
    return 1


@pipeline
def flow() -> int:
    return load()
"""
SETTLES_SECONDS = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--schedules", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=30)
    given = parser.parse_args()
    many, seconds = given.schedules, given.seconds
    for measure in (idle, steady, burst):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "project")
            root.mkdir()
            (root / "flow.py").write_text(FLOW)
            measure(root, many, seconds)


def idle(root: Path, many: int, seconds: int) -> None:
    """Cron expressions in several zones, none of which is due soon."""
    zones = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")
    month = (datetime.now(UTC).month + 5) % 12 + 1
    configure(
        root,
        [
            {"cron": f"{n % 60} {n % 24} {n % 28 + 1} {month} *", "timezone": zones[n % len(zones)]}
            for n in range(many)
        ],
    )
    with daemon(root) as process:
        before = process.cpu_times()
        time.sleep(seconds)
        after = process.cpu_times()
        used = (after.user - before.user) + (after.system - before.system)
        print(f"idle, {many} schedules: {100 * used / seconds:.2f} % CPU, {memory(process)}")


def steady(root: Path, many: int, seconds: int) -> None:
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=SETTLES_SECONDS + 10)
    configure(
        root,
        [
            {"every": f"{many}s", "start": (start + timedelta(seconds=number)).isoformat()}
            for number in range(many)
        ],
    )
    with daemon(root) as process:
        time.sleep(max(0.0, (start - datetime.now(UTC)).total_seconds()) + seconds)
        told = memory(process)
    report(root, f"one due every second, for {seconds} s", told)


def burst(root: Path, many: int, seconds: int) -> None:
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=SETTLES_SECONDS + 10)
    configure(root, [{"every": "1d", "start": start.isoformat()}] * many)
    with daemon(root) as process:
        time.sleep(max(0.0, (start - datetime.now(UTC)).total_seconds()) + seconds)
        told = memory(process)
    report(root, f"{many} due at once, looked at {seconds} s later", told)


def configure(root: Path, tables: Sequence[dict[str, str]]) -> None:
    """Schedules of the project's pipeline, with these fields."""
    text = 'executor = "inline"\n'
    for number, table in enumerate(tables):
        fields = {"name": f"s{number}", "pipeline": "flow.py:flow", **table}
        text += "\n[[schedules]]\n" + "".join(f'{key} = "{value}"\n' for key, value in fields.items())
    (root / "lineal.toml").write_text(text)


@contextmanager
def daemon(root: Path) -> Iterator[psutil.Process]:
    """A daemon that has had time to settle down; killed in the end, with the runs that go on."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("LINEAL_")}
    with (root / "log.txt").open("wb") as log:
        started = subprocess.Popen(
            [sys.executable, __file__, "serve", "--log", "json"],
            cwd=root,
            env={**variables, "RECORDED": str(root / "recorded.txt")},
            stdout=log,
            stderr=log,
        )
        time.sleep(SETTLES_SECONDS)
        process = psutil.Process(started.pid)
        try:
            yield process
        finally:
            jobs = process.children(recursive=True)
            for each in (process, *jobs):
                with_signal(each, signal.SIGKILL)
            started.wait()


def with_signal(process: psutil.Process, number: int) -> None:
    if process.is_running():
        process.send_signal(number)


def memory(process: psutil.Process) -> str:
    return f"{process.memory_info().rss / 1e6:.0f} MB"


def report(root: Path, title: str, told: str) -> None:
    recorded = [json.loads(line) for line in (root / "recorded.txt").read_text().splitlines()]
    with State(root / ".lineal" / "state" / "state.sqlite") as state:
        begun = [(job.begun_at - job.due_at).total_seconds() for job in state.jobs() if job.begun_at]
    print(f"{title}: {told}")
    for name, values in (("recorded", recorded), ("begun", begun)):
        if len(values) > 1:
            cuts = statistics.quantiles(values, n=100, method="inclusive")
            print(f"  {name:8} {len(values):4}  p50 {cuts[49]:.3f} s  p99 {cuts[98]:.3f} s")


def serve(arguments: Sequence[str]) -> int:
    """The daemon as it is, with a note of how late each job was when it was durable."""
    from lineal_cli.app import main as command

    settle_all: Any = State.settle_all

    def noting(self: State, *given: Any) -> Any:
        settled = settle_all(self, *given)
        now = datetime.now(UTC)
        late = [(now - job.due_at).total_seconds() for added in settled for job in added or ()]
        with open(os.environ["RECORDED"], "a") as notes:
            notes.writelines(f"{seconds}\n" for seconds in late)
        return settled

    State.settle_all = noting  # type: ignore[method-assign]
    return command(list(arguments))


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:]) if sys.argv[1:2] == ["serve"] else main())
