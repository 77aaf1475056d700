"""The answer of a run that found everything done, kept with all that it rests on: as long as none of that changes, the
same command is answered by looking at it alone, and neither configuration nor code nor graph is read.

A memo rests on files and folders, by what tells one state of them from another (device, inode, mode, size, and the times
of the last change), on paths where nothing lies, on where links lead, on this Python, on variables, and on blobs, by size.
One file each in ``.lineal/memos``; losing them costs time only. docs/plan-memo.md says what is covered.

This module is all that an unchanged run needs, so it imports little, and the rest when there is something to record.
"""

# ruff: noqa: PTH108, PTH109, PTH113, PTH116, PTH120
# What pathlib does costs more here than all that is asked of it.
from __future__ import annotations

import marshal
import os
import stat
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from lineal.notes import write_note
from lineal.version import VERSION

Identity = tuple[int, ...]
"""What tells one state of a file or folder from another; empty where nothing lies."""

_MAGIC = f"lineal memo 1 {VERSION} {sys.version_info[0]}.{sys.version_info[1]}\n".encode()
_DIGEST_BYTES = 32
_MOST_FILES = 256
_MOST_BYTES = 1 << 26
COLLECTORS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""The variables that name a collector of traces, which is told of every run."""
_VARIABLES = (
    *COLLECTORS,
    # who asks, and where the user's own files are; how dates and numbers are written
    *("HOME", "XDG_CACHE_HOME", "LOGNAME", "USER", "LNAME", "USERNAME"),
    *("LANG", "LC_ALL", "LC_NUMERIC", "LC_TIME", "TZ"),
    # recorded with every run
    *(
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    ),
    *(
        "NUMBA_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "POLARS_MAX_THREADS",
        "RAYON_NUM_THREADS",
        "OMP_DYNAMIC",
    ),
    *("CUBLAS_WORKSPACE_CONFIG", "OPENBLAS_CORETYPE", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS"),
    *("NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES"),
)
# A file system that keeps fractions of a second steps with the kernel's clock, 10 ms at most; others by 2 s at most (FAT).
_FINE_STEP_NS, _COARSE_STEP_NS = 100_000_000, 2_000_000_000


class Typed(NamedTuple):
    """The program's arguments, and when (by the wall clock) it had looked at nothing yet."""

    words: tuple[str, ...]
    at_ns: int


class Question(NamedTuple):
    """What was typed, and where: ``words`` are the program's arguments, ``search`` is where Python looks for modules."""

    words: tuple[str, ...]
    folder: str
    search: tuple[str, ...]
    root: str

    @classmethod
    def asked_here(cls, words: Sequence[str], root: str) -> Question:
        """By this process, before it has changed ``sys.path``, of the project in ``root``."""
        return cls(tuple(words), os.getcwd(), tuple(sys.path), root)


class Grounds(NamedTuple):
    """What an answer rests on.

    ``exact`` are paths that must lead to what they led to, or to nothing, ``links`` paths with what they resolve to,
    ``objects`` files below ``store`` that must not change, and ``blobs`` such files with their sizes. ``variables`` are the
    environment variables that were looked at.
    """

    exact: Mapping[str, Identity]
    links: Mapping[str, str]
    store: str
    objects: Mapping[str, Identity]
    blobs: dict[str, int]
    variables: Mapping[str, str | None]


class Unchanged(NamedTuple):
    """A run that finds everything done: its number of stages, its parameters as documents show them, and its own document
    where that was kept. ``run_id`` is None where it was only asked what a run would do.
    """

    pipeline: str
    parameters: dict[str, Any]
    stages: int
    run_id: str | None = None
    document: dict[str, Any] | None = None


def answer_again(words: Sequence[str]) -> Unchanged | None:
    """What a run with these arguments comes to, where a memo says so and all that it rests on is as it was.

    The run is recorded as any other. None where there is no such memo, and the question has to be thought through.
    """
    started_ns = time.time_ns()
    question = _asked_here(words)
    memo = _standing(question, started_ns) if question is not None else None
    return _recorded(question, memo, started_ns) if question is not None and memo is not None else None


