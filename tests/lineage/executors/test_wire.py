"""Messages over a socket pair."""

from __future__ import annotations

import os
import socket

import pytest

from lineal.executors.protocol import Envelope, Given, Held, Items
from lineal.executors.wire import MOST_DESCRIPTORS, Line, Order
from lineal_store import Digest


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    lines = Line(ours), Line(theirs)
    yield lines
    for line in lines:
        line.close()


def test_messages_arrive_whole_and_in_order(ends) -> None:
    here, there = ends
    for message in ("one", {"two": 2}, b"x" * 100_000):
        here.send(message)

    assert there.receive() == "one"
    assert there.received() == [{"two": 2}, b"x" * 100_000]


def test_half_a_message_is_not_waited_for(ends) -> None:
    here, there = ends
    there._socket.sendall((1000).to_bytes(8, "big") + b"the beginning")

    assert here.received() == []


def test_what_was_said_before_the_end_is_heard_before_it(ends) -> None:
    here, there = ends
    here.send("last words")
    here._socket.shutdown(socket.SHUT_WR)

    assert there.received() == ["last words"]
    with pytest.raises(EOFError):
        there.received()


def test_open_files_come_with_their_messages(ends) -> None:
    here, there = ends
    pipes = [os.pipe() for _ in range(MOST_DESCRIPTORS)]
    here.send("pipes", [writing for _, writing in pipes])
    for _, writing in pipes:
        os.close(writing)

    assert there.receive() == "pipes"
    for number, (reading, _) in enumerate(pipes):
        descriptor = there.take_descriptor()
        os.write(descriptor, f"through {number}".encode())
        os.close(descriptor)
        assert os.read(reading, 100) == f"through {number}".encode()
        assert not os.read(reading, 100)
        os.close(reading)


def digest_of(name: str) -> str:
    return str(Digest.of(name.encode()))


@pytest.mark.parametrize(
    ("arguments", "inputs"),
    [
        ({"number": Given(1)}, []),
        ({"taken": Held(digest_of("taken"), "numpy")}, [digest_of("taken")]),
        ({"told": Held(digest_of("told"), "json", inline=b"1")}, []),
        ({"carried": Held(digest_of("carried"), "bytes")}, []),
        ({"items": Items("list", ((0, Held(digest_of("item"), "file")),))}, [digest_of("item")]),
        ({"listed": Held(digest_of("listed"), "list")}, None),
    ],
)
def test_an_order_names_what_is_taken_from_the_store_as_far_as_it_can_be_told(arguments, inputs) -> None:
    carried = {digest_of("carried"): b"carried"}
    envelope = Envelope(
        "attempt-1", "stage", "module", "stage", "scratch", arguments, seed=0, carried=carried
    )

    assert Order.of(envelope).inputs == inputs
