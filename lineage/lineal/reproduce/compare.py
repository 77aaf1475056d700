"""What was made then and what was made now, artifact by artifact. Nothing is unpickled here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lineal.graph.explain_files import explain_json
from lineal.graph.explain_inputs import Content, explain_contents
from lineal.graph.records import TREES, Output, StageRecord
from lineal.reproduce.plan import RecordedStage, call_of
from lineal.reproduce.tolerance import NO_DIFFERENCE, Tolerance, compare_within
from lineal_store import Digest, Store
from lineal_store.errors import LinealError
from lineal_store.tree import Tree

Verdict = Literal["identical", "within_tolerance", "different", "not_reproducible"]

_WORST_FIRST: tuple[Verdict, ...] = ("different", "not_reproducible", "within_tolerance", "identical")
_PICKLES = ("sklearn", "pickle")


@dataclass(frozen=True, slots=True)
class Compared:
    """One artifact: the digests of what is ``expected`` and of what was made (None where nothing was), and in words what differs."""

    stage: str
    output: str
    expected: str
    actual: str | None
    verdict: Verdict
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compares what ``store`` holds with what lies in the ``scratch`` store.

    ``models`` compares two pickles within the tolerance; it is there where they may be loaded.
    """

    store: Store
    scratch: Store
    tolerance: Tolerance | None = None
    models: Callable[[Path, Path, Tolerance], tuple[bool, str] | None] | None = None

    def stages(
        self, recorded: Mapping[str, RecordedStage], made: Iterable[StageRecord]
    ) -> tuple[Compared, ...]:
        """One verdict for each output that stages had then, in the order in which they were executed; a list comes after its items."""
        found: list[Compared] = []
        waiting: list[tuple[RecordedStage, StageRecord]] = []
        for stage in made:
            if waiting and call_of(stage.id) != waiting[0][0].id:
                found += self._lists(waiting, found)
            before = recorded.get(stage.id)
            if before is None:
                continue
            if stage.items is not None:
                waiting.append((before, stage))
            else:
                found += self._stage(before, stage)
        found += self._lists(waiting, found)
        return tuple(found)

    def _stage(self, before: RecordedStage, stage: StageRecord) -> list[Compared]:
        return [
            self._artifact(stage, name, output, stage.outputs.get(name))
            for name, output in before.outputs.items()
        ]

    def _lists(
        self, waiting: list[tuple[RecordedStage, StageRecord]], found: list[Compared]
    ) -> list[Compared]:
        """A list is what its items are."""
        lists: list[Compared] = []
        for before, stage in waiting:
            items = [one.verdict for one in found if call_of(one.stage) == stage.id]
            for compared in self._stage(before, stage):
                if compared.verdict == "different" and "within_tolerance" in items:
                    compared = replace(compared, verdict=worst(items))
                lists.append(compared)
        waiting.clear()
        return lists

    def _artifact(self, stage: StageRecord, name: str, old: Output, new: Output | None) -> Compared:
        if new is None:
            return Compared(stage.id, name, old.digest, None, "not_reproducible", _why_not(stage))
        if new.digest == old.digest:
            return Compared(stage.id, name, old.digest, new.digest, "identical")
        verdict, detail = self._different(old, new)
        return Compared(stage.id, name, old.digest, new.digest, verdict, detail)

    def _different(self, old: Output, new: Output) -> tuple[Verdict, str]:
        before, after = self._content(self.store, old), self._content(self.scratch, new)
        within = self._within(before, after, self.tolerance) if self.tolerance is not None else None
        if within is not None:
            return ("within_tolerance" if within[0] else "different"), within[1]
        if old.type not in _PICKLES and self._within(before, after, Tolerance()) == (True, NO_DIFFERENCE):
            return "different", "the same values, written as other bytes"
        words = explain_contents(before, after)
        if old.type == new.type == "json" and "value" not in old.description:
            words = self._places(before, after) or words  # the values tell more than their lengths
        if old.type in _PICKLES:
            unread = self.tolerance is not None and self.models is None
            words.insert(0, "other bytes of a pickle" + (", which only --trust looks into" if unread else ""))
        return "different", "; ".join(words) or "other bytes"

    def _within(self, before: Content, after: Content, tolerance: Tolerance) -> tuple[bool, str] | None:
        old, new = before.local(), after.local()
        if before.type != after.type or old is None or new is None:
            return None
        if before.type not in _PICKLES:
            return compare_within(before.type, old, new, tolerance)
        return self.models(old, new, tolerance) if self.models is not None else None

    def _places(self, before: Content, after: Content) -> list[str]:
        old, new = before.local(), after.local()
        return explain_json(old, new) if old is not None and new is not None else []

    def _content(self, store: Store, output: Output) -> Content:
        digest = Digest.parse(output.digest)

        def local() -> Path | None:
            try:
                return store.blobs.fetch(digest)
            except LinealError:
                return None

        def files() -> Mapping[str, str] | None:
            try:
                entries = Tree.decode(store.blobs.read(digest)).entries
            except LinealError:
                return None
            return {entry.path: str(entry.digest) for entry in entries}

        return Content(
            output.type,
            None,
            output.size_bytes,
            output.description,
            local=(lambda: None) if output.type in TREES else local,
            files=files,
        )


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on all of them together.

    >>> worst(["identical", "within_tolerance"]), worst([])
    ('within_tolerance', 'identical')
    """
    found = set(verdicts)
    return next((verdict for verdict in _WORST_FIRST if verdict in found), "identical")


def _why_not(stage: StageRecord) -> str:
    if stage.error is not None:
        kind, message = stage.error.get("type") or stage.error.get("kind"), stage.error.get("message")
        return f"{stage.id} failed: {kind}: {message}" if message else f"{stage.id} failed: {kind}"
    if stage.state == "skipped":
        return f"{stage.id} was skipped: its condition came out otherwise"
    return f"{stage.id} did not run, because a stage before it failed"
