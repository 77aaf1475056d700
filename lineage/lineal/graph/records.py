"""The records that say what was made, from what, by which code: frozen, versioned, never replaced.

They are written as canonical MessagePack (docs/formats.md). A reader accepts fields it does not
know, so that later versions may add some, and refuses everything else that does not fit with
:class:`~lineal_store.errors.CorruptRecord`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from lineal_store.canonical import MAX_RECORD_BYTES, decode, encode, may_hold_nan
from lineal_store.errors import CorruptRecord
from lineal_store.sealed import seal_encoded, unseal

FORMAT = 1


class Input(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The content that an action takes through one port.

    ``type`` is the codec that reads it, ``read_as`` the annotation that it is read by, or how the name of a file ends,
    where that decides what the bytes mean; ``item`` is the path of keys and indexes inside the value, where only a part of it is taken.
    """

    digest: str
    type: str
    read_as: str = ""
    item: list[str | int] = []


class Action(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One stage with one fingerprint, its inputs, parameters and declared environment.

    Two actions with equal fields give the same result, as far as Lineal can know. Fields at their default
    are not written, so that a field added later changes no key. ``parameters``
    hold type-tagged values (`lineal.artifacts.values`), ``schemas`` the hash of the contract of a
    port, ``code`` the fingerprint of every project object that the inputs' bytes name (``module:qualname``): equal
    bytes of a pickle mean another value when its class has changed.
    """

    stage: str
    fingerprint: str
    inputs: dict[str, Input] = {}
    parameters: dict[str, Any] = {}
    environment: dict[str, str] = {}
    schemas: dict[str, str] = {}
    code: dict[str, str] = {}
    version: str | None = None


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """One artifact that came out; ``inline`` repeats the bytes of a small JSON value."""

    digest: str
    type: str
    size_bytes: int
    description: dict[str, Any] = {}
    inline: bytes | None = None


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where an input came from: outside (``url``), or an output of an earlier action.

    A parameter that is an item of a list has one too: ``digest`` is that of the list. A list that a mapped stage comes to was
    made by the actions of its items: ``items`` is the digest of their keys, in order.
    """

    url: str | None = None
    action_key: str | None = None
    output: str | None = None
    digest: str | None = None
    items: str | None = None


class SideProduct(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a stage wrote outside its scratch folder and left there."""

    path: str
    digest: str
    size_bytes: int


class RanUnit(msgspec.Struct, frozen=True, array_like=True):
    """A unit of code that ran, and where it is written."""

    unit: str
    file: str
    line: int


class Observed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was seen while a stage ran; nothing where nobody looked.

    ``units`` are the project's units that ran, ``modules`` its modules that were imported, as many as fit; ``left_out`` counts
    the others. ``uncovered`` ran and are no part of the fingerprint. ``files``, ``variables``, ``connections`` and ``urls`` (parameters
    whose file was asked for its URL) were looked at and are not declared. With ``children`` the stage started processes, of
    which nothing is seen. ``refused`` says why the result is not offered as a hit; ``warnings`` are what the run was told.
    """

    units: list[str] = []
    modules: list[str] = []
    left_out: int = 0
    uncovered: list[RanUnit] = []
    files: list[str] = []
    variables: list[str] = []
    connections: list[str] = []
    urls: list[str] = []
    children: bool = False
    refused: str = ""
    warnings: list[str] = []


class ActionResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came out of an action, and how: the unit of lineage.

    ``manifest``, ``code_tree`` and ``environment`` are digests of the fingerprint's units, of the
    project's source files and of the exact distributions, Python and platform. Times are UTC in
    ISO 8601. ``work_seconds`` is what the stage's function took of ``seconds``; records of older versions do not tell.
    """

    format: int = FORMAT
    action: Action
    outputs: dict[str, Output]
    origins: dict[str, Origin] = {}
    side_products: list[SideProduct] = []
    manifest: str
    code_tree: str
    environment: str
    seed: int
    run_id: str
    stage_id: str
    attempt: int
    started_at: str
    seconds: float
    work_seconds: float | None = None
    log: str | None = None
    observed: Observed = Observed()


class StageRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one stage in one run.

    ``seconds`` is what its attempts took, ``work_seconds`` what the stage's function took of that; None where nothing
    was executed, or an older version recorded it. A stage that is mapped over a list has a record of its own, with the number
    of its ``items``, which follow it. ``again`` has the digests of what came out of a hit that was executed again, by output.
    """

    id: str
    name: str
    state: str
    cache: str | None = None
    reason: str | None = None
    action_key: str | None = None
    fingerprint: str | None = None
    attempts: int = 0
    seconds: float = 0.0
    work_seconds: float | None = None
    error: dict[str, str | None] | None = None
    traceback: str = ""
    outputs: dict[str, Output] = {}
    logs: list[str] = []
    items: int | None = None
    again: dict[str, str] | None = None

    @property
    def is_nondeterministic(self) -> bool:
        """Whether it was executed again, and made something else."""
        return self.again is not None and self.again != {
            name: out.digest for name, out in self.outputs.items()
        }

    @property
    def is_shown(self) -> bool:
        """Whether people are told of it: a mapped stage is told as its items, where it has any."""
        return not self.items


class Git(msgspec.Struct, frozen=True, kw_only=True):
    """What git said of the project. ``diff`` is the digest of what was changed against the commit, where stages were executed."""

    commit: str
    branch: str | None = None
    dirty: bool = False
    diff: str | None = None


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """What the stages of a run use besides the project's sources: ``tree`` is the digest of a directory.

    Below ``project/`` lie the files that stages declare to read, below ``outside/``, by its absolute path, what lies outside
    the project. ``search`` are the folders, of those outside, in which modules are looked for.
    """

    tree: str
    search: list[str] = []


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A run: what was asked, by whom, with which code, and what became of every stage.

    Written once when the run begins (``state`` is running) where something has to be executed, and once when it has ended.
    More than `STAGES_INLINE` stages, or more than `PAGE_BYTES` of them, lie in blobs, named by ``pages``. ``trigger`` says what has started
    it, where that was no person: ``schedule NAME`` or ``backfill ID``.
    """

    format: int = FORMAT
    run_id: str
    pipeline: str
    target: str
    state: str
    namespace: str
    parameters: dict[str, Any] = {}
    logical_date: str | None = None
    stages: list[StageRecord] = []
    pages: list[str] = []
    outputs: dict[str, str | None] = {}
    warnings: list[str] = []
    code_tree: str
    beside: Beside | None = None
    environment: str
    git: Git | None = None
    who: str
    host: str
    process: int
    command: list[str] = []
    trigger: str = ""
    lineal: str
    started_at: str
    finished_at: str | None = None
    seconds: float = 0.0


class StagePage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the stages of a run that has too many for one record."""

    stages: list[StageRecord]


TREES = frozenset({"directory", "list"})
"""The types of artifacts whose bytes are a tree, and name those of their files."""

MAX_KEYS_BYTES = 64 << 20
"""They are a blob, not a record: more than a million fit."""

STAGES_INLINE = 200
PAGE_SIZE = 400
PAGE_BYTES = 512 << 10  # of stages in one record; more than any one of them has


class CoveredUnit(msgspec.Struct, frozen=True, array_like=True):
    """One unit of code and its own hash."""

    unit: str
    file: str
    line: int
    hash: str


class SeenBlindSpot(msgspec.Struct, frozen=True, array_like=True):
    """Something that the fingerprint could not see through."""

    kind: str
    detail: str
    file: str
    line: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a fingerprint covers: the hash and place of every unit, and the distributions reached."""

    hex: str
    units: list[CoveredUnit] = []
    blind_spots: list[SeenBlindSpot] = []
    distributions: dict[str, str] = {}


class Environment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the code ran on: an exact lock of what was installed, Python, the machine.

    ``variables`` are taken by an allow-list, never the whole environment. By distribution, where it is known: ``contents``
    is the SHA-256 of what its installed files are recorded to hold, ``sources`` where it comes from (a direct reference as pip
    writes it) when that is no index; ``editable`` are used in place. ``cpu`` are the features by which numeric libraries choose
    how they compute, ``cores`` how many could be used.
    """

    python: str
    implementation: str
    build: str
    platform: str
    machine: str
    distributions: dict[str, str]
    variables: dict[str, str] = {}
    contents: dict[str, str] = {}
    sources: dict[str, str] = {}
    editable: list[str] = []
    cpu: list[str] = []
    cores: int = 0


_Record = TypeVar("_Record", bound=msgspec.Struct)


def to_bytes(record: msgspec.Struct | dict[str, Any]) -> bytes:
    """The canonical bytes of a ``record``, or of a map of plain values: to be hashed, or kept as a blob under their digest.

    msgspec writes what `encode` does in a fraction of the time, but for what it refuses and the payloads of NaN.
    """
    with suppress(OverflowError):  # an int beyond 64 bits
        data = msgspec.msgpack.encode(record, order="sorted")
        if len(data) <= MAX_RECORD_BYTES and not may_hold_nan(data):
            return data
    return encode(msgspec.to_builtins(record, builtin_types=(bytes,), order="sorted"))


def from_bytes(data: bytes, kind: type[_Record]) -> _Record:
    """The record in a blob; `CorruptRecord` for anything that is not one of this ``kind``."""
    return _converted(decode(data), kind)


def seal_record(record: msgspec.Struct) -> bytes:
    """The bytes of a ``record`` that is filed under a key or an id, with their own checksum."""
    return seal_encoded(to_bytes(record))


def unseal_record(data: bytes, kind: type[_Record]) -> _Record:
    """The record that `seal_record` made ``data`` of; `CorruptRecord` for anything else."""
    return _converted(unseal(data), kind)


def _converted(fields: object, kind: type[_Record]) -> _Record:
    try:
        record = msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise CorruptRecord(f"a {kind.__name__} record", str(error)) from None
    written = getattr(record, "format", FORMAT)
    if written > FORMAT:
        raise CorruptRecord(
            f"a {kind.__name__} record", f"it has format {written}, and this Lineal reads {FORMAT}"
        )
    return record


def write_keys(keys: Sequence[str]) -> bytes:
    """The bytes of a blob with the action keys of a list's items, in order."""
    return encode(list(keys), limit=MAX_KEYS_BYTES)


def read_keys(data: bytes) -> list[str]:
    """The action keys that `write_keys` wrote; `CorruptRecord` for anything else."""
    keys = decode(data, what="the keys of a list", limit=MAX_KEYS_BYTES)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise CorruptRecord("the keys of a list", "it holds something else")
    return keys
