"""Listens to one run, and writes what has to be told of it, and to whom, into the outbox: some while it runs, most when it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from lineal.alerts.happenings import Happening
from lineal.alerts.message import LOG_LINES, FailedStage, compose, hide
from lineal.alerts.rules import (
    About,
    Alert,
    Failing,
    call_of,
    key_of,
    occasions,
    remembered,
    slow_after,
)
from lineal.alerts.tell import Teller
from lineal.events import (
    Event,
    ExecutionStarted,
    Occasion,
    OutputCaptured,
    RunFinished,
    RunStarted,
    StageChanged,
)
from lineal.graph.forecast import Forecast
from lineal.notes import write_note

_TAIL_KEPT = 16 << 10  # characters of each stage's output: more than its last lines are told with


class Watch:
    """Listens to a run of ``about``, and tells ``alerts`` of it. ``start`` has the outbox of ``root`` delivered.

    ``usual_seconds`` is asked, when something is executed, how long such a run usually takes; None where that is not known.
    """

    def __init__(
        self,
        about: About,
        alerts: Sequence[Alert],
        root: Path,
        *,
        usual_seconds: Callable[[], float | None] = lambda: None,
        start: Callable[[Path], None] | None = None,
    ) -> None:
        self._about, self._alerts, self._root = about, alerts, root
        self._teller = Teller(root, start=start)
        self._usual_seconds = usual_seconds
        self._run_id: str | None = None
        self._state = "running"
        self._told: set[tuple[str, str]] = set()
        self._stages: dict[str, StageChanged] = {}
        self._tails: dict[str, _Tail] = {}
        self._times = _Times([alert for alert in alerts if "slow" in alert.on])

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._run_id = event.run_id
                self._times.begin("", event.at)
            case ExecutionStarted() if self._times.alerts:
                self._times.expect(event.expected, self._usual_run(event))
            case StageChanged():
                self._stages[event.stage] = event
                if event.state == "running":
                    self._times.begin(event.stage, event.at)
                else:
                    self._times.end(event.stage)
                if event.state == "up_for_retry" and self._is_wanted("retry"):
                    failed = self._failed_stage(event)
                    happening = self._of_stage(
                        "retry", event.stage, event.at, failed.failure.type, failed=[failed]
                    )
                    self._tell_once(happening, event.at)
                elif event.other_bytes is not None:
                    self.found("nondeterminism", event.stage, {event.stage: event.other_bytes}, event.at)
            case OutputCaptured():
                self._tails.setdefault(event.stage, _Tail()).add(event.attempt, event.text)
            case RunFinished():
                self._times.end("")
                self._state = event.state
                self._tell_end(event.state, event.at)

    @property
    def next_look(self) -> datetime | None:
        """When something that runs becomes slow, if it has not ended by then."""
        return self._times.next_look

    def look(self, now: datetime) -> None:
        """Tell of what has become slow by ``now``."""
        slow = [
            (alert, self._slow(stage, now - began, usual, now))
            for alert, stage, began, usual in self._times.take_slow(now)
        ]
        self._teller.tell_each(slow, now)

    def found(self, occasion: Occasion, stage: str, found: Mapping[str, str], at: datetime) -> None:
        """Tell what was ``found`` of a stage: sentences, by whom each is about."""
        notes = [f"{name}: {sentence}" for name, sentence in found.items()]
        what = "\n".join(sorted(set(found.values()))) if occasion == "schema_drift" else ""
        if self._is_wanted(occasion):
            self._tell_once(self._of_stage(occasion, stage, at, what, notes=notes), at)

    def broke(self, problem: str, at: datetime) -> None:
        """The run ended ``at`` that time without having finished, for a ``problem`` that is no stage's."""
        self._tell_end("failed", at, problem)

    # -- while it runs ------------------------------------------------------------------------

    def _usual_run(self, event: ExecutionStarted) -> float | None:
        """How long this run may be expected to take: as long as such runs, or, where more has to be done, what its stages take."""
        usual = self._usual_seconds()
        if usual is None:
            return None
        return max(usual, Forecast(event.expected, event.parents, event.slots).left({}).seconds)

    def _slow(self, stage: str, elapsed: timedelta, usual: float, now: datetime) -> Happening:
        taken = f"{stage or 'the run'} has taken {_spelled(elapsed.total_seconds())} so far, usually {_spelled(usual)}"
        going_on = f"it goes on; `lineal cancel {self._run_id}` stops it"
        return self._of_stage("slow", stage, now, "", notes=[taken, going_on])

    def _is_wanted(self, occasion: Occasion) -> bool:
        return any(occasion in alert.on for alert in self._alerts)

    def _tell_once(self, happening: Happening, at: datetime) -> None:
        """Tell of a stage; of many items of a list, and many attempts, the first in a run."""
        mark = happening.occasion, happening.reason
        if mark not in self._told:
            self._told.add(mark)
            self._teller.tell(self._alerts, happening, at)

    def _of_stage(
        self,
        occasion: Occasion,
        stage: str,
        at: datetime,
        what: str,
        *,
        failed: Sequence[FailedStage] = (),
        notes: Sequence[str] = (),
    ) -> Happening:
        """Something about one ``stage``; with an empty name about the run."""
        call = call_of(stage)
        message = compose(
            self._about,
            occasion=occasion,
            run_id=self._run_id,
            state=self._state,
            at=at.isoformat(),
            failed=failed,
            stage=stage or None,
            notes=notes,
            key=key_of(self._about.key, occasion, call),
        )
        return Happening(
            occasion, key_of(self._about.thing, call), what, f"{self._run_id} {call} {what}", message
        )

    # -- when it ends -------------------------------------------------------------------------

    def _tell_end(self, state: str, at: datetime, problem: str | None = None) -> None:
        failed = sorted(
            (event for event in self._stages.values() if event.state == "failed"), key=lambda event: event.at
        )
        stages = [self._failed_stage(event) for event in failed]
        memory = _Memory(self._root, self._about)
        before = memory.recall()
        told = occasions(
            state,
            [stage.failure.kind for stage in stages],
            before,
            exhausted=any(self._is_exhausted(stage) for stage in stages),
        )
        # First what the next run has to know: who is told of a recovery is told of the failure by that.
        after = remembered(state, before, Failing(self._run_id or "", at.isoformat()))
        if after is not None and after != before:
            memory.keep(after)
        not_run = [name for name, event in self._stages.items() if event.state == "upstream_failed"]
        wanted = []
        for alert in self._alerts:
            if fitting := [occasion for occasion in told if occasion in alert.on]:
                occasion = fitting[-1]  # a timeout is a failure as well, and is told once
                message = compose(
                    self._about,
                    occasion=occasion,
                    run_id=self._run_id,
                    state=state,
                    at=at.isoformat(),
                    failed=stages,
                    not_run=not_run,
                    problem=problem,
                    before=before if occasion == "recovered" else None,
                )
                reason = self._reason(occasion, at, before)
                what = _what(occasion, stages, problem)
                wanted.append((alert, Happening(occasion, self._about.thing, what, reason, message)))
        self._teller.tell_each(wanted, at)
        if state == "succeeded":
            self._teller.settle(self._alerts, self._about.thing, at)
        if after is None and before is not None:
            memory.forget()

    def _is_exhausted(self, failed: FailedStage) -> bool:
        retries = self._about.retries.get(call_of(failed.stage), 0)
        return 0 < retries < failed.attempts

    def _reason(self, occasion: str, at: datetime, before: Failing | None) -> str:
        """What a message is about. A recovery that a run told which was killed, and the next one tells, is one message."""
        if occasion == "recovered" and before is not None:
            return before.run_id or before.at
        return self._run_id or at.isoformat()

    def _failed_stage(self, event: StageChanged) -> FailedStage:
        assert event.failure is not None
        tail = self._tails.get(event.stage)
        log = tail.lines(self._about.secrets) if tail else ()
        return FailedStage(event.stage, event.failure, event.attempt, log)


