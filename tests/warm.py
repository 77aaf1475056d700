"""Processes that have imported the program already, and fork for each command that a test gives.

A command then starts in a few milliseconds, where the imports take a quarter of a second of processor time, and
three times as much on S3. All else is as in a process of its own: it has the arguments, the folder, the variables
and the pipes that it would have had, and runs ``python -m lineal_cli`` from the beginning to its end.

Two things this cannot show: what the program imports when it starts; and what comes of it that no two processes
have the same hash seed and the same addresses. The second is shown as far as one command differs from the next:
two processes take turns, each with its own.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import os
import pickle
import pkgutil
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

# What these import is for those to have who use it, and what others are run with is for these.
_LEFT_OUT = {"arrow", "pandas", "polars", "dask", "testing", "dask_worker", "zygote", "replay", "deliver"}
_TURNS = 2

_idle: dict[bool, list[_Parent]] = {False: [], True: []}


def can_run(variables: Mapping[str, str]) -> bool:
    """Whether the interpreter itself would not have read any of these variables differently."""
    read = [
        name
        for name in {*variables, *os.environ}
        if name.startswith(("PYTHON", "LC_")) or name in ("LANG", "TZ")
    ]
    return all(variables.get(name) == os.environ.get(name) for name in read)


def run(
    arguments: Sequence[str], cwd: Path, variables: Mapping[str, str], timeout_seconds: float
) -> subprocess.CompletedProcess[str]:
    """What ``subprocess.run`` makes of ``python -m lineal_cli`` with these arguments."""
    idle = _idle[variables.get("LINEAL_STORE", "").startswith("s3://")]
    while len(idle) < _TURNS:
        idle.append(_Parent(on_s3=idle is _idle[True]))
    parent = idle.pop(0)
    done = parent.run(arguments, cwd, variables, timeout_seconds)
    idle.append(parent)
    return done


class _Parent:
    """A process that forks, one command at a time; it ends when this one does."""

    def __init__(self, *, on_s3: bool) -> None:
        self._line, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), *["s3"] * on_s3],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # never read: as those of a command, they are no places to seek in
                stderr=subprocess.PIPE,
            )
        self._answers = self._line.makefile("rb")

    def run(
        self, arguments: Sequence[str], cwd: Path, variables: Mapping[str, str], timeout_seconds: float
    ) -> subprocess.CompletedProcess[str]:
        outputs = [os.pipe(), os.pipe()]
        socket.send_fds(self._line, [b"!"], [write for _, write in outputs])
        self._line.sendall(pickle.dumps((list(arguments), str(cwd), dict(variables))))
        for _, write in outputs:
            os.close(write)
        pid = pickle.load(self._answers)
        try:
            texts = _read_all([read for read, _ in outputs], timeout_seconds)
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise
        return subprocess.CompletedProcess(list(arguments), pickle.load(self._answers), *texts)


def _read_all(descriptors: Sequence[int], timeout_seconds: float) -> Sequence[str]:
    """What comes there until nobody holds the other ends any more."""
    found = {descriptor: io.BytesIO() for descriptor in descriptors}
    until = time.monotonic() + timeout_seconds
    with selectors.DefaultSelector() as selector:
        for descriptor in descriptors:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            if (left := until - time.monotonic()) < 0:
                raise TimeoutError("a command, or a process that it left behind, holds its output open")
            for key, _ in selector.select(left):
                if data := os.read(key.fd, 1 << 16):
                    found[key.fd].write(data)
                else:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return [data.getvalue().decode().replace("\r\n", "\n") for data in found.values()]


def _import_all(*, on_s3: bool) -> None:
    for root in ("lineal_store", "lineal", "lineal_cli"):
        folders = importlib.import_module(root).__path__
        for module in pkgutil.walk_packages(folders, f"{root}."):
            if module.name.rpartition(".")[2] not in {*_LEFT_OUT, "__main__"}:
                importlib.import_module(module.name)
    if on_s3:
        importlib.import_module("lineal_store.backends.s3").preload()


def _serve(line: socket.socket) -> None:
    """Fork for each command that comes; in a child, run it and do not return."""
    gc.freeze()  # so that collections in the children do not copy what is shared
    requests = line.makefile("rb")
    while True:
        _, outputs, _, _ = socket.recv_fds(line, 1, 2)
        if not outputs:
            return
        arguments, cwd, variables = pickle.load(requests)
        pid = os.fork()
        if pid == 0:
            requests.close()
            line.close()
            _run(arguments, cwd, variables, outputs)
        for descriptor in outputs:
            os.close(descriptor)
        line.sendall(pickle.dumps(pid))
        _, status = os.waitpid(pid, 0)
        line.sendall(pickle.dumps(os.waitstatus_to_exitcode(status)))


def _run(arguments: list[str], cwd: str, variables: dict[str, str], outputs: Sequence[int]) -> None:
    for place, descriptor in enumerate(outputs, 1):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(variables)
    sys.path[0] = str(Path.cwd())
    sys.argv[1:] = arguments
    code: object = None
    try:
        runpy.run_module("lineal_cli", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - as the interpreter tells it
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    _import_all(on_s3="s3" in sys.argv[2:])
    _serve(socket.socket(fileno=int(sys.argv[1])))