def foresee_again(words: Sequence[str]) -> Unchanged | None:
    """What `lineal status` with these arguments says, where that is known from a run with the same target and parameters."""
    asked = [word for word in words[1:] if word != "--exit-code"]
    if any(word.startswith("-") for word in asked):
        return None
    question = _asked_here(["run", *asked])
    memo = _standing(question, time.time_ns()) if question is not None else None
    return Unchanged(memo["record"]["pipeline"], memo["parameters"], memo["stages"]) if memo else None


def keep_answer(
    question: Question,
    grounds: Grounds,
    record: Mapping[str, Any],
    document: Mapping[str, Any],
    *,
    stages: int,
    in_full: bool,
) -> None:
    """Write the memo: the ``record`` and the ``document`` of a run that found everything done, the latter ``in_full`` only
    where that will be told; else its number of ``stages`` and its parameters are all that is.

    The caller has looked at ``grounds`` before it looked at anything again; see `is_settled`.
    """
    body = marshal.dumps(
        {
            "question": tuple(question),
            "machine": _machine(),
            "variables": {**_variables(_VARIABLES), **grounds.variables},
            "written_ns": time.time_ns(),
            "exact": dict(grounds.exact),
            "links": dict(grounds.links),
            "store": grounds.store,
            "objects": dict(grounds.objects),
            "blobs": grounds.blobs,
            "record": dict(record),
            "parameters": document["parameters"],
            "stages": stages,
            "document": dict(document) if in_full else None,
        }
    )
    if len(body) > _MOST_BYTES:
        return
    path = _path(question)
    try:
        write_note(
            path, _MAGIC + _digest(body) + body
        )  # what was typed, and variables, are the user's own affair
        _forget_oldest(os.path.dirname(path))
    except OSError:
        pass  # a memo is a saving, not a duty


def identity_of(path: str, *, follow: bool = True) -> Identity:
    """The state of what lies at ``path``. OSError where that cannot be known."""
    try:
        found = os.stat(path, follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return (
        found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns,
    )  # fmt: skip


def is_settled(identity: Identity, at_ns: int) -> bool:
    """Whether what had this identity at ``at_ns`` (of the wall clock) or later cannot change from then on without
    having another: its last change lies more than a step of its file system's clock before.
    """
    if not identity:
        return True
    *_, modified_ns, changed_ns = identity
    step_ns = _FINE_STEP_NS if changed_ns % 1_000_000_000 else _COARSE_STEP_NS
    return max(modified_ns, changed_ns) < at_ns - step_ns


# -- reading ----------------------------------------------------------------------------------


def _find_root(words: Sequence[str]) -> str:
    """The folder of the project that is meant, most likely. Where it is another one, its memo does not hold."""
    start = os.getcwd()
    for word in words[1:]:
        place = word if os.path.isfile(word) else word.rpartition(":")[0]
        if place and os.path.isfile(place):
            start = os.path.dirname(os.path.realpath(place))
            break
    folder = start
    while True:
        if os.path.isfile(f"{folder}/lineal.toml") or os.path.isfile(f"{folder}/pyproject.toml"):
            return folder
        above = os.path.dirname(folder)
        if above == folder:
            return start
        folder = above


def _asked_here(words: Sequence[str]) -> Question | None:
    try:
        return Question.asked_here(words, _find_root(words))
    except (OSError, ValueError):  # the long way will tell what is wrong
        return None


def _standing(question: Question, now_ns: int) -> dict[str, Any] | None:
    """The memo of that question, if all that it rests on is as it was."""
    try:
        memo = _read(question)
        return memo if memo is not None and now_ns >= memo["written_ns"] and _stands(memo) else None
    except (OSError, ValueError, LookupError, TypeError, EOFError):
        return None


def _read(question: Question) -> dict[str, Any] | None:
    try:
        with open(_path(question), "rb", buffering=0) as stream:
            data = stream.read()
    except OSError:
        return None
    start = len(_MAGIC) + _DIGEST_BYTES
    if not data.startswith(_MAGIC) or _digest(data[start:]) != data[len(_MAGIC) : start]:
        return None
    memo: dict[str, Any] = marshal.loads(memoryview(data)[start:])
    return memo if memo["question"] == tuple(question) and memo["machine"] == _machine() else None


def _stands(memo: Mapping[str, Any]) -> bool:
    """Whether all that the memo rests on is as it was."""
    variables = memo["variables"]
    if variables != _variables(variables):
        return False
    for path, known in memo["exact"].items():
        if identity_of(path) != known:
            return False
    for path, real in memo["links"].items():
        if os.path.realpath(path) != real:
            return False
    store = memo["store"]
    for name, known in memo["objects"].items():
        if identity_of(store + name, follow=False) != known:
            return False
    lstat, is_file = os.lstat, stat.S_ISREG
    for name, size_bytes in memo["blobs"].items():
        found = lstat(store + name)
        if found.st_size != size_bytes or not is_file(found.st_mode):
            return False
    return True


def surroundings() -> tuple[object, ...]:
    """What every answer depends on besides files: this machine, this Python, this user, and some variables."""
    return _machine(), _variables(_VARIABLES)


def _machine() -> tuple[object, ...]:
    """What of this machine, this Python and this user an answer depends on, and the settings in the environment."""
    settings = sorted((name, text) for name, text in os.environ.items() if name.startswith("LINEAL_"))
    return (
        VERSION, sys.version, sys.implementation.name, sys.executable, sys.prefix, sys.flags.optimize,
        tuple(os.uname()), os.getuid(), tuple(settings),
    )  # fmt: skip


def _variables(names: Iterable[str]) -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in names}


