"""What crosses the line between the engine and the place where code runs.

An executor knows no engine: it takes an `Envelope` and answers with an `Outcome`, and in between
with what the attempt wrote. All values here pickle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from lineal.errors import StoreUnavailable
from lineal.events import Failure
from lineal.graph.records import Output, SideProduct
from lineal.stages.wiring import CollectionKind
from lineal_store import Place


@dataclass(frozen=True, slots=True)
class Given:
    """A parameter's value in its type-tagged encoding."""

    encoded: Any


@dataclass(frozen=True, slots=True)
class Hidden:
    """A secret: travels to the stage over a pipe, is part of no key and no record."""

    value: Any


@dataclass(frozen=True, slots=True)
class Held:
    """An artifact in the store; ``item`` the part of it that is meant.

    Of files and directories: ``url`` is where outside data came from, ``name`` the last part of its path. ``made_by``
    are the module, the qualified name and the output of the stage whose annotation the bytes were written under.
    """

    digest: str
    type: str
    item: tuple[str | int, ...] = ()
    url: str | None = None
    name: str | None = None
    made_by: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Items:
    """A collection with artifacts somewhere inside, as `lineal.stages.wiring.Collection` describes it."""

    kind: CollectionKind
    items: tuple[tuple[Any, Argument], ...]
    type: type | None = None


Argument = Given | Hidden | Held | Items


@dataclass(frozen=True, slots=True)
class Envelope:
    """One attempt of one action: everything that a worker must know.

    ``scratch`` is a private local folder that the engine makes and removes; ``seeded`` names the
    libraries whose global random generators are to be seeded too.
    """

    attempt_id: str
    stage_id: str
    module: str
    qualname: str
    scratch: str
    arguments: Mapping[str, Argument]
    seed: int
    seeded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: with outputs whose bytes are durable, or with a failure.

    ``lost`` is the digest of an input that could not be read; ``raised`` the names of the
    exception's classes, nearest first; ``unavailable`` is why the store could not be used; ``log`` the local file with all that the attempt wrote. Where it is
    not ``repeatable``, another attempt of this run could not end otherwise.
    """

    attempt_id: str
    outputs: Mapping[str, Output] = field(default_factory=dict)
    side_products: tuple[SideProduct, ...] = ()
    failure: Failure | None = None
    raised: tuple[str, ...] = ()
    lost: str | None = None
    unavailable: StoreUnavailable | None = None
    seconds: float = 0.0
    log: str | None = None
    repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Begun:
    """The attempt's own process is there; its timeout counts from now."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class Captured:
    """Text that an attempt wrote since the last time."""

    attempt_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Setup:
    """What workers of one run share: the store, the code as the run recorded it, and how it is imported.

    ``sources`` are the project's source files by their path below ``root``; ``import_roots`` come
    first on ``sys.path``, in order; ``modules`` are imported before the first attempt.
    ``main_module`` is the importable name of what runs as ``__main__`` in the engine's process.
    """

    store: Place
    sources: Mapping[str, bytes]
    root: str
    import_roots: tuple[str, ...]
    modules: tuple[str, ...]
    variables: Mapping[str, str]
    main_module: str | None = None


Report = Begun | Captured | Outcome


class Executor(Protocol):
    """A place where attempts run, at most ``slots`` at once."""

    slots: int

    def submit(self, envelope: Envelope) -> None:
        """Begin the attempt; returns at once, but for an executor that runs in this process."""
        ...

    def wait(self, timeout_seconds: float | None) -> Sequence[Report]:
        """What has been reported since, as soon as there is something; empty after the timeout.

        Every submitted attempt gets exactly one outcome, killed ones included. An executor that runs attempts in
        this process may raise KeyboardInterrupt; the attempt it ended has its outcome the next time.
        """
        ...

    def kill(self, attempt_id: str) -> None:
        """Stop the attempt with all processes that it started: politely, then not. It still has its outcome."""
        ...

    def close(self) -> None:
        """Kill what runs and release everything. Nothing that the executor started survives it."""
        ...
