"""Random pipelines through several runs: what is executed, with which inputs, and how each stage ends, against a model.

The model knows no engine: a few lines of dictionaries say what a run must come to (`Model`). The engine is the whole one,
with a store on disk and stages that run in this process, one at a time.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clocked import Runs, stages
from depth import one_of
from hypothesis import example, given, note, settings
from hypothesis import strategies as st

from lineal.graph.records import RunRecord
from lineal_store import Digest

FLOW = """
from contextlib import ExitStack

from lineal import pipeline, stage, unless, when

EXECUTED = []
FAILING = {}


@stage
def strict(label: str, salt: int, left: int, right: int) -> int:
    return made(label, salt, left, right)


@stage
def lenient(label: str, salt: int, left: int | None, right: int | None) -> int:
    return made(label, salt, left, right)


@stage
def defaulting(label: str, salt: int, left: int = 1, right: int = 1) -> int:
    return made(label, salt, left, right)


def made(label, salt, left, right):
    EXECUTED.append((label, salt, left, right))
    if FAILING.get(label, 0) > 0:
        FAILING[label] -= 1
        raise ValueError(f"{label} fails")
    return (salt + (3 if left is None else left) + 2 * (3 if right is None else right)) % 4


@pipeline
def flow(steps: list[list[object]], salts: list[int], failing: dict[str, int]) -> None:
    FAILING.update(failing)  # when the pipeline is traced: no stage is told, and no key knows
    kinds = {"strict": strict, "lenient": lenient, "defaulting": defaulting}
    promises = {}
    for salt, (label, parents, kind, condition, retries) in zip(salts, steps, strict=True):
        step = kinds[kind].options(name=label, retries=retries, retry_delay="1m")
        with ExitStack() as stack:
            if condition is not None:
                parent, least, negated = condition
                stack.enter_context((unless if negated else when)(promises[parent] >= least))
            left, right = [*(promises[parent] for parent in parents), 0, 0][:2]
            promises[label] = step(label, salt, left, right)
"""


@dataclass(frozen=True)
class Step:
    """A stage of the pipeline. ``kind`` says what it is given for a parent that was skipped, if it can do without one.

    ``condition`` is a stage, the least value of it, and whether that is negated.
    """

    label: str
    parents: tuple[str, ...]
    kind: str
    condition: tuple[str, int, bool] | None
    retries: int

    @property
    def needs(self) -> set[str]:
        """Those without which it is skipped."""
        of_condition = {self.condition[0]} if self.condition is not None else set()
        return {*self.parents, *of_condition} if self.kind == "strict" else of_condition


@dataclass(frozen=True)
class Given:
    """What one run is given: each stage's salt, how many attempts of which stages fail, which are forced."""

    salts: Sequence[int]
    failing: Mapping[str, int]
    forced: Sequence[str]
    fail_fast: bool


@dataclass
class Fate:
    """How a stage must end. ``is_settled`` says that this can be told without executing anything."""

    state: str
    cache: str | None = None
    attempts: int = 0
    key: tuple[object, ...] = ()
    value: int | None = None
    is_settled: bool = False


@dataclass
class Model:
    """What has been made so far, by what was asked for: the values, as no older and no other data give them."""

    made: dict[tuple[object, ...], int] = field(default_factory=dict)

    def run(self, steps: Sequence[Step], given: Given) -> dict[str, Fate]:
        fates: dict[str, Fate] = {}
        for step, salt in zip(steps, given.salts, strict=True):
            fates[step.label] = self._fate(step, salt, given, fates)
        return fates

    def _fate(self, step: Step, salt: int, given: Given, fates: Mapping[str, Fate]) -> Fate:
        above = {name: fates[name] for name in {*step.parents, *step.needs}}
        if any(fate.state in ("failed", "upstream_failed") for fate in above.values()):
            return Fate("upstream_failed")
        all_settled = all(fate.is_settled for fate in above.values())
        skipped = [above[name] for name in step.needs if above[name].state == "skipped"]
        if skipped:
            return Fate("skipped", is_settled=all_settled or any(fate.is_settled for fate in skipped))
        if step.condition is not None:
            parent, least, negated = step.condition
            value = fates[parent].value
            assert value is not None
            if (value >= least) is negated:
                return Fate("skipped", is_settled=all_settled)
        instead = 1 if step.kind == "defaulting" else None
        values = [above[name].value if above[name].state != "skipped" else instead for name in step.parents]
        left, right = [*values, 0, 0][:2]
        key = (step.label, salt, left, right)
        if key in self.made and step.label not in given.forced:
            return Fate("succeeded", "hit", 0, key, self.made[key], is_settled=all_settled)
        failing = given.failing.get(step.label, 0)
        if failing > step.retries:
            return Fate("failed", "miss", step.retries + 1, key)
        value = (salt + (3 if left is None else left) + 2 * (3 if right is None else right)) % 4
        return Fate("succeeded", "miss", failing + 1, key, value)


