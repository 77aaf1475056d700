"""How long stages take, as far as earlier runs tell, and the timeouts that follow from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lineal.graph.records import StageRecord

_TIMES_NEEDED = 3  # two may both have been lucky
_SHORTEST_TIMEOUT_SECONDS = 60
_STAGES_NAMED = 5


@dataclass(frozen=True, slots=True)
class Times:
    """What a stage took, in seconds: usually (the median), and at most."""

    usual: float
    longest: float


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
        stage_id: Times(sorted(taken)[len(taken) // 2], max(taken))
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


def _rounded_up(seconds: float) -> str:
    """As `@stage` takes it: whole minutes up to two hours, then whole hours."""
    return f"{math.ceil(seconds / 60)}m" if seconds <= 7200 else f"{math.ceil(seconds / 3600)}h"