def _what(occasion: str, failed: Iterable[FailedStage], problem: str | None) -> str:
    """What makes a failure another than the one before: which stages failed, and how; not the words of an error, which hold
    dates and numbers."""
    stages = sorted({f"{call_of(one.stage)} {one.failure.kind} {one.failure.type}" for one in failed})
    return json.dumps([occasion, stages, (problem or "").partition(":")[0]])


def _spelled(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds))) if seconds >= 60 else f"{seconds:.0f} s"


class _Times:
    """Since when what runs has run, how long it usually takes, and which of ``alerts`` were told that it takes longer.

    The run itself goes by the empty name.
    """

    def __init__(self, alerts: Sequence[Alert]) -> None:
        self.alerts = alerts
        self._usual: dict[str, float] = {}
        self._began: dict[str, datetime] = {}
        self._told: set[tuple[str, str]] = set()

    def begin(self, stage: str, at: datetime) -> None:
        self._began.setdefault(stage, at)  # it may enter that state twice in one attempt

    def end(self, stage: str) -> None:
        self._began.pop(stage, None)

    def expect(self, stages: Mapping[str, float], run: float | None) -> None:
        self._usual = {**stages, **({} if run is None else {"": run})}

    @property
    def next_look(self) -> datetime | None:
        return min((due for due, *_ in self._due()), default=None)

    def take_slow(self, now: datetime) -> list[tuple[Alert, str, datetime, float]]:
        """(whom to tell, the stage, since when it runs, what it usually takes) of what is slow ``now``, each once."""
        slow = [one for due, *one in self._due() if due <= now]
        found = []
        for alert, stage, began, usual in slow:
            if (name := (alert.to, call_of(stage))) not in self._told:  # of many items the first
                self._told.add(name)
                found.append((alert, stage, began, usual))
        return found

    def _due(self) -> list[tuple[Any, ...]]:
        return [
            (began + timedelta(seconds=slow_after(usual, alert.slower)), alert, stage, began, usual)
            for stage, began in self._began.items()
            if (usual := self._usual.get(stage, self._usual.get(call_of(stage)))) is not None
            for alert in self.alerts
            if (alert.to, call_of(stage)) not in self._told
        ]


