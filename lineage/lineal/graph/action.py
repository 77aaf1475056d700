"""The action key: where a result is filed, and what two actions differ in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec
import xxhash

from lineal.graph.records import Action, CoveredUnit, Input, Manifest, to_bytes
from lineal_store.canonical import encode

Reason = Literal["new", "code", "input", "parameter", "environment", "schema"]

_DOMAIN = b"lineal action 1\0"
_SCALARS = frozenset({type(None), bool, int, float, str})


def action_key(action: Action) -> str:
    """XXH3-128 of the action's canonical form, 32 lowercase hex digits.

    The key only says where to look: a result is accepted when the action stored in it equals the
    one asked for, so that a collision costs a rerun and is never a wrong hit.
    """
    if all(type(value) in _SCALARS for value in action.parameters.values()):
        encoded = to_bytes(action)
    else:  # bytes are hashed as text here
        encoded = encode(msgspec.to_builtins(action, order="sorted"))
    return str(xxhash.xxh3_128_hexdigest(_DOMAIN + encoded))


def seed_of(action: Action) -> int:
    """The seed of an attempt's random generators, 64 bit: from what the stage is asked, not from its code."""
    asked = {
        "stage": action.stage,
        "parameters": action.parameters,
        "inputs": {port: taken.digest for port, taken in action.inputs.items()},
    }
    return int(xxhash.xxh3_64(b"lineal seed 1\0" + to_bytes(asked)).intdigest())


class Difference(msgspec.Struct, frozen=True):
    """One thing in which two actions differ; ``before`` or ``after`` is None where it was not there."""

    kind: Reason
    name: str
    before: object
    after: object


class UnitChange(NamedTuple):
    """A unit of code that is not the same on both sides; None on the side that does not have it."""

    before: CoveredUnit | None
    after: CoveredUnit | None

    @property
    def unit(self) -> str:
        """What it is called, ``module:name``; where it was on both sides, as it is now."""
        one = self.after or self.before
        assert one is not None
        return one.unit


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
    found += _input_differences(before.inputs, after.inputs)
    found += _mapping_differences("parameter", before.parameters, after.parameters)
    found += _mapping_differences("environment", before.environment, after.environment)
    return found


def reason_of(changes: Iterable[Difference]) -> Reason:
    """The one word for a miss: the weightiest kind among ``changes``."""
    kinds = {change.kind for change in changes}
    order: tuple[Reason, ...] = ("schema", "code", "input", "parameter", "environment")
    return next((kind for kind in order if kind in kinds), "new")


def distance(before: Action, after: Action) -> int:
    """In how many components two actions differ; code counts as one, however much of it changed."""
    pairs = (
        (before.code, after.code),
        (before.schemas, after.schemas),
        (before.inputs, after.inputs),
        (before.parameters, after.parameters),
        (before.environment, after.environment),
    )
    return (
        (before.fingerprint != after.fingerprint)
        + (before.version != after.version)
        + sum(len(_differing(one, other)) for one, other in pairs)
    )


def unit_changes(before: Manifest, after: Manifest) -> list[UnitChange]:
    """The units that differ by more than their place: changed ones first, then new ones, then those that are gone.

    A name that is bound more than once has several units, which are told apart by their hashes. Statements that bind
    none are called after their line, which does not count: they have changed where a module has as many as before.
    """
    old, new = _by_name(before), _by_name(after)
    changed: list[UnitChange] = []
    added: list[UnitChange] = []
    gone: list[UnitChange] = []
    for name in [*new, *(name for name in old if name not in new)]:
        was, now = _without_common(old.get(name, []), new.get(name, []))
        pairs = min(len(was), len(now)) if not _is_unnamed(name) or len(was) == len(now) else 0
        changed += map(UnitChange, was[:pairs], now[:pairs])
        added += (UnitChange(None, unit) for unit in now[pairs:])
        gone += (UnitChange(unit, None) for unit in was[pairs:])
    return changed + added + gone


def _by_name(manifest: Manifest) -> dict[str, list[CoveredUnit]]:
    found: dict[str, list[CoveredUnit]] = {}
    for covered in sorted(manifest.units, key=lambda covered: covered.line):
        module, _, name = covered.unit.partition(":")
        found.setdefault(f"{module}:" if name.startswith("line ") else covered.unit, []).append(covered)
    return found


def _is_unnamed(name: str) -> bool:
    return name.endswith(":")


def _without_common(
    before: list[CoveredUnit], after: list[CoveredUnit]
) -> tuple[list[CoveredUnit], list[CoveredUnit]]:
    """Both without the units that are on the other side too, each as often as it is there."""
    left: dict[str, int] = {}
    for covered in before:
        left[covered.hash] = left.get(covered.hash, 0) + 1
    now = []
    for covered in after:
        if left.get(covered.hash):
            left[covered.hash] -= 1
        else:
            now.append(covered)
    was = []
    for covered in reversed(before):  # those that are left over are the last of their kind
        if left.get(covered.hash):
            left[covered.hash] -= 1
            was.append(covered)
    return was[::-1], now


def _code_differences(
    before: Action, after: Action, manifests: tuple[Manifest, Manifest] | None
) -> list[Difference]:
    if manifests is None:
        return [Difference("code", "fingerprint", before.fingerprint, after.fingerprint)]
    old, new = manifests
    units = [
        Difference(
            "code",
            change.unit,
            change.before.hash if change.before is not None else None,
            change.after.hash if change.after is not None else None,
        )
        for change in unit_changes(old, new)
    ]
    versions = _mapping_differences("environment", old.distributions, new.distributions)
    return units + versions or [Difference("code", "fingerprint", old.hex, new.hex)]


def _input_words(taken: Input) -> str:
    item = "".join(f"[{step!r}]" for step in taken.item)
    return f"{taken.digest}{item}"


def _input_differences(before: Mapping[str, Input], after: Mapping[str, Input]) -> list[Difference]:
    """By what is taken; where that is the same, by how it is read."""
    found = []
    for name in _differing(before, after):
        was, now = before.get(name), after.get(name)
        words = [None if taken is None else _input_words(taken) for taken in (was, now)]
        if was is not None and now is not None and words[0] == words[1]:
            words = [" as ".join(filter(None, (taken.type, taken.read_as))) for taken in (was, now)]
        found.append(Difference("input", name, *words))
    return found


def _mapping_differences(
    kind: Reason, before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[Difference]:
    return [Difference(kind, name, before.get(name), after.get(name)) for name in _differing(before, after)]


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names under which two mappings do not hold the same, those of ``before`` first."""
    names = [*before, *(name for name in after if name not in before)]
    return [
        name
        for name in names
        if (name in before) != (name in after) or _encoded(before[name]) != _encoded(after[name])
    ]


def _encoded(value: Any) -> bytes:
    return encode(msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value)
