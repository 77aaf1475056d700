"""Results filed under action keys: created once, superseded by generations, never replaced."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from lineal_store.errors import CorruptRecord, InvalidName, StoreUnavailable
from lineal_store.protocols import Backend, Upload
from lineal_store.sealed import seal, unseal

REASONS = ("forced", "expired", "quarantined", "lost", "corrupt")
"""Why a result may be retired."""

_RETIRED = "refs/retired/"
_KEY = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"actions/([0-9a-f]{2})/([0-9a-f]{30})\.(0|[1-9][0-9]{0,8})")
_RETIRED_NAME = re.compile(r"refs/retired/([0-9a-f]{32})\.(0|[1-9][0-9]{0,8})")
_READ_AT_ONCE = 1000
_ROUNDS = 16


class Filed(NamedTuple):
    """An action result as it lies in the store: the key, its generation (from 0), the record's bytes."""

    key: str
    generation: int
    data: bytes


class Retirement(NamedTuple):
    """Why a generation is no longer offered as a hit: one of REASONS, by whom, and when (aware UTC).

    ``why`` is what they said about it, if anything.
    """

    reason: str
    by: str
    at: datetime
    why: str = ""


class Actions:
    """The action cache of one store. Keys are 32 lowercase hex digits (else InvalidName); the bytes are opaque.

    A key's current generation is the number of its generations that were retired. Those are listed once, when first
    needed; a retirement by another process is seen after ``refresh``, or when a publication collides with it.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._current: dict[str, int] | None = None

    def find(self, keys: Iterable[str]) -> dict[str, Filed]:
        """The current results of those of ``keys`` that have one, in one batch."""
        current = self._generations()
        wanted = {name: key for key, name in self.names(keys).items()}
        found = self._backend.read_many(wanted)
        return {(key := wanted[name]): Filed(key, current.get(key, 0), data) for name, data in found.items()}

    def publish(self, records: Sequence[tuple[str, bytes]]) -> Sequence[Filed]:
        """File results under their keys, in one durable batch; for each, in order, the one that counts.

        That is another writer's where one was first: compare ``data``, and report the difference.
        """
        filed: dict[int, Filed] = {}
        for _ in range(_ROUNDS):
            current = self._generations()
            left = [index for index in range(len(records)) if index not in filed]
            names = [_name(records[index][0], current.get(records[index][0], 0)) for index in left]
            made = self._backend.create(
                [Upload(name, records[index][1]) for name, index in zip(names, left, strict=True)]
            )
            for created, index in zip(made, left, strict=True):
                key, data = records[index]
                if created:
                    filed[index] = Filed(key, current.get(key, 0), data)
            if len(filed) < len(records):
                # Somebody's result is there. Unless it has been retired meanwhile, it is the one.
                self.refresh()
                present = self.find(records[index][0] for index in left if index not in filed)
                filed |= {
                    index: present[records[index][0]]
                    for index in left
                    if index not in filed and records[index][0] in present
                }
            if len(filed) == len(records):
                return [filed[index] for index in range(len(records))]
        raise StoreUnavailable(
            self._backend.url,
            "results were retired faster than they could be filed",
            "Try again.",
            transient=True,
        )

    def retire(self, key: str, generation: int, reason: str, *, by: str, at: datetime, why: str = "") -> None:
        """No longer offer ``generation`` of ``key`` as a hit; nothing happens when it was retired before.

        ``reason`` is one of REASONS; ``at`` is aware. ValueError for a generation that is still to come.
        """
        name = _retired_name(key, generation)
        if reason not in REASONS:
            raise ValueError(f"{reason!r} is not one of {', '.join(REASONS)}")
        if at.utcoffset() is None:
            raise ValueError("the time of a retirement needs a time zone")
        if generation > self._generations().get(key, 0):
            self.refresh()
            if generation > self._generations().get(key, 0):
                raise ValueError(f"{key} has no generation {generation} yet")
        record = {"at": at.astimezone(UTC).isoformat(), "by": by, "reason": reason}
        if why:
            record["why"] = why
        self._backend.create([Upload(name, seal(record))])
        current = self._generations()
        current[key] = max(current.get(key, 0), generation + 1)

    def list(self, *, retired: bool = False) -> Iterator[Filed]:
        """Every current result, sorted by key, or every result; CorruptRecord for an object that is not named as one."""
        current = self._generations()
        batch: dict[str, tuple[str, int]] = {}
        for info in self._backend.list("actions/"):
            key, generation = _parse(_NAME, info.name)
            if retired or generation == current.get(key, 0):
                batch[info.name] = key, generation
            if len(batch) == _READ_AT_ONCE:
                yield from self._read(batch)
                batch = {}
        yield from self._read(batch)

    def history(self, key: str) -> Sequence[tuple[Filed, Retirement | None]]:
        """Every result filed under ``key``, oldest generation first, each with its retirement, if any."""
        prefix = _name(key, 0).removesuffix("0")
        names = {info.name: _parse(_NAME, info.name) for info in self._backend.list(prefix)}
        filed = sorted(self._read(names), key=lambda result: result.generation)
        retired = self._backend.read_many(_retired_name(key, result.generation) for result in filed)
        history: list[tuple[Filed, Retirement | None]] = []
        for result in filed:
            name = _retired_name(key, result.generation)
            history.append((result, _decode_retirement(name, retired[name]) if name in retired else None))
        return history

    def generation(self, key: str) -> int:
        """The generation that a new result of ``key`` would have: how often one has been retired."""
        return self._generations().get(key, 0)

    def names(self, keys: Iterable[str]) -> dict[str, str]:
        """What the objects are called that hold, or would hold, the current results of ``keys``."""
        current = self._generations()
        return {key: _name(key, current.get(key, 0)) for key in keys}

    def refresh(self) -> None:
        """Forget which generations are retired; they are listed again when next needed."""
        self._current = None

    def _read(self, names: dict[str, tuple[str, int]]) -> Iterator[Filed]:
        found = self._backend.read_many(names)
        return (Filed(*names[name], data) for name, data in sorted(found.items()))

    def _generations(self) -> dict[str, int]:
        """The current generation of every key that has had one retired."""
        if self._current is None:
            retired: dict[str, set[int]] = {}
            for info in self._backend.list(_RETIRED):
                key, generation = _parse(_RETIRED_NAME, info.name)
                retired.setdefault(key, set()).add(generation)
            self._current = {
                key: next(g for g in range(len(generations) + 1) if g not in generations)
                for key, generations in retired.items()
            }
        return self._current


def _name(key: str, generation: int) -> str:
    _check_key(key)
    return f"actions/{key[:2]}/{key[2:]}.{generation}"


def _retired_name(key: str, generation: int) -> str:
    _check_key(key)
    return f"{_RETIRED}{key}.{generation}"


def _check_key(key: str) -> None:
    if _KEY.fullmatch(key) is None:
        raise InvalidName(key, "is not an action key: 32 lowercase hex digits")


def _parse(pattern: re.Pattern[str], name: str) -> tuple[str, int]:
    match = pattern.fullmatch(name)
    if match is None:
        raise CorruptRecord(name, "nothing of an action is named so")
    *key, generation = match.groups()
    return "".join(key), int(generation)


def _decode_retirement(name: str, data: bytes) -> Retirement:
    record = unseal(data, what=name)
    if isinstance(record, dict) and set(record) - {"why"} == {"at", "by", "reason"}:
        at, by, reason, why = record["at"], record["by"], record["reason"], record.get("why", "")
        if isinstance(at, str) and isinstance(by, str) and isinstance(why, str) and reason in REASONS:
            try:
                return Retirement(str(reason), by, datetime.fromisoformat(at).astimezone(UTC), why)
            except (ValueError, OverflowError):
                pass
    raise CorruptRecord(name, "it is no retirement")