class _Tail:
    """The last lines that a stage's newest attempt wrote."""

    def __init__(self) -> None:
        self._attempt, self._text, self._cut = 0, "", False

    def add(self, attempt: int, text: str) -> None:
        if attempt != self._attempt:
            self._attempt, self._text, self._cut = attempt, "", False
        text = self._text + text
        self._cut = self._cut or len(text) > _TAIL_KEPT
        self._text = text[-_TAIL_KEPT:]

    def lines(self, secrets: Sequence[str]) -> list[str]:
        """Without ``secrets``: one that came in two pieces is whole only here."""
        text = self._text.partition("\n")[2] if self._cut and "\n" in self._text else self._text
        lines = [line.rstrip() for line in hide(text, secrets).splitlines()]
        return [line for line in lines if line][-LOG_LINES:]


class _Memory:
    """Whether the newest run of a pipeline has failed: a small file in ``.lineal/alerts`` while that is so."""

    def __init__(self, root: Path, about: About) -> None:
        self._path = root / ".lineal" / "alerts" / f"{about.key}.json"

    def recall(self) -> Failing | None:
        try:
            known = json.loads(self._path.read_bytes())
            return Failing(str(known["run_id"]), str(known["at"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, failing: Failing) -> None:
        data = json.dumps({"run_id": failing.run_id, "at": failing.at}).encode()
        write_note(self._path, data, mode=0o666)

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)
