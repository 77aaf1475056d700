"""The action key: where a result is filed, and what two actions differ in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
import xxhash

from lineal.graph.records import Action, Manifest
from lineal_store.canonical import encode

Reason = Literal["new", "code", "input", "parameter", "environment", "schema"]

_DOMAIN = b"lineal action 1\0"


def action_key(action: Action) -> str:
    """XXH3-128 of the action's canonical form, 32 lowercase hex digits.

    The key only says where to look: a result is accepted when the action stored in it equals the
    one asked for, so that a collision costs a rerun and is never a wrong hit.
    """
    hasher = xxhash.xxh3_128(_DOMAIN)
    hasher.update(encode(msgspec.to_builtins(action)))
    return str(hasher.hexdigest())


def seed_of(action: Action) -> int:
    """The seed of an attempt's random generators, 64 bit: from what the stage is asked, not from its code."""
    asked = {
        "stage": action.stage,
        "parameters": action.parameters,
        "inputs": {port: taken.digest for port, taken in action.inputs.items()},
    }
    return int(xxhash.xxh3_64(b"lineal seed 1\0" + encode(asked)).intdigest())


class Difference(msgspec.Struct, frozen=True):
    """One thing in which two actions differ; ``before`` or ``after`` is None where it was not there."""

    kind: Reason
    name: str
    before: object
    after: object


def differences(
    before: Action, after: Action, *, manifests: tuple[Manifest, Manifest] | None = None
) -> list[Difference]:
    """What distinguishes ``after`` from ``before``, code first.

    With both fingerprints' ``manifests`` a change of code is told from a change of a distribution.
    """
    found: list[Difference] = []
    if before.fingerprint != after.fingerprint:
        found += _code_differences(before, after, manifests)
    if before.version != after.version:
        found.append(Difference("code", "version", before.version, after.version))
    found += _mapping_differences("code", before.code, after.code)
    found += _mapping_differences("schema", before.schemas, after.schemas)
    taken_before = {port: _input_words(taken) for port, taken in before.inputs.items()}
    taken_after = {port: _input_words(taken) for port, taken in after.inputs.items()}
    found += _mapping_differences("input", taken_before, taken_after)
    found += _mapping_differences("parameter", before.parameters, after.parameters)
    found += _mapping_differences("environment", before.environment, after.environment)
    return found


def reason_of(changes: Iterable[Difference]) -> Reason:
    """The one word for a miss: the weightiest kind among ``changes``."""
    kinds = {change.kind for change in changes}
    order: tuple[Reason, ...] = ("schema", "code", "input", "parameter", "environment")
    return next((kind for kind in order if kind in kinds), "new")


def _code_differences(
    before: Action, after: Action, manifests: tuple[Manifest, Manifest] | None
) -> list[Difference]:
    if manifests is None:
        return [Difference("code", "fingerprint", before.fingerprint, after.fingerprint)]
    old, new = manifests
    units = _mapping_differences("code", _hashes(old), _hashes(new))
    versions = _mapping_differences("environment", old.distributions, new.distributions)
    return units + versions or [Difference("code", "fingerprint", old.hex, new.hex)]


def _hashes(manifest: Manifest) -> dict[str, str]:
    return {covered.unit: covered.hash for covered in manifest.units}


def _input_words(taken: Any) -> str:
    item = "".join(f"[{step!r}]" for step in taken.item)
    return f"{taken.digest}{item}"


def _mapping_differences(
    kind: Reason, before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[Difference]:
    names = [*before, *(name for name in after if name not in before)]
    return [
        Difference(kind, name, before.get(name), after.get(name))
        for name in names
        if (name in before) != (name in after) or encode(before.get(name)) != encode(after.get(name))
    ]
