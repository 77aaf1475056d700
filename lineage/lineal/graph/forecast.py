"""How long the rest of a run will take, judged by how long its stages took of late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct


class Left(Struct, frozen=True):
    """What is left of a run: at least so many seconds, and ``unknown`` stages of which nobody knows how long they take."""

    seconds: float
    unknown: int


class Forecast:
    """The stages of a run that have not ended, and the seconds that each is expected to take.

    ``parents`` names every stage, parents before children; ``expected`` only those that have a past. No schedule on
    ``slots`` slots ends before all work is shared out among them, nor before the longest chain of stages that wait for
    each other is through; one that leaves no slot idle takes at most both together (Graham, "Bounds on multiprocessing
    timing anomalies", 1969). The larger of the two is told: never a guess, and close wherever there is plenty to do.
    Stages without a past count as nothing and are told apart.
    """

    def __init__(
        self, expected: Mapping[str, float], parents: Mapping[str, Sequence[str]], slots: int
    ) -> None:
        self._expected, self._slots = dict(expected), max(1, slots)
        self._through = _through(expected, parents)
        self._longest_first = sorted(parents, key=self._through.__getitem__, reverse=True)
        self._at = 0  # what comes before that in the line has ended
        self._open = set(parents)
        self._work = sum(expected.get(stage, 0.0) for stage in parents)
        self._unknown = sum(stage not in expected for stage in parents)

    def end(self, stage: str) -> None:
        """The stage has ended, whatever became of it."""
        if stage in self._open:
            self._open.discard(stage)
            self._work -= self._expected.get(stage, 0.0)
            self._unknown -= stage not in self._expected

    def reopen(self, stage: str) -> None:
        """The stage has to run, although it may have ended before: its result was lost."""
        if stage in self._through and stage not in self._open:
            self._open.add(stage)
            self._work += self._expected.get(stage, 0.0)
            self._unknown += stage not in self._expected
            self._at = 0

    def expand(self, stage: str, items: Sequence[str]) -> None:
        """The stage turns out to be these items, each of which takes as long as it was expected to take."""
        self.end(stage)
        seconds, through = self._expected.get(stage), self._through.get(stage, 0.0)
        self._through |= dict.fromkeys(items, through)
        if seconds is not None:
            self._expected |= dict.fromkeys(items, seconds)
        for item in items:
            self.reopen(item)
        self._longest_first = sorted(self._through, key=self._through.__getitem__, reverse=True)

    def left(self, running: Mapping[str, float]) -> Left:
        """What is left while the stages in ``running`` have run for that many seconds."""
        if not self._open:  # exactly: what sums of fractions leave over is no time
            return Left(0.0, 0)
        done = {
            stage: min(elapsed, self._expected.get(stage, 0.0))
            for stage, elapsed in running.items()
            if stage in self._open
        }
        work = max(0.0, self._work - sum(done.values())) / self._slots
        chains = [self._through[stage] - seconds for stage, seconds in done.items()]
        return Left(max([work, self._longest_waiting(done), *chains]), self._unknown)

    def _longest_waiting(self, running: Mapping[str, float]) -> float:
        line = self._longest_first
        while self._at < len(line) and line[self._at] not in self._open:
            self._at += 1
        for at in range(self._at, len(line)):
            if line[at] in self._open and line[at] not in running:
                return self._through[line[at]]
        return 0.0


def _through(expected: Mapping[str, float], parents: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """For each stage the seconds from its start to the end of the longest chain that begins with it."""
    through = {stage: expected.get(stage, 0.0) for stage in parents}
    for stage in reversed(list(parents)):
        for parent in parents[stage]:
            if parent in through:
                through[parent] = max(through[parent], expected.get(parent, 0.0) + through[stage])
    return through
