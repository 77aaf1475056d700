"""What the process executor and its zygote say to each other: pickles over a socket pair."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass

from lineal.events import Failure
from lineal.executors.protocol import Envelope

OUTCOME_FILE = "outcome.pickle"
LOG_FILE = "output.log"
NO_OUTCOME = os.EX_IOERR
"""The status of a worker that could not write its outcome into the scratch folder."""


@dataclass(frozen=True, slots=True)
class Spawn:
    """An envelope as a pickle: it may name classes of the project, and only the worker imports for it."""

    attempt_id: str
    scratch: str
    envelope: bytes

    @classmethod
    def of(cls, envelope: Envelope) -> Spawn:
        return cls(envelope.attempt_id, envelope.scratch, pickle.dumps(envelope))


@dataclass(frozen=True, slots=True)
class Forked:
    attempt_id: str
    pid: int


@dataclass(frozen=True, slots=True)
class Exited:
    """``status`` as `os.waitstatus_to_exitcode` gives it: negative for a signal."""

    attempt_id: str
    status: int


@dataclass(frozen=True, slots=True)
class NotImported:
    """The project's code could not be imported; no attempt can run."""

    failure: Failure
