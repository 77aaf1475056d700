"""Writes into the outbox what is to be told, as far as it is news, and has it delivered."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from lineal.alerts.happenings import Happening
from lineal.alerts.message import Message, over, repeated, summary
from lineal.alerts.outbox import Entry, Outbox
from lineal.alerts.restraint import HOUR_SECONDS, Told
from lineal.alerts.rules import Alert, message_id
from lineal.alerts.told import Ledger, State

_FAILURES = ("failed", "timeout", "retries_exhausted", "recovered")


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


class Teller:
    """Tells the alerts of the project in ``root``. ``start`` has its outbox delivered, by a process of its own where it is not given.

    A message is on disk before it is noted as told: who dies between them tells it once more.
    """

    def __init__(self, root: Path, *, start: Callable[[Path], None] | None = None) -> None:
        self._root, self._start = root, start or start_deliverer
        self._outbox, self._ledger = Outbox(root), Ledger(root)

    def tell(self, alerts: Iterable[Alert], happening: Happening, now: datetime) -> None:
        """Tell those of ``alerts`` of it that are to be told on its occasion."""
        self.tell_each([(alert, happening) for alert in alerts if happening.occasion in alert.on], now)

    def over(self, alerts: Iterable[Alert], happening: Happening, now: datetime) -> None:
        """It is no longer so: tell those who were told that it was, and want to know when something has recovered."""
        concerned = [alert for alert in alerts if happening.occasion in alert.on]
        moment, put = now.timestamp(), 0
        if not concerned or not self._ledger.is_used:
            return
        with self._ledger.locked():
            for alert in concerned:
                state = self._ledger.read(alert.to)
                told = state.told.pop(_name(happening), None)
                if told is None:
                    continue
                if "recovered" in alert.on:
                    message = _counted(over(happening.message), told)
                    self._put(alert, message, f"{happening.thing} {told.at}", moment)
                    put += 1
                self._ledger.write(alert.to, state, moment)
        if put:
            self._start(self._root)

    def tell_each(self, wanted: Iterable[tuple[Alert, Happening]], now: datetime) -> None:
        """Tell each alert of what it is paired with, as far as that is news."""
        wanted, moment, put = list(wanted), now.timestamp(), 0
        if not wanted:
            return
        try:
            with self._ledger.locked():
                for alert, happening in wanted:
                    state = self._ledger.read(alert.to)
                    put += self._tell(alert, happening, state, moment)
                    self._ledger.write(alert.to, state, moment)
        finally:  # where the disk is full for one, the others have theirs
            if put:
                self._start(self._root)

    def settle(self, alerts: Iterable[Alert], thing: str, now: datetime) -> None:
        """A run of the thing has succeeded: its next failure is news."""
        if not self._ledger.is_used:
            return
        with self._ledger.locked():
            for alert in alerts:
                state = self._ledger.read(alert.to)
                if state.told.pop(f"{thing} failed", None) is not None:
                    self._ledger.write(alert.to, state, now.timestamp())

    def _tell(self, alert: Alert, happening: Happening, state: State, now: float) -> int:
        """Decide about one, change ``state`` accordingly, and say how many messages were put into the outbox."""
        name = _name(happening)
        told = state.told.get(name)
        closes = happening.occasion == "recovered"
        if told is not None and not closes and not told.is_news(happening.what, now, alert.repeat):
            state.told[name] = replace(told, since=told.since + 1)
            return 0
        message = _counted(happening.message, told)
        # What was told to be broken is told to be whole, whatever the hour: incidents would stay open for ever.
        if not state.pace.has_room(now, alert.hourly) and not (closes and told is not None):
            state.pace = state.pace.after_holding(message["subject"], now)
            self._put_summary(alert, message, state)
            return 0
        self._put(alert, message, happening.reason, now)
        state.pace = state.pace.after_sending(now)
        if closes:
            state.told.pop(name, None)
        else:
            state.told[name] = Told(now, happening.what)
        return 1

    def _put(self, alert: Alert, message: Message, reason: str, now: float) -> None:
        named = {**message, "id": message_id(reason, message["event"], alert.to)}
        self._outbox.put(Entry(alert, named, created=now, due=now))

    def _put_summary(self, alert: Alert, message: Message, state: State) -> None:
        held = state.pace.held
        assert held is not None
        named = {**message, "id": message_id(str(held.due), "held_back", alert.to)}
        told = summary(named, held.count, held.subjects, alert.hourly, _iso(held.due - HOUR_SECONDS))
        self._outbox.put(Entry(alert, told, created=held.due, due=held.due))


def _name(happening: Happening) -> str:
    """What something is told of: all ways in which a run may fail are one, and that it recovered is their end."""
    kind = "failed" if happening.occasion in _FAILURES else happening.occasion
    return f"{happening.thing} {kind}"


def _counted(message: Message, told: Told | None) -> Message:
    """The message with how often the same has happened since it was told last, if it has."""
    if told is None or not told.since:
        return message
    return repeated(message, told.since, _iso(told.at))


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()
