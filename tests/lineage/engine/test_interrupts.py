"""Ctrl-C while a run goes on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from lineal.engine.interrupts import AtOnce, on_interrupt


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_is_told_and_the_second_raised() -> None:
    told = []
    with on_interrupt(lambda: told.append("told")):
        signal.raise_signal(signal.SIGINT)
        assert told == ["told"]
        with pytest.raises(AtOnce):
            signal.raise_signal(signal.SIGINT)

    assert told == ["told"]


def test_whoever_knows_nothing_of_it_takes_the_second_for_what_it_is() -> None:
    assert issubclass(AtOnce, KeyboardInterrupt)


def test_outside_the_block_all_is_as_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with on_interrupt(lambda: None):
        assert signal.getsignal(signal.SIGINT) is not before

    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_nothing_changes() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def inside() -> None:
        with on_interrupt(lambda: None):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()

    assert seen == [before]
