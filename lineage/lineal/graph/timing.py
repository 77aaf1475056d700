"""How long stages take, as far as earlier runs tell, and what follows from it: timeouts, and stages that are not worth it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lineal.graph.records import StageRecord

_TIMES_NEEDED = 3  # two may both have been lucky
_SHORTEST_TIMEOUT_SECONDS = 60
_STAGES_NAMED = 5
_LEAST_OVERHEAD_SECONDS = 1.0
_MANY = 20  # of one name: then each may be small
_REMEDIES = {
    False: "pass less data, or join it with its neighbour",
    True: "where they are many, let each do more",
}


@dataclass(frozen=True, slots=True)
class Times:
    """What a stage took, in seconds: usually (the median), and at most."""

    usual: float
    longest: float


@dataclass(frozen=True, slots=True)
class Split:
    """What an attempt at a stage usually takes, in seconds: its function, and all that is done around it."""

    work: float
    around: float


def times_of(runs: Iterable[Sequence[StageRecord]]) -> dict[str, Times]:
    """By its id, what each stage took that was executed often enough in ``runs`` to tell.

    Only what succeeded at the first attempt counts: other records hold the time of several attempts.
    """
    found: dict[str, list[float]] = {}
    for stages in runs:
        for stage in stages:
            if stage.state == "succeeded" and stage.attempts == 1:
                found.setdefault(stage.id, []).append(stage.seconds)
    return {
        stage_id: Times(_median(taken), max(taken))
        for stage_id, taken in found.items()
        if len(taken) >= _TIMES_NEEDED
    }


def advise_timeouts(timeouts: Mapping[str, float], default: float, times: Mapping[str, Times]) -> str | None:
    """One sentence about the stages whose timeout is the default although ``times`` says what would do; None where there are none.

    ``timeouts`` are by stage id, in seconds. What is advised is twice the usual time, never less than the stage has taken or than a minute:
    a timeout is there for what hangs, not for what is slow today.

    >>> advise_timeouts({"load": 86400.0, "train": 7200.0}, 86400.0, {"load": Times(100.0, 110.0), "train": Times(1.0, 1.0)})
    'one stage would be stopped only after its default timeout of 24 h; twice its usual time: `load` timeout="4m"'
    """
    advised = {}
    for stage_id, timeout in timeouts.items():
        if timeout == default and stage_id in times:
            seconds = max(2 * times[stage_id].usual, times[stage_id].longest, _SHORTEST_TIMEOUT_SECONDS)
            if seconds < default:
                advised[stage_id] = seconds
    if not advised:
        return None
    longest_first = sorted(advised, key=lambda stage_id: -advised[stage_id])
    named = [f'`{name}` timeout="{_rounded_up(advised[name])}"' for name in longest_first[:_STAGES_NAMED]]
    more = f" and {len(advised) - len(named)} more" if len(advised) > len(named) else ""
    who, its = ("one stage", "its") if len(advised) == 1 else (f"{len(advised)} stages", "their")
    return (
        f"{who} would be stopped only after {its} default timeout of {default / 3600:g} h; "
        f"twice {its} usual time: {', '.join(named)}{more}"
    )


def splits_of(runs: Iterable[Sequence[StageRecord]]) -> dict[str, Split]:
    """By its id, how the time of each stage is usually split (the medians) that was executed in ``runs``."""
    found: dict[str, list[Split]] = {}
    for stages in runs:
        for stage in stages:
            if stage.state == "succeeded" and stage.attempts == 1 and stage.work_seconds is not None:
                around = max(0.0, stage.seconds - stage.work_seconds)
                found.setdefault(stage.id, []).append(Split(stage.work_seconds, around))
    return {
        stage_id: Split(_median(split.work for split in splits), _median(split.around for split in splits))
        for stage_id, splits in found.items()
    }


def advise_overheads(names: Mapping[str, str], splits: Mapping[str, Split]) -> str | None:
    """One sentence about stages that take longer for all that is done around their work than for the work; None where
    that does not amount to a second.

    ``names`` are the stages' names by their ids. All stages of one name are judged together: many small ones add up.

    >>> advise_overheads({"load": "load"}, {"load": Split(0.5, 3.25)})
    'to take data in and hand it on takes longer than the work itself: `load` 3.2 s beside 0.5 s; pass less data, or join it with its neighbour'
    """
    families: dict[str, list[Split]] = {}
    for stage_id, name in names.items():
        if stage_id in splits:
            families.setdefault(name, []).append(splits[stage_id])
    sums = {
        name: Split(sum(each.work for each in found), sum(each.around for each in found))
        for name, found in families.items()
    }
    dear = [
        name
        for name, total in sums.items()
        if total.around >= _LEAST_OVERHEAD_SECONDS and total.around > total.work
    ]
    if not dear:
        return None
    dear.sort(key=lambda name: -sums[name].around)
    named = [
        f"`{name}`{_of_many(families[name])} {sums[name].around:.1f} s beside {sums[name].work:.1f} s"
        for name in dear[:_STAGES_NAMED]
    ]
    more = f" and {len(dear) - len(named)} more" if len(dear) > len(named) else ""
    are_many = {len(families[name]) >= _MANY for name in dear}
    remedies = [remedy for many, remedy in _REMEDIES.items() if many in are_many]
    return (
        f"to take data in and hand it on takes longer than the work itself: {', '.join(named)}{more}; "
        f"{'; '.join(remedies)}"
    )


def _of_many(found: Sequence[Split]) -> str:
    return f" ({len(found):,} of them)" if len(found) > 1 else ""


def _median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]  # of two the larger


def _rounded_up(seconds: float) -> str:
    """As `@stage` takes it: whole minutes up to two hours, then whole hours."""
    return f"{math.ceil(seconds / 60)}m" if seconds <= 7200 else f"{math.ceil(seconds / 3600)}h"
