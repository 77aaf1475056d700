"""What the process that executes a past run's stages again is told, and what it answers: two files in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

FORMAT = 1
"""Of the two files. An environment of the past may have another Lineal: one that speaks another format is not asked."""


class HeldSource(msgspec.Struct, frozen=True):
    """Where the content lies that a stage took from outside then: ``port`` is that of the recorded action."""

    stage: str
    port: str
    url: str
    path: str


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to execute of a past run. ``root`` is the folder of the restored code, ``store`` the scratch store.

    ``parameters`` are as a run records them, ``changes`` and ``secrets`` are NAME=VALUE. ``wanted`` are the ids of calls; none stands for all.
    The stages in ``again``, ids of calls or items, are executed although the scratch store has their results. ``variables`` are
    the environment variables that were recorded: others that stages declare were not set.
    """

    root: str
    store: str
    run_id: str
    target: str
    parameters: dict[str, Any]
    changes: list[str] = []
    secrets: list[str] = []
    sources: list[HeldSource] = []
    wanted: list[str] = []
    again: list[str] = []
    variables: dict[str, str] = {}
    executor: str = "process"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing could be executed."""

    type: str
    message: str
    hint: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it: the id of the run in the scratch store, and why which stages were not executed.

    ``effects`` are those of them that change the world. ``reached`` are the dotted names outside the project that the code of the
    stages which were executed ``again`` reaches; ``lineal`` is the version that executed them.
    """

    run_id: str | None = None
    left_out: dict[str, str] = {}
    effects: list[str] = []
    reached: list[str] = []
    lineal: str | None = None
    problem: Problem | None = None


def write(path: Path, message: Job | Answer) -> None:
    path.write_bytes(msgspec.msgpack.encode(message))


def read_job(path: Path) -> Job:
    """The job, which is gone then: there may be secrets in it."""
    data = path.read_bytes()
    path.unlink()
    return msgspec.msgpack.decode(data, type=Job)


def read_answer(path: Path) -> Answer | None:
    """The answer; None where the process ended without one."""
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=Answer)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
