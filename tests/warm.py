"""Processes that have imported what is tested already, and fork for each command or call that a test gives.

A command then starts in a few milliseconds, where the imports take a quarter of a second of processor time, and
three times as much on S3. All else is as in a process of its own: it has the arguments, the folder, the variables
and the pipes that it would have had, and runs ``python -m lineal_cli`` from the beginning to its end. A call is
made by a fork of a small process: one of the tests' own, with all of them in memory, takes ten times as long.

Two things this cannot show: what the program imports when it starts; and what comes of it that no two processes
have the same hash seed and the same addresses. The second is shown as far as one command differs from the next:
two processes take turns, each with its own.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Modules that import one of these are for those to have who use it, and what other processes run is for these.
_LIBRARIES = ("apprise", "dask", "distributed", "numpy", "pandas", "polars", "pyarrow", "pytest")
_LEFT_OUT = {"dask_worker", "zygote", "replay", "deliver", "job", "__main__"}
_TURNS = 2

_idle: dict[tuple[str, ...], list[_Parent]] = {}


@dataclass(frozen=True)
class Ended:
    """How a forked process ended: its code, what it printed, and what was returned in it."""

    code: int
    out: bytes
    err: bytes
    answer: bytes


def can_run(variables: Mapping[str, str]) -> bool:
    """Whether the interpreter itself would not have read any of these variables differently."""
    read = [
        name
        for name in {*variables, *os.environ}
        if name.startswith(("PYTHON", "LC_")) or name in ("LANG", "TZ")
    ]
    return all(variables.get(name) == os.environ.get(name) for name in read)


def run(
    arguments: Sequence[str],
    cwd: Path,
    variables: Mapping[str, str],
    *,
    timeout_seconds: float = 120.0,
    imported: tuple[str, ...] = (),
) -> subprocess.CompletedProcess[str]:
    """What ``subprocess.run`` makes of ``python -m lineal_cli`` with these arguments.

    ``imported`` are modules that the project would import first of all.
    """
    if any(word.startswith("s3://") for word in (*arguments, variables.get("LINEAL_STORE", ""))):
        imported = (*imported, "s3fs")
    ended = _fork(imported, timeout_seconds, "_run_program", list(arguments), str(cwd), dict(variables))
    out, err = (data.decode().replace("\r\n", "\n") for data in (ended.out, ended.err))
    return subprocess.CompletedProcess(list(arguments), ended.code, out, err)


def call(function: str, *arguments: object, timeout_seconds: float = 120.0) -> Any:
    """What the function, ``module:name`` below tests/, returns in a process of its own; None where that dies."""
    answer = _fork((), timeout_seconds, "_call", function, arguments).answer
    return pickle.loads(answer) if answer else None


def _fork(imported: tuple[str, ...], timeout_seconds: float, *wanted: object) -> Ended:
    idle = _idle.setdefault(imported, [])
    while len(idle) < _TURNS:
        idle.append(_Parent(imported))
    parent = idle.pop(0)
    ended = parent.ask(timeout_seconds, *wanted)
    idle.append(parent)
    if ended is None:
        raise TimeoutError(f"{wanted}: it, or a process that it left behind, holds its output open")
    return ended


class _Parent:
    """A process that forks, for one at a time; it ends when this one does."""

    def __init__(self, imported: Sequence[str]) -> None:
        self._line, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), *imported],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # never read: as those of a command, they are no places to seek in
                stderr=subprocess.PIPE,
            )
        self._answers = self._line.makefile("rb")

    def ask(self, timeout_seconds: float, *wanted: object) -> Ended | None:
        """How a fork ended that did what is wanted: a function of this module, and its arguments. None after that time."""
        try:
            self._line.sendall(pickle.dumps((timeout_seconds, wanted)))
            ended = pickle.load(self._answers)
        except (EOFError, ConnectionError) as error:
            raise RuntimeError(f"the warm process died: {self._process.communicate()[1].decode()}") from error
        return None if ended is None else Ended(*ended)


# -- in the process that forks ------------------------------------------------------------------


def _serve(line: socket.socket) -> None:
    """Fork for each request that comes; in a child, do as it says and do not return."""
    gc.freeze()  # so that collections in the children do not copy what is shared
    requests = line.makefile("rb")
    while True:
        try:
            timeout_seconds, (name, *arguments) = pickle.load(requests)
        except EOFError:
            return
        pipes = [os.pipe() for _ in range(3)]
        pid = os.fork()
        if pid == 0:
            requests.close()
            line.close()
            for place, (read, write) in enumerate(pipes, 1):
                os.close(read)
                if place < 3:
                    os.dup2(write, place)
                    os.close(write)
            globals()[name](pipes[2][1], *arguments)
        for _, write in pipes:
            os.close(write)
        found = _read_all([read for read, _ in pipes], timeout_seconds)
        if found is None:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        ended = None if found is None else (os.waitstatus_to_exitcode(status), *found)
        line.sendall(pickle.dumps(ended))


def _read_all(descriptors: Sequence[int], timeout_seconds: float) -> Sequence[bytes] | None:
    """What comes there until nobody holds the other ends any more; None after ``timeout_seconds``."""
    found = {descriptor: bytearray() for descriptor in descriptors}
    until = time.monotonic() + timeout_seconds
    with selectors.DefaultSelector() as selector:
        for descriptor in descriptors:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map() and (left := until - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                if data := os.read(key.fd, 1 << 16):
                    found[key.fd] += data
                else:
                    selector.unregister(key.fd)
        is_over = not selector.get_map()
    for descriptor in descriptors:
        os.close(descriptor)
    return [bytes(data) for data in found.values()] if is_over else None


def _run_program(answer: int, arguments: list[str], cwd: str, variables: dict[str, str]) -> None:
    os.close(answer)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(variables)
    sys.path[0] = str(Path.cwd())
    sys.argv[1:] = arguments
    _end(lambda: runpy.run_module("lineal_cli", run_name="__main__", alter_sys=True))


def _call(answer: int, function: str, arguments: tuple[object, ...]) -> None:
    module, _, name = function.partition(":")

    def tell() -> None:
        data = pickle.dumps(getattr(importlib.import_module(module), name)(*arguments))
        with os.fdopen(answer, "wb") as stream:
            stream.write(data)

    _end(tell)


def _end(act: Callable[[], object]) -> None:
    """Do that, and end as a Python process does, without taking apart what this one shares with others."""
    code: object = None
    try:
        act()
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


def _import_all(names: Sequence[str]) -> None:
    absent = dict.fromkeys(_LIBRARIES)  # None, to Python: not to be imported
    sys.modules |= absent  # type: ignore[arg-type]
    for root in ("lineal_store", "lineal", "lineal_cli"):
        folders = importlib.import_module(root).__path__
        for module in pkgutil.walk_packages(folders, f"{root}."):
            if module.name.rpartition(".")[2] not in _LEFT_OUT:
                with contextlib.suppress(ModuleNotFoundError):
                    importlib.import_module(module.name)
    for library in absent:
        del sys.modules[library]
    for name in names:
        importlib.import_module(name)
    if "s3fs" in names:
        importlib.import_module("lineal_store.backends.s3").preload()


if __name__ == "__main__":
    _import_all(sys.argv[2:])
    _serve(socket.socket(fileno=int(sys.argv[1])))
