"""The zygote: one process a run that imports the project once and forks a clean worker for each attempt.

It stays single-threaded, so that forking is safe, and runs nothing of the project but its imports.
Run as ``python -m lineal.executors.zygote FD``, with one end of a socket pair.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import os
import pickle
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from msgspec.structs import replace as replace_fields

from lineal.artifacts import codec_for
from lineal.errors import LinealError
from lineal.events import Failure
from lineal.executors import threads
from lineal.executors.attempt import failure_of, perform
from lineal.executors.code import import_recorded, stage_named
from lineal.executors.observe import Observer
from lineal.executors.observe_places import Places
from lineal.executors.protocol import Begun, Envelope, Held, Outcome, Setup
from lineal.executors.wire import (
    KILL_GRACE_SECONDS,
    NO_OUTCOME,
    Exited,
    Forked,
    Imported,
    Line,
    NotImported,
    Order,
    Wanted,
    log_of,
)
from lineal.stages import Stage, stage
from lineal.stages.signature import Signature
from lineal_store import Digest, Store, open_store
from lineal_store.store import preload

_REHEARSALS = 20  # CPython has adapted code to how it is used by then (PEP 659)
_TICK_SECONDS = 0.1  # between two looks at who has exited
_SWEEP_SECONDS = 0.02  # between two looks at what exited workers have left


def main(fd: int) -> None:
    line = Line(socket.socket(fileno=fd))
    try:
        setup: Setup = line.receive()
    except EOFError:
        return
    os.environ.clear()  # it may have been started before all of them were known
    os.environ.update(setup.variables)
    store = open_store(setup.store, create=False)
    try:
        observer = _import_project(setup)
        preload(setup.store)
        threads.refuse_threads_of_polars()
    except BaseException as error:  # noqa: BLE001 — whatever the project's import raises is told to the engine
        line.send(NotImported(_import_failure(error)))
        return
    adopt_orphans = _way_to_adopt_orphans()
    adopt_orphans()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever was inherited
    faulthandler.enable()  # the last lines of a worker that crashes then say where
    rehearse = partial(_rehearse, _rehearsed_order(), store, observer)
    rehearse(_REHEARSALS)
    gc.freeze()  # so that collections in the workers do not copy the zygote's pages

    def be_worker(own: Line, at_leisure: bool) -> NoReturn:
        _work(own, store, observer, setup.bounded, adopt_orphans, rehearse if at_leisure else None)

    _serve(line, be_worker)


def _import_project(setup: Setup) -> Observer:
    loader = import_recorded(setup.sources, Path(setup.root), setup.import_roots, setup.in_place)
    observer = Observer(Places(setup.root, setup.in_place, setup.store), loader, besides=list(sys.modules))
    with observer.importing():
        _import_modules(setup)
    if not sys.modules.keys().isdisjoint({"pandas", "polars", "pyarrow"}):
        import pyarrow.parquet  # noqa: F401  as for codecs
    return observer


def _import_modules(setup: Setup) -> None:
    for name in setup.modules:
        module = importlib.import_module(name)
        with contextlib.suppress(LinealError):  # what is wrong with a signature is the attempt's to say
            for each in list(vars(module).values()):
                if isinstance(each, Stage):
                    _import_codecs(each.signature)
    if setup.main_module is not None:  # classes of a script call themselves __main__'s
        sys.modules["__main__"] = sys.modules[setup.main_module]


def _import_codecs(signature: Signature) -> None:
    """Have here what every worker would otherwise import for itself."""
    for port in (*signature.inputs.values(), *signature.outputs.ports.values()):
        codec_for(port.annotation)


def _import_failure(error: BaseException) -> Failure:
    found = failure_of(error)
    return Failure(
        found.kind,
        found.type,
        f"the project cannot be imported: {found.message}",
        found.hint,
        found.traceback,
    )


def _rehearsed_order() -> Order:
    data = b"0"
    held = Held(str(Digest.of(data)), "json", made_by=("", "", "result"), inline=data)
    return Order.of(Envelope("", "", "", "", "", {"value": held}, seed=0))


def _rehearse(order: Order, store: Store, observer: Observer, times: int) -> None:
    """Run some attempts of no account: code that has run is run faster, and then writes to less of the shared memory."""
    for _ in range(times):
        pickle.dumps(perform(pickle.loads(order.envelope), lambda *_: _same, store, observer))
    observer.prepare()


@stage
def _same(value: int) -> int:
    return value


def _serve(line: Line, be_worker: Callable[[Line, bool], NoReturn]) -> None:
    """Fork when asked, tell who exited; when the engine is gone, kill what still runs and leave."""
    poll = select.poll()
    poll.register(line, select.POLLIN)
    workers: set[int] = set()
    exited: dict[int, int] = {}
    leftovers = Leftovers()
    try:
        line.send(Imported())
        is_asked = True  # with the setup more may have come
        while True:
            if is_asked:
                for request in line.received():
                    _fork(request, line, workers, be_worker)
            exited |= _reap(workers)
            if exited and leftovers.are_gone(workers):
                line.send(Exited(exited))
                exited = {}
            is_asked = bool(poll.poll(1000 * (_SWEEP_SECONDS if exited else _TICK_SECONDS)))
    except (EOFError, OSError):
        _end_all(workers)


def _fork(
    request: Wanted, line: Line, workers: set[int], be_worker: Callable[[Line, bool], NoReturn]
) -> None:
    """Make ``workers``, and tell the executor of them, with its ends of the lines between them."""
    pids: list[int] = []
    not_theirs = [line.fileno()]  # what a worker closes
    for _ in range(request.count):
        end, ours = socket.socketpair()
        not_theirs.append(end.detach())
        own = Line(ours)
        pid = os.fork()
        if pid == 0:
            for descriptor in (
                not_theirs
            ):  # the objects that stand for them stay as they are: a write would copy their pages
                os.close(descriptor)
            be_worker(own, request.at_leisure)
        own.close()
        workers.add(pid)
        pids.append(pid)
    ends = not_theirs[1:]
    line.send(Forked(pids), ends)
    for descriptor in ends:
        os.close(descriptor)


def _reap(workers: set[int]) -> dict[int, int]:
    """How the workers ended that have exited since; others that were adopted are reaped as well."""
    exited = {}
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid in workers:
                workers.remove(pid)
                exited[pid] = os.waitstatus_to_exitcode(status)
    return exited


class Leftovers:
    """What stages have started and not ended: the zygote's children, once their worker has exited.

    While a worker lives it adopts what its descendants leave, so whoever is a child here and no worker belongs
    to an attempt that is over. It is asked to end, and killed after `KILL_GRACE_SECONDS`.
    """

    def __init__(self) -> None:
        self._asked: dict[int, float] = {}
        self._imported = frozenset(_children())  # what a module has started serves all attempts

    def are_gone(self, workers: Collection[int]) -> bool:
        """Whether none is left; those that are there are pressed on with."""
        found = [pid for pid in _children() if pid not in workers and pid not in self._imported]
        now = time.monotonic()
        self._asked = {pid: self._asked.get(pid, now) for pid in found}
        for pid, since in self._asked.items():
            with suppress(ProcessLookupError, PermissionError):
                if since == now:
                    os.kill(pid, signal.SIGTERM)
                elif now - since >= KILL_GRACE_SECONDS:
                    os.kill(pid, signal.SIGKILL)
        return not found


def _children() -> list[int]:
    pid = os.getpid()
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as children:
            return [int(child) for child in children.read().split()]
    except FileNotFoundError:
        import psutil

        return [child.pid for child in psutil.Process().children()]


def _way_to_adopt_orphans() -> Callable[[], object]:
    """What makes a process the parent of those whose own has died (prctl(2), PR_SET_CHILD_SUBREAPER), where it can."""
    if sys.platform != "linux":
        return lambda: None
    import ctypes

    return partial(ctypes.CDLL(None).prctl, 36, 1, 0, 0, 0)


def _end_all(workers: Collection[int]) -> None:
    """Kill the workers and whatever stages have started and left behind."""
    for pid in workers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in workers:
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
    # Mostly there is no child any more, and nobody waits for psutil's import.
    with suppress(ChildProcessError):
        while True:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                import psutil

                for process in psutil.Process().children(recursive=True):
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
                os.waitpid(-1, 0)


def _work(
    line: Line,
    store: Store,
    observer: Observer,
    bounded: Collection[str],
    adopt_orphans: Callable[[], object],
    rehearse: Callable[[int], object] | None,
) -> NoReturn:
    """Be a worker: own session, wait for the order of one attempt, output into the log file. Never returns.

    One that has the time rehearses once more: what it shares with the zygote is then copied while nobody waits for it.
    """
    status = 1
    try:
        os.setsid()
        adopt_orphans()
        if rehearse is not None:
            rehearse(1)
        try:
            order: Order = line.receive()
        except EOFError:  # no attempt was left for it
            os._exit(0)
        line.send(Begun(order.attempt_id))
        try:
            _redirect(log_of(order.scratch))
            if "cpu" in order.resources:
                threads.limit(max(1, int(order.resources["cpu"])), bounded)
            envelope: Envelope = pickle.loads(order.envelope)
            if envelope.scratch != order.scratch:
                envelope = replace_fields(envelope, scratch=order.scratch)
            store.blobs.trust(order.known)
            outcome = perform(envelope, stage_named, store, observer)
            if known := store.blobs.known:
                outcome = replace_fields(outcome, known=known)
        except BaseException as error:  # noqa: BLE001 — the worker ends here, and says why
            outcome = Outcome(order.attempt_id, failure=failure_of(error), raised=(type(error).__name__,))
        store.backend.discard_spool()  # it is of no use to anybody after this
        status = _hand_over(outcome, line)
    finally:
        os._exit(status)


def _redirect(path: str) -> None:
    """From now on what this process writes goes into the file."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)


def _hand_over(outcome: Outcome, line: Line) -> int:
    """Say how the attempt ended; the status to exit with."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
        line.send(outcome)
    except OSError:
        return NO_OUTCOME
    return 0


if __name__ == "__main__":
    main(int(sys.argv[1]))
