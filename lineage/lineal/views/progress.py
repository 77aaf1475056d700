"""What is shown of a run while it goes on: the same on a terminal, in a log and in a notebook.

A `Board` is told the run's events and holds what is true now, in an amount that a screen can show however many stages
there are; what happened and is worth a line is a `Notice`. Nothing here writes, waits or looks at a clock.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice

from msgspec import Struct, field

from lineal.events import (
    Event,
    ExecutionStarted,
    Failure,
    OutputCaptured,
    RunStarted,
    StageChanged,
    StageExpanded,
)
from lineal.graph.forecast import Forecast, Left
from lineal.views.words import clean, counted, family, last_state, reason, seconds, whole_seconds

MANY = 20  # of a family, or of hits, no more than that are told one by one
LINES_KEPT = 12
_LONGEST_LINE = 8192
_LATE = 1.5  # times as long as usual
_PACE_KNOWN_AFTER = 5  # stages of a large family
_PACED = 20  # large families at a time
_MILESTONES = 10  # in the life of a large family, at most
_MILESTONE_SECONDS = 5.0  # between two of them, at least


class Notice(Struct, frozen=True):
    """Something that is worth a line: what became of whom, and what else there is to say. ``said`` is clean text."""

    at: datetime
    subject: str
    state: str
    said: str = ""
    seconds: float = 0.0


class Running(Struct):
    """A stage that runs: since when, the seconds that it took of late, and the last thing that it printed."""

    stage: str
    since: float
    attempt: int
    expected: float | None
    last_line: str

    def usual(self) -> str:
        """``~34 s``, where it has a past that is worth telling."""
        return "" if self.expected is None or self.expected < 1 else f"~{_roughly(self.expected)}"

    def time(self, now: float) -> str:
        """``12 s of ~34 s``, or ``62 s, usually ~34 s``."""
        elapsed, usual = now - self.since, self.usual()
        if not usual:
            return whole_seconds(elapsed)
        is_late = elapsed > _LATE * (self.expected or 0)
        return (
            f"{whole_seconds(elapsed)}, usually {usual}"
            if is_late
            else f"{whole_seconds(elapsed)} of {usual}"
        )


class Family(Struct):
    """The stages that share a name, such as the items of a fan-out."""

    name: str
    total: int = 0
    words: Counter[str] = field(default_factory=Counter)
    began: float | None = None
    told: float | None = None  # when it was told last how far it is, or when it began
    executed: int = 0
    untimed: int = 0  # those that have not ended and have no past
    failures_told: int = 0
    milestone: int = 0

    @property
    def ended(self) -> int:
        return self.total - sum(self.words[word] for word in _GOING_ON)

    def left(self, now: float) -> float | None:
        """The seconds until all have ended, at the pace so far; None as long as there is none."""
        if self.began is None or self.executed < _PACE_KNOWN_AFTER:
            return None
        return (self.total - self.ended) * (now - self.began) / self.executed

    def said(self) -> str:
        """``4,210 of 10,000 · 8 running · 3 failed``."""
        more = [
            f"{self.words[word]:,} {word}" for word in ("running", "failed", "not run") if self.words[word]
        ]
        return " · ".join([f"{self.ended:,} of {self.total:,}", *more])


class Board:
    """What is true of a run now. Times are in seconds on one clock, which the caller reads."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.running: dict[str, Running] = {}
        self.tails: dict[str, deque[str]] = {}
        self.execution: ExecutionStarted | None = None
        self._began = 0.0
        self._began_at: datetime | None = None
        self._held: list[StageChanged] = []  # stages that are to be executed, told when that has started
        self._words: dict[str, str] = {}
        self._items: dict[str, Sequence[str]] = {}  # of mapped stages
        self._mapped: dict[str, str] = {}  # the other way round
        self._families: dict[str, Family] = {}
        self._forecast: Forecast | None = None
        self._unfinished: dict[tuple[str, str], str] = {}  # text after the last line end, by stage and stream

    def take(self, event: Event, now: float) -> list[Notice]:
        """Take note of an event, except of output; what it is worth telling of it."""
        match event:
            case RunStarted():
                self._began, self._began_at = now, event.at
                self._words = dict.fromkeys(event.stages, "queued")
                self.counts = Counter(queued=len(self._words))
            case ExecutionStarted():
                return self._start(event, now)
            case StageExpanded():
                self._expand(event)
            case StageChanged():
                return self._change(event, now)
        return []

    def take_output(self, event: OutputCaptured) -> list[str]:
        """Take note of what a stage printed; the lines that are complete now, as they were printed."""
        key = event.stage, event.stream
        *lines, rest = (self._unfinished.get(key, "") + event.text).split("\n")
        if len(rest) > _LONGEST_LINE:
            lines.append(rest)
            rest = ""
        self._unfinished[key] = last_state(rest) + ("\r" if rest.endswith("\r") else "")
        lines = [last_state(line) for line in lines]
        self._keep(event.stage, lines)
        running = self.running.get(event.stage)
        if running is not None:
            shown = (line for line in (last_state(rest), *reversed(lines)) if line.strip())
            running.last_line = clean(next(shown, running.last_line)[:_LONGEST_LINE]).expandtabs(1)
        return lines

    def finish_lines(self, stage: str) -> list[str]:
        """What a stage printed without ending the line."""
        rest = [self._unfinished.pop(key) for key in list(self._unfinished) if key[0] == stage]
        lines = [last_state(line) for line in rest if line]
        self._keep(stage, lines)
        return lines

    def large_families(self, most: int) -> list[Family]:
        """The large families that are under way, at most so many."""
        under_way = (
            one
            for one in self._families.values()
            if one.total > MANY and one.ended < one.total and one.words["running"]
        )
        return list(islice(under_way, most))

    def elapsed(self, now: float) -> float:
        return now - self._began

    def summary(self, now: float) -> str:
        """``2 running · 10 queued · 8 unchanged · 1 min 02 s · about 3 min left``."""
        counts = [f"{self.counts[word]:,} {word}" for word in _WORDS if self.counts[word]]
        return " · ".join(
            part for part in (*counts, whole_seconds(self.elapsed(now)), self._left(now)) if part
        )

    def heartbeat(self, at: datetime, now: float) -> Notice:
        """That the run is alive, and what it is at."""
        names = [f"{clean(one.stage)} {one.time(now)}" for one in islice(self.running.values(), 4)]
        hidden = len(self.running) - len(names)
        at_work = ", ".join(names) + (f" and {hidden:,} more" if hidden else "")
        return Notice(
            at, "still running", "", " · ".join(part for part in (at_work, self.summary(now)) if part)
        )

    # -- parts --------------------------------------------------------------------------------

    def _start(self, event: ExecutionStarted, now: float) -> list[Notice]:
        self.execution = event
        if self._began_at is not None:  # who listens late is told what happened before all at once
            self._began = now - (event.at - self._began_at).total_seconds()
        self._forecast = Forecast(event.expected, event.parents, event.slots)
        for stage, items in self._items.items():
            self._forecast.expand(stage, items)
        for stage, word in self._words.items():
            kin = self._of(stage)
            kin.words[word] += 1
            if word not in _GOING_ON:
                self._forecast.end(stage)
            elif self._expected(stage) is None:
                kin.untimed += 1
        for one in self._families.values():
            one.milestone = one.ended * _MILESTONES // one.total
        hits = [stage for stage, word in self._words.items() if word == "unchanged"]
        if len(self._words) > MANY:
            hits = [counted(len(hits), "stage")] if hits else []
        notices = [Notice(event.at, subject, "unchanged") for subject in hits]
        for held in self._held:
            if (running := self.running.get(held.stage)) is not None:
                kin = self._of(held.stage, joins=False)
                kin.began, running.expected = running.since, self._expected(held.stage)
                notices += self._told(held, kin, running.since)
        self._held = []
        return notices

    def _of(self, stage: str, *, joins: bool = True) -> Family:
        name = family(stage)
        found = self._families.get(name)
        if found is None:
            found = self._families[name] = Family(name)
        found.total += joins
        return found

    def _expand(self, event: StageExpanded) -> None:
        """Let the items stand in the place of their stage."""
        word = self._words.pop(event.stage)
        self.counts[word] -= 1
        self.counts["queued"] += len(event.items)
        self._words |= dict.fromkeys(event.items, "queued")
        self._items[event.stage] = event.items
        self._mapped |= dict.fromkeys(event.items, event.stage)
        if self._forecast is None:
            return
        self._forecast.expand(event.stage, event.items)
        is_untimed = self._expected(event.stage) is None
        kin = self._of(event.stage, joins=False)
        kin.words[word] -= 1
        kin.words["queued"] += len(event.items)
        kin.total += len(event.items) - 1
        kin.untimed += is_untimed * (len(event.items) - 1)

    def _change(self, event: StageChanged, now: float) -> list[Notice]:
        before, word = self._words.get(event.stage), _word(event)
        if word == before == "running" and self.running[event.stage].attempt == event.attempt:
            return []  # it goes on
        self._words[event.stage] = word
        self.counts[word] += 1
        if before is not None:
            self.counts[before] -= 1
        if word == "running":
            self.running[event.stage] = self._running(event, now)
        else:
            self.running.pop(event.stage, None)
        if word in ("running", "ran", "unchanged"):  # of a failure its last attempt counts
            self.tails.pop(event.stage, None)
        if self.execution is None:
            if word == "running":
                self._held.append(event)
                return []
            return self._told(event, None, now)
        assert self._forecast is not None
        was_open, is_open = before in _GOING_ON, word in _GOING_ON
        if is_open:
            self._forecast.reopen(event.stage)
        else:
            self._forecast.end(event.stage)
        kin = self._of(event.stage, joins=before is None)
        kin.words[word] += 1
        if before is not None:
            kin.words[before] -= 1
        if self._expected(event.stage) is None:
            kin.untimed += is_open - was_open
        if word == "running" and kin.began is None:
            kin.began = now
        kin.executed += word in ("ran", "failed")
        return self._told(event, kin, now)

    def _running(self, event: StageChanged, now: float) -> Running:
        said = reason(event.reason, event.cache, event.state)
        return Running(event.stage, now, event.attempt, self._expected(event.stage), said)

    def _expected(self, stage: str) -> float | None:
        """The seconds that the stage takes as a rule; an item takes what those of its stage take."""
        if self.execution is None:
            return None
        return self.execution.expected.get(stage, self.execution.expected.get(self._mapped.get(stage, stage)))

    def _told(self, event: StageChanged, kin: Family | None, now: float) -> list[Notice]:
        state, is_large = event.state, kin is not None and kin.total > MANY
        if state in ("failed", "up_for_retry"):
            return self._failure(event, kin if is_large else None)
        if kin is not None and is_large:
            return self._milestone(event, kin, now)
        if state in ("queued", "upstream_failed") or (state == "cancelled" and not event.attempt):
            return []
        is_again = (
            event.cache == "hit" and event.attempt > 0
        )  # a hit that is executed to see whether it is deterministic
        if event.cache == "hit" and not is_again:
            told = self.execution is not None and len(self._words) <= MANY
            return [Notice(event.at, event.stage, "unchanged")] if told else []
        if state == "skipped" and len(self._words) > MANY:
            return []
        said = reason(event.reason, event.cache, state) if state != "cancelled" else ""
        if is_again:
            said = "executed again"
        elif event.cache == "miss" and said:
            said = f"miss: {said}"
        if event.attempt > 1:
            said = f"{said}, attempt {event.attempt}" if said else f"attempt {event.attempt}"
        if state == "running" and (usual := self.running[event.stage].usual()):
            said = f"{said}, usually {usual}" if said else f"usually {usual}"
        took = event.seconds if state not in ("running", "skipped") else 0.0
        return [Notice(event.at, event.stage, state, said, took)]

    def _failure(self, event: StageChanged, kin: Family | None) -> list[Notice]:
        if kin is not None:
            kin.failures_told += 1
            if kin.failures_told > MANY:
                further = "further failures are only counted"
                told = kin.failures_told == MANY + 1
                return [Notice(event.at, kin.name, _FAILED_AS[event.state], further)] if told else []
        said = failure_line(event.failure) if event.failure is not None else ""
        if event.attempt > 1 or event.state == "up_for_retry":
            said += f"{', ' if said else ''}attempt {event.attempt}"
        return [Notice(event.at, event.stage, _FAILED_AS[event.state], said, event.seconds)]

    def _milestone(self, event: StageChanged, kin: Family, now: float) -> list[Notice]:
        reached, is_last = kin.ended * _MILESTONES // kin.total, kin.ended == kin.total
        kin.told = now if kin.told is None else kin.told
        if reached <= kin.milestone or not (is_last or now - kin.told >= _MILESTONE_SECONDS):
            return []
        kin.milestone, kin.told = reached, now
        state = "running" if not is_last else "failed" if kin.words["failed"] else "succeeded"
        return [Notice(event.at, kin.name, state, kin.said())]

    def _keep(self, stage: str, lines: list[str]) -> None:
        if lines:
            self.tails.setdefault(stage, deque(maxlen=LINES_KEPT)).extend(lines[-LINES_KEPT:])

    def _left(self, now: float) -> str:
        if self._forecast is None:
            return ""
        left = self._forecast.left({stage: now - one.since for stage, one in self.running.items()})
        longest, unknown = left.seconds, left.unknown
        for one in self.large_families(_PACED):
            if (paced := one.left(now)) is not None:  # measured, and with all that happens between two stages
                longest, unknown = max(longest, paced), unknown - one.untimed
        return left_in_words(Left(longest, max(0, unknown)))