# -- recording --------------------------------------------------------------------------------


def _recorded(question: Question, memo: Mapping[str, Any], started_ns: int) -> Unchanged | None:
    """Leave the run's record in the store; None where that fails, which is then said by whoever tries again."""
    from datetime import UTC, datetime
    from pathlib import Path

    from lineal.engine.provenance import GitState, command_line, host_name, new_run_id, user_name
    from lineal_store.backends.local import LocalBackend
    from lineal_store.errors import LinealError
    from lineal_store.runs import Runs
    from lineal_store.sealed import seal

    git = GitState(Path(question.root))
    started_at = datetime.fromtimestamp(started_ns / 1e9, UTC)
    run_id = new_run_id(started_at)
    found = git.wait()
    finished_at = datetime.now(UTC)
    took = {"seconds": (finished_at - started_at).total_seconds()}
    record = {
        **memo["record"],
        **took,
        "run_id": run_id,
        "git": None if found is None else found._asdict(),
        "who": user_name(),
        "host": host_name(),
        "process": os.getpid(),
        "command": command_line(),
        "started_at": started_at.isoformat(),
        "finished_at": finished_at.isoformat(),
    }
    try:
        Runs(LocalBackend(memo["store"])).finish(run_id, seal(record))
    except LinealError:
        return None
    document = memo["document"]
    told = None if document is None else {**document, **took, "run_id": run_id}
    return Unchanged(record["pipeline"], memo["parameters"], memo["stages"], run_id, told)


# -- files ------------------------------------------------------------------------------------


def _path(question: Question) -> str:
    return f"{question.root}/.lineal/memos/{_digest(repr(tuple(question)).encode()).hex()[:32]}"


def _digest(data: bytes) -> bytes:
    import hashlib

    return hashlib.sha256(data).digest()


def _forget_oldest(folder: str) -> None:
    with os.scandir(folder) as entries:
        files = sorted((entry.stat().st_mtime_ns, entry.path) for entry in entries)
    for _, path in files[:-_MOST_FILES]:
        os.unlink(path)
