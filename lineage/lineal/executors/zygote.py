"""The zygote: one process a run that imports the project once and forks a clean worker for each attempt.

It stays single-threaded, so that forking is safe, and runs nothing of the project but its imports.
Run as ``python -m lineal.executors.zygote FD``, with one end of a socket pair.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pickle
import selectors
import shutil
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lineal.artifacts import codec_for
from lineal.errors import LinealError
from lineal.events import Failure
from lineal.executors.attempt import failure_of, perform
from lineal.executors.code import import_recorded, stage_named
from lineal.executors.observe import Observer
from lineal.executors.observe_places import Places
from lineal.executors.protocol import Envelope, Outcome, Setup
from lineal.executors.wire import LOG_FILE, NO_OUTCOME, OUTCOME_FILE, Exited, Forked, NotImported, Spawn
from lineal.stages import Stage
from lineal.stages.signature import Signature
from lineal_store import Store, open_store
from lineal_store.store import preload


def main(fd: int) -> None:
    connection: Connection[Any, Any] = Connection(fd)
    setup: Setup = connection.recv()
    store = open_store(setup.store, create=False)
    try:
        observer = _import_project(setup)
        preload(setup.store)
    except BaseException as error:  # noqa: BLE001 — whatever the project's import raises is told to the engine
        connection.send(NotImported(_import_failure(error)))
        return
    _adopt_orphans()
    observer.prepare()
    gc.freeze()  # so that collections in the workers do not copy the zygote's pages
    _serve(connection, store, observer)


def _import_project(setup: Setup) -> Observer:
    loader = import_recorded(setup.sources, Path(setup.root), setup.import_roots, setup.in_place)
    observer = Observer(Places(setup.root, setup.in_place, setup.store), loader, besides=list(sys.modules))
    with observer.importing():
        _import_modules(setup)
    if "pandas" in sys.modules or "pyarrow" in sys.modules:
        import pyarrow.parquet  # noqa: F401  as for codecs
    return observer


def _import_modules(setup: Setup) -> None:
    for name in setup.modules:
        module = importlib.import_module(name)
        with contextlib.suppress(LinealError):  # what is wrong with a signature is the attempt's to say
            for stage in list(vars(module).values()):
                if isinstance(stage, Stage):
                    _import_codecs(stage.signature)
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


def _serve(connection: Connection[Any, Any], store: Store, observer: Observer) -> None:
    """Fork when asked, tell who exited; when the engine is gone, kill what still runs and leave."""
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the engine, which decides
    running: dict[int, str] = {}
    selector = selectors.DefaultSelector()
    selector.register(connection, selectors.EVENT_READ)
    selector.register(wake_read, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj == wake_read:
                os.read(wake_read, 4096)
                continue
            try:
                request: Spawn = connection.recv()
            except (EOFError, ConnectionError):
                _end_all(running)
                return
            pid = os.fork()
            if pid == 0:
                _work(request, store, observer, connection)
            running[pid] = request.attempt_id
            connection.send(Forked(request.attempt_id, pid))
        while running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid in running:
                connection.send(Exited(running.pop(pid), os.waitstatus_to_exitcode(status)))


def _adopt_orphans() -> None:
    """Become the parent of processes whose own has died (prctl(2), PR_SET_CHILD_SUBREAPER), where the system can."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def _end_all(workers: Iterable[int]) -> None:
    """Kill the workers and whatever stages have started and left behind."""
    for pid in workers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):  # when there is no child any more
        while True:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                import psutil

                for process in psutil.Process().children(recursive=True):
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
                os.waitpid(-1, 0)


def _work(request: Spawn, store: Store, observer: Observer, connection: Connection[Any, Any]) -> None:
    """Be the worker of one attempt: own session, output into the log file, outcome into a file. Never returns."""
    status = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        connection.close()
        scratch = Path(request.scratch)
        scratch.mkdir(exist_ok=True)
        log = os.open(scratch / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.environ["LINEAL_ATTEMPT"] = request.attempt_id
        try:
            envelope: Envelope = pickle.loads(request.envelope)
            outcome = perform(envelope, stage_named, store, observer)
        except BaseException as error:  # noqa: BLE001 — the worker ends here, and says why
            outcome = Outcome(request.attempt_id, failure=failure_of(error), raised=(type(error).__name__,))
        with suppress(LinealError):  # a worker's spool is of no use to anybody after it
            shutil.rmtree(store.backend.spool(), ignore_errors=True)
        status = _leave_outcome(outcome, scratch)
    finally:
        os._exit(status)


def _leave_outcome(outcome: Outcome, scratch: Path) -> int:
    """Write the outcome where the engine looks for it; the status to exit with."""
    part = scratch / (OUTCOME_FILE + ".part")
    try:
        sys.stdout.flush()
        sys.stderr.flush()
        part.write_bytes(pickle.dumps(outcome))
        part.rename(scratch / OUTCOME_FILE)
    except OSError:
        return NO_OUTCOME
    return 0


if __name__ == "__main__":
    main(int(sys.argv[1]))
