"""A real Dask scheduler and its workers on the loopback interface, in processes that do not outlive this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from s3_servers import free_port

_START_SECONDS = 60


class Cluster:
    """A scheduler at ``address``, and the processes of its workers, in the order of their start."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self._folder, self._variables = folder, {**os.environ, **variables}
        self.port = free_port()
        self.address = f"dask://127.0.0.1:{self.port}"
        self._scheduler = self._start(
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--no-dashboard",
            "--dashboard-address",
            ":0",
        )
        self.workers: list[subprocess.Popen[bytes]] = []

    def add_worker(
        self, *, threads: int, resources: str = "", cwd: Path | None = None
    ) -> subprocess.Popen[bytes]:
        options = ["--resources", resources] if resources else []
        worker = self._start(
            "worker", f"tcp://127.0.0.1:{self.port}", "--host", "127.0.0.1", "--nthreads", str(threads), "--no-nanny",
            "--no-dashboard", "--local-directory", str(self._folder), *options,
        )  # fmt: skip
        self.workers.append(worker)
        return worker

    def wait_for_workers(self, count: int) -> None:
        from distributed import Client

        with Client(f"tcp://127.0.0.1:{self.port}", timeout=_START_SECONDS, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=_START_SECONDS)

    def suspend(self) -> None:
        """Have the scheduler stand still."""
        self._scheduler.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._scheduler.send_signal(signal.SIGCONT)

    def close(self) -> None:
        for process in [*self.workers, self._scheduler]:
            process.kill()
            process.wait()

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{arguments[0]}-{time.monotonic_ns()}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]],
                env=self._variables,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


@contextmanager
def cluster(folder: Path, **variables: str) -> Iterator[Cluster]:
    """A cluster that has no workers yet."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Cluster(folder, variables)
    try:
        yield made
    finally:
        made.close()