_WORDS = ("running", "queued", "to be retried", "unchanged", "ran", "failed", "not run", "skipped")
_GOING_ON = frozenset({"running", "queued", "to be retried"})
_WORD_OF: Mapping[str, str] = {
    "running": "running",
    "queued": "queued",
    "up_for_retry": "to be retried",
    "succeeded": "ran",
    "failed": "failed",
    "upstream_failed": "not run",
    "cancelled": "not run",
    "skipped": "skipped",
}


_FAILED_AS = {"failed": "failed", "up_for_retry": "retry"}


def _word(event: StageChanged) -> str:
    return "unchanged" if event.cache == "hit" and event.state == "succeeded" else _WORD_OF[event.state]


def failure_line(failure: Failure) -> str:
    """Its type and the first line of its message."""
    first_line = failure.message.partition("\n")[0]
    return clean(": ".join(part for part in (failure.type, first_line) if part))


def left_in_words(left: Left) -> str:
    """
    >>> left_in_words(Left(34.2, 0)), left_in_words(Left(200, 1)), left_in_words(Left(0, 3))
    ('about 34 s left', 'more than 3 min left', 'time left unknown')
    """
    if left.seconds == 0:
        return "time left unknown" if left.unknown else ""
    return f"{'more than' if left.unknown else 'about'} {_roughly(left.seconds)} left"


def _roughly(value: float) -> str:
    if value < 59.5:
        return f"{max(1, round(value))} s"
    return f"{round(value / 60)} min" if value < 3570 else seconds(60 * round(value / 60))
