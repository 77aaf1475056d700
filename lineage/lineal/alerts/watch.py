"""Listens to one run, and when it ends writes what has to be told, and to whom, into the outbox."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from lineal.alerts.message import LOG_LINES, FailedStage, compose, hide
from lineal.alerts.outbox import Entry, Outbox
from lineal.alerts.rules import About, Alert, Failing, message_id, occasions, remembered
from lineal.events import Event, OutputCaptured, RunFinished, RunStarted, StageChanged
from lineal.notes import write_note

_TAIL_KEPT = 16 << 10  # characters of each stage's output: more than its last lines are told with


def start_deliverer(root: Path) -> None:
    """Start what delivers the messages of the project in ``root``, in a session of its own; nobody waits for it."""
    _started.append(
        subprocess.Popen(
            [sys.executable, "-P", "-m", "lineal.alerts.deliver", str(root)],
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    )
    _started[:] = [process for process in _started if process.poll() is None]


_started: list[subprocess.Popen[bytes]] = []  # a program that runs many pipelines leaves no zombies


class Watch:
    """Listens to a run of ``about``, and tells ``alerts`` how it ended. ``start`` has the outbox of ``root`` delivered."""

    def __init__(
        self,
        about: About,
        alerts: Sequence[Alert],
        root: Path,
        *,
        start: Callable[[Path], None] = start_deliverer,
    ) -> None:
        self._about, self._alerts, self._root, self._start = about, alerts, root, start
        self._run_id: str | None = None
        self._stages: dict[str, StageChanged] = {}
        self._tails: dict[str, _Tail] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._run_id = event.run_id
            case StageChanged():
                self._stages[event.stage] = event
            case OutputCaptured():
                self._tails.setdefault(event.stage, _Tail()).add(event.attempt, event.text)
            case RunFinished():
                self._tell(event.state, event.at)

    def broke(self, problem: str, at: datetime) -> None:
        """The run ended ``at`` that time without having finished, for a ``problem`` that is no stage's."""
        self._tell("failed", at, problem)

    def _tell(self, state: str, at: datetime, problem: str | None = None) -> None:
        failed = sorted(
            (event for event in self._stages.values() if event.state == "failed"), key=lambda event: event.at
        )
        stages = [self._failed_stage(event) for event in failed]
        memory = _Memory(self._root, self._about)
        before = memory.recall()
        told = occasions(state, [stage.failure.kind for stage in stages], before)
        # First what the next run has to know: who is told of a recovery is told of the failure by that.
        after = remembered(state, before, Failing(self._run_id or "", at.isoformat()))
        if after is not None and after != before:
            memory.keep(after)
        entries = []
        for alert in self._alerts:
            wanted = [occasion for occasion in told if occasion in alert.on]
            if wanted:
                occasion = wanted[-1]  # a timeout is a failure as well, and is told once
                message = compose(
                    self._about,
                    occasion=occasion,
                    run_id=self._run_id,
                    state=state,
                    at=at.isoformat(),
                    failed=stages,
                    not_run=[
                        name for name, event in self._stages.items() if event.state == "upstream_failed"
                    ],
                    problem=problem,
                    before=before if occasion == "recovered" else None,
                )
                message["id"] = message_id(self._reason(occasion, at, before), occasion, alert.to)
                entries.append(Entry(alert, message, created=at.timestamp(), due=at.timestamp()))
        outbox = Outbox(self._root)
        for entry in entries:
            outbox.put(entry)
        if after is None and before is not None:
            memory.forget()
        if entries:
            self._start(self._root)

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