@st.composite
def pipelines(draw: st.DrawFn) -> list[Step]:
    steps: list[Step] = []
    for number in range(draw(st.integers(3, 8))):
        before = [step.label for step in steps]
        some = st.lists(st.sampled_from(before), max_size=2) if before else st.just([])
        conditions = st.tuples(st.sampled_from(before), st.integers(1, 3), st.booleans()) if before else None
        steps.append(
            Step(
                f"s{number}",
                tuple(draw(some)),
                draw(st.sampled_from(["strict", "lenient", "defaulting"])),
                draw(st.none() | conditions) if conditions is not None else None,
                draw(st.integers(0, 2)),
            )
        )
    return steps


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[Step], list[Given]]:
    """A pipeline and what its successive runs are given: edits of it, and other failures each time."""
    steps = draw(pipelines())
    labels = [step.label for step in steps]
    salts = [draw(st.integers(0, 2)) for _ in steps]
    runs = []
    for _ in range(draw(st.integers(2, 4))):
        for place in draw(st.sets(st.integers(0, len(steps) - 1), max_size=2)):
            salts[place] = draw(st.integers(0, 2))
        failing = draw(st.dictionaries(st.sampled_from(labels), st.integers(1, 3), max_size=2))
        forced = draw(st.lists(st.sampled_from(labels), max_size=1))
        runs.append(Given(list(salts), failing, forced, draw(st.integers(0, 3)) == 3))
    return steps, runs


SKIPPED = [  # what was skipped, and all that may become of those behind it
    Step("s0", (), "strict", None, 0),
    Step("s1", ("s0",), "strict", ("s0", 3, False), 0),
    *(Step(kind, ("s1", "s0"), kind, None, 0) for kind in ("strict", "lenient", "defaulting")),
]


@settings(max_examples=one_of(15, 400), deadline=None, derandomize=True)
@given(stories())
@example((SKIPPED, [Given([salt, 0, 0, 0, 0], {}, [], False) for salt in (0, 3, 0)]))
def test_each_of_several_runs_executes_what_the_model_says_and_ends_as_it_says(
    story: tuple[list[Step], list[Given]],
) -> None:
    steps, given_runs = story
    with tempfile.TemporaryDirectory(prefix="lineal-oracle-") as folder, on_path(folder):
        runs, model = Runs(Path(folder)), Model()
        runs.write(FLOW)
        for given_run in given_runs:
            expected = model.run(steps, given_run)
            note(f"{given_run}: {expected}")
            parameters = {
                "steps": [[s.label, list(s.parents), s.kind, s.condition, s.retries] for s in steps],
                "salts": given_run.salts,
                "failing": dict(given_run.failing),
            }
            preview = runs.run(preview=True, force=given_run.forced, **parameters)
            assert hits_of(preview) == {
                label for label, fate in expected.items() if fate.cache == "hit" and fate.is_settled
            }
            assert runs.module.EXECUTED == []
            record = runs.run(force=given_run.forced, fail_fast=given_run.fail_fast, **parameters)
            check_told(runs, record)
            if given_run.fail_fast:
                check_stopped_early(runs, record, expected)
            else:
                check_whole(runs, record, expected)
            for label, fate in expected.items():
                if stages(record)[label].state == "succeeded":
                    assert fate.value is not None
                    assert value_of(runs, record, label) == fate.value
                    model.made[fate.key] = fate.value


def check_whole(runs: Runs, record: RunRecord, expected: Mapping[str, Fate]) -> None:
    found = {stage.id: (stage.state, stage.cache, stage.attempts) for stage in record.stages}
    assert found == {label: (fate.state, fate.cache, fate.attempts) for label, fate in expected.items()}
    assert executed(runs) == {fate.key: fate.attempts for fate in expected.values() if fate.attempts}
    failed = any(fate.state == "failed" for fate in expected.values())
    assert record.state == ("failed" if failed else "succeeded")


def check_stopped_early(runs: Runs, record: RunRecord, expected: Mapping[str, Fate]) -> None:
    """The first failure is the last thing that is executed; what it does not decide ends as it would have, or not at all."""
    found = {stage.id: stage.state for stage in record.stages}
    failed = [label for label, state in found.items() if state == "failed"]
    assert len(failed) == any(fate.state == "failed" for fate in expected.values())
    for label, state in found.items():
        assert state in (expected[label].state, "cancelled")
    if failed:
        assert runs.module.EXECUTED[-1] == expected[failed[0]].key
        assert executed(runs)[expected[failed[0]].key] == expected[failed[0]].attempts
    else:
        assert "cancelled" not in found.values()
    allowed = {fate.key: fate.attempts for fate in expected.values() if fate.attempts}
    assert all(count <= allowed.get(key, 0) for key, count in executed(runs).items())
    assert record.state == ("failed" if failed else "succeeded")


def check_told(runs: Runs, record: RunRecord) -> None:
    """What listeners heard last is what the record says, and each retry was told."""
    last = {event.stage: event.state for event in runs.told}
    assert last == {stage.id: stage.state for stage in record.stages}
    for stage in record.stages:
        waits = [event for event in runs.told if event.stage == stage.id and event.state == "up_for_retry"]
        assert len(waits) == max(0, stage.attempts - (stage.state != "cancelled"))


def hits_of(record: RunRecord) -> set[str]:
    return {stage.id for stage in record.stages if stage.cache == "hit"}


def executed(runs: Runs) -> dict[tuple[object, ...], int]:
    """How often each stage was executed, with what it was given."""
    calls: list[tuple[object, ...]] = runs.module.EXECUTED
    return {call: calls.count(call) for call in calls}


def value_of(runs: Runs, record: RunRecord, label: str) -> int:
    return int(runs.store.blobs.read(Digest.parse(stages(record)[label].outputs["result"].digest)))


class on_path:  # noqa: N801 — reads like the function that it is
    """The folder leads the search path for as long as that takes, and nothing of it stays imported."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        sys.path.insert(0, self._folder)

    def __exit__(self, *_: object) -> None:
        sys.path.remove(self._folder)
        sys.modules.pop("clocked_flow", None)
