"""What waits is sent when it is due, by one process, again and again where it has to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lineal.alerts.deliver import PATIENCE_SECONDS, deliver
from lineal.alerts.outbox import Entry, Outbox
from lineal.alerts.rules import Alert
from lineal.alerts.send import Undelivered

Make = Callable[..., Entry]


class Channel:
    """Notes what it was sent and when; raises what it was told to, in turn."""

    def __init__(self, time: Any, *problems: Exception) -> None:
        self._time, self._problems = time, list(problems)
        self.sent: list[tuple[str, float]] = []

    def __call__(self, entry: Entry) -> None:
        self.sent.append((entry.id, self._time.now()))
        if self._problems:
            raise self._problems.pop(0)


def go(outbox: Outbox, channel: Callable[[Entry], None], time: Any) -> None:
    deliver(outbox, channel, now=time.now, sleep=time.sleep, jitter=lambda: 1.0)


def test_what_is_due_is_sent_and_gone(outbox: Outbox, entry: Make, time: Any) -> None:
    outbox.put(entry("m1"))
    outbox.put(entry("m2"))
    channel = Channel(time)
    go(outbox, channel, time)

    assert sorted(name for name, _ in channel.sent) == ["m1", "m2"]
    assert outbox.due() == []
    assert time.slept == []


def test_what_does_not_arrive_is_sent_again_later_each_time(outbox: Outbox, entry: Make, time: Any) -> None:
    outbox.put(entry())
    channel = Channel(time, Undelivered("down"), Undelivered("down"), RuntimeError("a bug"))
    start = time.now()
    go(outbox, channel, time)

    assert [moment - start for _, moment in channel.sent] == [0.0, 5.0, 15.0, 35.0]
    assert outbox.due() == outbox.failed() == []


def test_who_has_got_it_does_not_get_it_again(outbox: Outbox, entry: Make, time: Any) -> None:
    outbox.put(entry(alert=Alert("mailto:a@example.org,b@example.org")))
    addresses = []

    def channel(sent: Entry) -> None:
        addresses.append(sent.alert.to)
        if len(addresses) < 3:
            raise Undelivered("452 full", left="mailto:b@example.org")

    go(outbox, channel, time)

    assert addresses == ["mailto:a@example.org,b@example.org", "mailto:b@example.org", "mailto:b@example.org"]
    assert outbox.due() == outbox.failed() == []


def test_after_some_minutes_the_rest_is_left_to_a_later_run(outbox: Outbox, entry: Make, time: Any) -> None:
    outbox.put(entry())
    channel = Channel(time, *[Undelivered("down")] * 99)
    start = time.now()
    go(outbox, channel, time)

    assert time.now() <= start + PATIENCE_SECONDS
    (due, _) = outbox.due()[0]
    assert due > start + PATIENCE_SECONDS
    waiting = outbox.find("m1")
    assert waiting is not None and waiting.problem == "down" and waiting.attempts == len(channel.sent)

    time.time = due
    go(outbox, Channel(time), time)
    assert outbox.due() == []


def test_what_cannot_arrive_is_given_up_at_once(outbox: Outbox, entry: Make, time: Any) -> None:
    outbox.put(entry())
    channel = Channel(time, Undelivered("no such mailbox", for_good=True))
    go(outbox, channel, time)

    assert len(channel.sent) == 1
    failed = outbox.find_failed("m1")
    assert failed is not None and (failed.problem, failed.attempts) == ("no such mailbox", 1)


def test_what_does_not_arrive_for_a_day_is_given_up(outbox: Outbox, entry: Make, time: Any) -> None:
    outbox.put(entry(attempts=20, created=time.now() - 86_000))
    go(outbox, Channel(time, Undelivered("down")), time)

    assert outbox.failed() == ["m1"]


def test_a_message_that_cannot_be_sent_keeps_no_other(outbox: Outbox, entry: Make, time: Any) -> None:
    outbox.put(entry("m1"))
    outbox.put(entry("m2", due=time.now() + 1))
    channel = Channel(time, Undelivered("no", for_good=True))
    go(outbox, channel, time)

    assert [name for name, _ in channel.sent] == ["m1", "m2"]
    assert outbox.failed() == ["m1"]


def test_another_deliverer_leaves_it_to_the_first(outbox: Outbox, entry: Make, time: Any) -> None:
    outbox.put(entry())
    channel = Channel(time)
    with outbox.locked():
        go(outbox, channel, time)

    assert channel.sent == []


def test_a_message_that_comes_while_another_is_sent_is_sent_by_the_same_process(
    outbox: Outbox, entry: Make, time: Any
) -> None:
    outbox.put(entry("m1"))
    seconds = Channel(time)

    def channel(sent: Entry) -> None:
        if sent.id == "m1":
            outbox.put(entry("m2"))
            go(outbox, seconds, time)  # whoever comes now finds the lock taken
            assert seconds.sent == []
        else:
            seconds(sent)

    go(outbox, channel, time)
    assert [name for name, _ in seconds.sent] == ["m2"]


def test_a_message_that_comes_just_before_the_lock_is_given_back_is_seen_after_it(
    outbox: Outbox, entry: Make, time: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.put(entry("m1"))
    looks = 0
    really = Outbox.due

    def due(self: Outbox) -> list[tuple[float, str]]:
        nonlocal looks
        looks += 1
        found = really(self)
        if not found and looks < 9:
            outbox.put(entry("m2"))  # after the last look under the lock
            looks = 9
        return found

    monkeypatch.setattr(Outbox, "due", due)
    channel = Channel(time)
    go(outbox, channel, time)

    assert [name for name, _ in channel.sent] == ["m1", "m2"]
