"""Reads what lies in a store that nobody vouches for: every record is what its name says, or a CorruptRecord."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lineal.graph.action import action_key
from lineal.graph.records import TREES, ActionResult, RunRecord, StageRecord, unseal_record
from lineal_store import Digest, Store
from lineal_store.blobs import name_of
from lineal_store.errors import BlobMissing, CorruptRecord, DigestMismatch, InvalidName, LinealError
from lineal_store.sealed import unseal

_KEY = re.compile(r"[0-9a-f]{32}")
_RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6,16}")


def decode_result(key: str, data: bytes) -> ActionResult:
    """The result filed under ``key``; a result of another action is none."""
    what = f"the result xxh3:{key}"
    try:
        result = unseal_record(data, ActionResult)
    except CorruptRecord as error:
        raise CorruptRecord(what, error.problem) from None
    actual = action_key(result.action)
    if actual != key:
        raise CorruptRecord(what, f"it is the result of another action, xxh3:{actual}")
    return result


def decode_run(run_id: str, data: bytes) -> RunRecord:
    """A record of the run ``run_id``."""
    what = f"run {run_id}"
    try:
        run = unseal_record(data, RunRecord)
    except CorruptRecord as error:
        raise CorruptRecord(what, error.problem) from None
    if run.run_id != run_id:
        raise CorruptRecord(what, f"it is the record of another run, {run.run_id!r:.60}")
    return run


def decode_tag(name: str, data: bytes) -> tuple[Digest | None, str | None]:
    """The digest and the run that an entry of the tag ``name`` names; no digest where the tag was deleted."""
    what = f"tag {name}"
    match unseal(data, what=what):
        case {"digest": str(digest), "run_id": str() | None as run_id}:
            return checked_digest(digest, what), run_id
        case {"digest": None}:
            return None, None
    raise CorruptRecord(what, "it is no entry of a tag")


def checked_digest(text: str, what: str) -> Digest:
    """The digest that the record ``what`` writes out."""
    try:
        return Digest.parse(text)
    except InvalidName as error:
        raise CorruptRecord(what, str(error)) from None


def checked_key(text: str, what: str) -> str:
    """The action key that the record ``what`` names."""
    if _KEY.fullmatch(text) is None:
        raise CorruptRecord(what, f"{text!r:.60} is no action key")
    return text


def is_run_id(text: str) -> bool:
    return _RUN_ID.fullmatch(text) is not None


def read_blobs(store: Store, digests: Sequence[Digest]) -> dict[Digest, bytes | LinealError]:
    """The bytes of blobs that fit into memory together, in one batch; for one lost or damaged the error."""
    found = store.backend.read_many([name_of(digest) for digest in digests])
    contents: dict[Digest, bytes | LinealError] = {}
    for digest in digests:
        data = found.get(name_of(digest))
        if data is not None and Digest.of(data) == digest:
            contents[digest] = data
            continue
        try:
            contents[digest] = store.blobs.read(digest)  # which looks again, and upstream
        except (BlobMissing, DigestMismatch) as error:
            contents[digest] = error
    return contents


# --- what records name ----------------------------------------------------------------------------


class NamedByResult(NamedTuple):
    """The blobs that a result names: what it ``needs``, with recorded sizes, and ``others``; which of them are trees."""

    needs: dict[Digest, int | None]
    others: list[Digest]
    trees: set[Digest]

    @classmethod
    def of(cls, result: ActionResult, what: str) -> NamedByResult:
        """CorruptRecord, naming ``what``, for a digest that is none, or an input without an origin."""
        code_tree = checked_digest(result.code_tree, what)
        needs: dict[Digest, int | None] = dict.fromkeys(
            [checked_digest(result.manifest, what), checked_digest(result.environment, what), code_tree]
        )
        others = [] if result.log is None else [checked_digest(result.log, what)]
        trees = {code_tree}
        for port, taken in result.action.inputs.items():
            origin = result.origins.get(port)
            if origin is None:
                raise CorruptRecord(what, f"it does not say where its input {port} came from")
            digest = checked_digest(taken.digest, what)
            if taken.type in TREES:
                trees.add(digest)
            if origin.action_key is None:
                others.append(digest)
            else:
                checked_key(origin.action_key, what)
                needs[digest] = None
        for origin in result.origins.values():
            others += [
                checked_digest(text, what) for text in (origin.digest, origin.items) if text is not None
            ]
        for output in result.outputs.values():
            digest = checked_digest(output.digest, what)
            if needs.get(digest) not in (None, output.size_bytes):
                raise CorruptRecord(what, f"it gives {digest} two sizes")
            needs[digest] = output.size_bytes
            if output.type in TREES:
                trees.add(digest)
        return cls(needs, others, trees)


class NamedByRun(NamedTuple):
    """What the stages of a run name: action keys (and whether they must have a result), logs, outputs; which are trees."""

    keys: dict[str, bool]
    logs: list[Digest]
    outputs: list[Digest]
    trees: set[Digest]

    @classmethod
    def of(cls, run: RunRecord, stages: Iterable[StageRecord], what: str) -> NamedByRun:
        """CorruptRecord, naming ``what``, for a digest or a key that is none."""
        named = cls(
            {}, [], [checked_digest(text, what) for text in run.outputs.values() if text is not None], set()
        )
        for stage in stages:
            if stage.action_key is not None:
                key = checked_key(stage.action_key, what)
                named.keys[key] = named.keys.get(key, False) or stage.state == "succeeded"
            named.logs.extend(checked_digest(log, what) for log in stage.logs)
            for output in stage.outputs.values():
                named.outputs.append(checked_digest(output.digest, what))
                if output.type in TREES:
                    named.trees.add(named.outputs[-1])
        return named


# --- names in a store (docs/formats.md) ------------------------------------------------------------


def run_names(run_id: str) -> tuple[str, str]:
    """The names of a run's two records, the one of its beginning first."""
    name = f"runs/{run_id[:4]}/{run_id[4:6]}/{run_id[6:8]}/{run_id}"
    return f"{name}.begun", name


def result_name(key: str, generation: int) -> str:
    """The name of a result."""
    return f"actions/{key[:2]}/{key[2:]}.{generation}"
