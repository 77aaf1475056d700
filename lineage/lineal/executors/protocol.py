"""What crosses the line between the engine and the place where code runs.

An executor knows no engine: it takes an `Envelope` and answers with an `Outcome`, and in between
with what the attempt wrote. All values here pickle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from msgspec import Struct, field

from lineal.errors import StoreUnavailable
from lineal.events import Failure
from lineal.graph.records import Output, SideProduct
from lineal.stages.wiring import CollectionKind
from lineal_store import Digest, Identity, Place


class Given(Struct, frozen=True):
    """A parameter's value in its type-tagged encoding."""

    encoded: Any


class Hidden(Struct, frozen=True):
    """A secret: travels to the stage over a pipe, is part of no key and no record."""

    value: Any


class Held(Struct, frozen=True):
    """An artifact in the store; ``item`` the part of it that is meant.

    Of files and directories: ``url`` is where outside data came from, ``suffix`` how its name ends. ``made_by``
    are the module, the qualified name and the output of the stage whose annotation the bytes were written under;
    ``inline`` are the bytes themselves where a record holds them.
    """

    digest: str
    type: str
    item: tuple[str | int, ...] = ()
    url: str | None = None
    suffix: str = ""
    made_by: tuple[str, str, str] | None = None
    inline: bytes | None = None


class Items(Struct, frozen=True):
    """A collection with artifacts somewhere inside, as `lineal.stages.wiring.Collection` describes it."""

    kind: CollectionKind
    items: tuple[tuple[Any, Argument], ...]
    type: type | None = None


Argument = Given | Hidden | Held | Items


class Envelope(Struct, frozen=True):
    """One attempt of one action: everything that a worker must know.

    ``scratch`` is the path of a private local folder, which is made where it is needed, in a folder that is there, and which
    the engine removes; ``seeded`` names the
    libraries whose global random generators are to be seeded too. ``reads`` and ``variables`` are the files and the
    environment variables that the stage declares, ``resources`` the amounts that it says it needs: of ``memory`` (bytes)
    it gets no more, and ``cpu`` is how many threads its libraries start. ``retry_if`` is the function, ``module:qualname``,
    that says of an exception whether another attempt is worth it; ``checkpoints`` the local folder that attempts at the
    action leave to the next. ``carried`` are the bytes of inputs that the store does not hold yet, by digest.
    """

    attempt_id: str
    stage_id: str
    module: str
    qualname: str
    scratch: str
    arguments: Mapping[str, Argument]
    seed: int
    carried: Mapping[str, bytes] = field(default_factory=dict)
    seeded: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    retry_if: str | None = None
    checkpoints: str = ""
    resources: Mapping[str, float] = field(default_factory=dict)


class Entry(NamedTuple):
    """Code of the project that ran: its file (absolute), first line, and qualified name."""

    file: str
    line: int
    name: str


class Access(NamedTuple):
    """Something from outside that code looked at, and the line of the project's code that asked for it, if any.

    ``name`` is the path of a file (relative to the project where it lies in it), the name of a variable (``*`` for all),
    host and port, or the parameter whose file was asked for its URL. ``file`` is absolute, or empty.
    """

    kind: Literal["file", "variable", "connection", "url"]
    name: str
    file: str = ""
    line: int = 0


class Observations(Struct, frozen=True):
    """What was seen of an attempt that returned.

    ``entered`` is the project's code that ran; ``loaded`` the files of project modules that were imported meanwhile, or run by
    other means than an import; ``present`` the names of all project modules that are imported. ``accesses`` are those that the stage
    does not declare; ``imported`` those of the project's module-level code, at the line of the statement that was running.
    ``more`` names the kinds of access of which some were left out. Of ``children``, processes that it started, nothing is seen.
    """

    entered: tuple[Entry, ...] = ()
    loaded: tuple[str, ...] = ()
    present: tuple[str, ...] = ()
    accesses: tuple[Access, ...] = ()
    imported: tuple[Access, ...] = ()
    more: tuple[str, ...] = ()
    children: bool = False


