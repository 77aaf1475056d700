"""Files results of one store in another, where a key may have a history of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from lineal.graph.checked import decode_result, result_name
from lineal.graph.closure import PlannedResult
from lineal_store import Digest, Filed, Retirement, Store, Upload
from lineal_store.errors import CorruptRecord

Records = Mapping[str, Mapping[int, bytes]]
"""The records of results, by action key and generation."""

_History = Sequence[tuple[Filed, Retirement | None]]
_RETIRED_FOR_GOOD = ("forced", "expired", "quarantined")  # what was lost or corrupt is welcome back


class Filing(NamedTuple):
    """The keys under which something was filed; why some results stay retired, in words; results that were faster."""

    new: set[str]
    retired_there: list[str]
    others: dict[str, Filed]


def read_planned(source: Store, results: Sequence[PlannedResult]) -> dict[str, dict[int, bytes]]:
    """The records of those of ``results`` that are, byte for byte, what they were when they were planned."""
    plain = [result.key for result in results if not result.retired]
    found = _find(source, plain)
    records: dict[str, dict[int, bytes]] = {}
    for result in results:
        filed = [found[result.key]] if result.key in found else []
        if result.retired:
            filed = [one for one, _ in source.actions.history(result.key)]
        own = {one.generation: one.data for one in filed}
        planned = [*result.retired, *([result.current] if result.current is not None else [])]
        if planned and all(Digest.of(own.get(one.number, b"")) == one.seal for one in planned):
            records[result.key] = own
    return records


def file_results(destination: Store, results: Sequence[PlannedResult], records: Records) -> Filing:
    """File ``results``, independent of each other, under keys that have no current result in ``destination``.

    A result that was retired there, and not for want of its bytes, is not offered again.
    """
    actions = destination.actions
    there = {result.key: actions.history(result.key) for result in results if actions.generation(result.key)}
    new = _recreate_past(destination, results, records, there)
    retired_there: list[str] = []
    current: list[tuple[str, bytes]] = []
    for result in results:
        if result.current is None:
            continue
        data = records[result.key][result.current.number]
        why = _find_retirement(there.get(result.key, ()), data)
        if why is None:
            current.append((result.key, data))
        else:
            retired_there.append(
                f"{result.shown} stays retired in {destination.url}: {why.reason} by {why.by}"
            )
    filed = actions.publish(current)
    others = {kept.key: kept for (_, data), kept in zip(current, filed, strict=True) if kept.data != data}
    return Filing(new | {key for key, _ in current} - others.keys(), retired_there, others)


def describe_differences(
    source: Store, destination: Store, results: Sequence[PlannedResult], there: Mapping[str, Filed]
) -> Iterator[str]:
    """In words, in what the results that are current in ``destination`` differ from what ``source`` has."""
    differing = []
    for result in results:
        if result.key not in there:
            continue
        seal = Digest.of(there[result.key].data)
        if result.current is not None and result.current.seal != seal:
            differing.append(result)
        for one in result.retired:
            if result.current is None and one.retirement is not None and one.seal == seal:
                yield (
                    f"{result.shown} is retired in {source.url}, {one.retirement.reason} by {one.retirement.by}, "
                    f"and still good in {destination.url}"
                )
    found = _find(source, [result.key for result in differing])
    for result in differing:
        try:
            theirs = decode_result(result.key, there[result.key].data)
            ours = decode_result(result.key, found[result.key].data)
        except (CorruptRecord, KeyError):
            yield f"{result.shown} in {destination.url} cannot be compared with the one in {source.url}; it stays"
            continue
        if {name: one.digest for name, one in ours.outputs.items()} != {
            name: one.digest for name, one in theirs.outputs.items()
        }:
            yield (
                f"{result.shown} is not deterministic: {destination.url} has other bytes of the same action, "
                f"made in run {theirs.run_id}; its result stays"
            )


def _find(source: Store, keys: Sequence[str]) -> dict[str, Filed]:
    """The current results of ``keys``, from upstream too."""
    found = source.actions.find(keys)
    if source.upstream is not None:
        found |= source.upstream.find([key for key in keys if key not in found])
    return found


def _recreate_past(
    destination: Store, results: Sequence[PlannedResult], records: Records, there: Mapping[str, _History]
) -> set[str]:
    """Let what was retired be so in ``destination`` too, unless it has a past of its own; the keys of what is new.

    That a result is retired is written before the result, so that at no moment it passes for a good one.
    """
    past: list[tuple[str, Upload]] = []
    for result in results:
        own = records[result.key]
        if any(filed.data != own.get(filed.generation) for filed, _ in there.get(result.key, ())):
            continue
        for number, _, retirement in result.retired:
            assert retirement is not None
            destination.actions.retire(
                result.key,
                number,
                retirement.reason,
                by=retirement.by,
                at=retirement.at,
                why=retirement.why,
            )
            past.append((result.key, Upload(result_name(result.key, number), own[number])))
    made = destination.backend.create([upload for _, upload in past])
    return {key for (key, _), new in zip(past, made, strict=True) if new}


def _find_retirement(history: _History, data: bytes) -> Retirement | None:
    """Why the very result ``data`` was retired for good, if it was."""
    for filed, retirement in history:
        if filed.data == data and retirement is not None and retirement.reason in _RETIRED_FOR_GOOD:
            return retirement
    return None
