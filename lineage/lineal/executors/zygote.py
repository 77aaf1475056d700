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
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lineal.artifacts import codec_for
from lineal.errors import LinealError
from lineal.events import Failure
from lineal.executors.attempt import failure_of, perform
from lineal.executors.code import import_recorded, stage_named
from lineal.executors.protocol import Envelope, Outcome, Setup
from lineal.executors.wire import LOG_FILE, OUTCOME_FILE, Exited, Forked, NotImported, Spawn
from lineal.stages import Stage
from lineal.stages.signature import Signature
from lineal_store import Digest, Store, open_store


def main(fd: int) -> None:
    connection: Connection[Any, Any] = Connection(fd)
    setup: Setup = connection.recv()
    store = open_store(setup.store_url, create=False)
    try:
        _import_project(setup, store)
    except BaseException as error:  # noqa: BLE001 — whatever the project's import raises is told to the engine
        connection.send(NotImported(_import_failure(error)))
        return
    gc.freeze()  # so that collections in the workers do not copy the zygote's pages
    _serve(connection, store)


def _import_project(setup: Setup, store: Store) -> None:
    import_recorded(store, Digest.parse(setup.code_tree), Path(setup.root), setup.import_roots)
    for name in setup.modules:
        module = importlib.import_module(name)
        with contextlib.suppress(LinealError):  # what is wrong with a signature is the attempt's to say
            for stage in list(vars(module).values()):
                if isinstance(stage, Stage):
                    _import_codecs(stage.signature)
    if "pandas" in sys.modules or "pyarrow" in sys.modules:
        import pyarrow.parquet  # noqa: F401  as for codecs


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


def _serve(connection: Connection[Any, Any], store: Store) -> None:
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
                for pid in running:
                    _kill_group(pid)
                return
            pid = os.fork()
            if pid == 0:
                _work(request.envelope, store, connection)
            running[pid] = request.envelope.attempt_id
            connection.send(Forked(request.envelope.attempt_id, pid))
        while running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid in running:
                connection.send(Exited(running.pop(pid), os.waitstatus_to_exitcode(status)))


def _kill_group(pid: int) -> None:
    for kill in (os.killpg, os.kill):  # a worker that was forked a moment ago leads no group yet
        with suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)


def _work(envelope: Envelope, store: Store, connection: Connection[Any, Any]) -> None:
    """Be the worker of one attempt: own session, output into the log file, outcome into a file. Never returns."""
    status = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        connection.close()
        scratch = Path(envelope.scratch)
        log = os.open(scratch / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.environ["LINEAL_ATTEMPT"] = envelope.attempt_id
        try:
            outcome = perform(envelope, stage_named, store)
        except BaseException as error:  # noqa: BLE001 — the worker ends here, and says why
            outcome = Outcome(envelope.attempt_id, failure=failure_of(error), raised=(type(error).__name__,))
        sys.stdout.flush()
        sys.stderr.flush()
        with suppress(LinealError):  # a worker's spool is of no use to anybody after it
            shutil.rmtree(store.backend.spool(), ignore_errors=True)
        part = scratch / (OUTCOME_FILE + ".part")
        part.write_bytes(pickle.dumps(outcome))
        part.rename(scratch / OUTCOME_FILE)
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]))