class Outcome(Struct, frozen=True):
    """How an attempt ended: with outputs, or with a failure.

    The bytes of outputs are durable, but for small ones, which are ``carried`` along by digest: to write many of them at
    once is the engine's part. ``lost`` is the digest of an input that could not be read; ``raised`` the names of the
    exception's classes as `class_name` gives them, nearest first; ``unavailable`` is why the store could not be used; ``seconds`` is the whole of the
    attempt, ``work_seconds`` what the stage's function took of it; ``log`` the local file with all that the attempt wrote. Where it is
    not ``repeatable``, another attempt of this run could not end otherwise. ``known`` are blobs that need not be hashed again
    on that machine, as `lineal_store.Blobs.trust` takes them.
    """

    attempt_id: str
    outputs: Mapping[str, Output] = field(default_factory=dict)
    carried: Mapping[str, bytes] = field(default_factory=dict)
    side_products: tuple[SideProduct, ...] = ()
    failure: Failure | None = None
    raised: tuple[str, ...] = ()
    lost: str | None = None
    unavailable: StoreUnavailable | None = None
    seconds: float = 0.0
    work_seconds: float = 0.0
    log: str | None = None
    repeatable: bool = True
    observed: Observations | None = None
    known: Mapping[Digest, Identity] = field(default_factory=dict)


class Begun(Struct, frozen=True):
    """The attempt's own process is there; its timeout counts from now."""

    attempt_id: str


class Captured(Struct, frozen=True):
    """Text that an attempt wrote since the last time."""

    attempt_id: str
    text: str


class Setup(Struct, frozen=True):
    """What workers of one run share: the store, the code as the run recorded it, and how it is imported.

    ``sources`` are the project's source files by their path below ``root``, those outside it by their absolute path;
    ``import_roots`` come first on ``sys.path``, in order; ``in_place`` are folders outside the root whose modules are
    the project's as well; ``modules`` are imported before the first attempt. ``variables`` is the whole environment.
    ``main_module`` is the importable name of what runs as ``__main__`` in the engine's process. ``bounded`` are those of
    ``variables`` that only say how many threads libraries start, and may be set to what a stage declares.
    """

    store: Place
    sources: Mapping[str, bytes]
    root: str
    import_roots: tuple[str, ...]
    modules: tuple[str, ...]
    variables: Mapping[str, str]
    main_module: str | None = None
    in_place: tuple[str, ...] = ()
    bounded: tuple[str, ...] = ()


Report = Begun | Captured | Outcome


class Executor(Protocol):
    """A place where attempts run, at most ``slots`` at once.

    ``gathers``: nothing goes on while the engine waits for a disk, so that it had better gather what attempts return.
    """

    slots: int
    gathers: bool

    def submit(self, envelope: Envelope) -> None:
        """Begin the attempt; returns at once, but for an executor that runs in this process."""
        ...

    def wait(self, timeout_seconds: float | None) -> Sequence[Report]:
        """What has been reported since, as soon as there is something; empty after the timeout.

        What is no outcome may be held back for a tenth of a second, to come with one.

        Every submitted attempt gets exactly one outcome, killed ones included. An executor that runs attempts in
        this process may raise KeyboardInterrupt; the attempt it ended has its outcome the next time.
        """
        ...

    def kill(self, attempt_id: str) -> None:
        """Stop the attempt with all processes that it started: politely, then not. It still has its outcome."""
        ...

    def interrupt(self) -> None:
        """End the attempt that this process itself makes just now, as Ctrl-C does. Called from another thread.

        All others have `kill`, which the engine calls when it has what ``wait`` reports.
        """
        ...

    def close(self) -> None:
        """Kill what runs at once and release everything. Nothing that the executor started survives it."""
        ...
