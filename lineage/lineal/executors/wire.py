"""What the process executor, its zygote and its workers say to each other: pickles over socket pairs."""

from __future__ import annotations

import os
import pickle
import socket
import struct
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from lineal.events import Failure
from lineal.executors.protocol import Argument, Envelope, Held, Items
from lineal_store import Digest, Identity

KILL_GRACE_SECONDS = 2.0
"""What is asked to end has so long until it is killed."""
NO_OUTCOME = os.EX_IOERR
"""The status of a worker that could not say how its attempt ended."""

MOST_DESCRIPTORS = 16
"""So many open files can come with one message."""

_LENGTH = struct.Struct("!Q")
_INT = struct.Struct("i")
_CHUNK_BYTES = 1 << 16
_BESIDE_BYTES = socket.CMSG_SPACE(MOST_DESCRIPTORS * _INT.size)


class Line:
    """One end of a stream socket that carries messages, and file descriptors beside them, in order.

    What is sent is sent whole; what has come is taken without waiting for the rest of it, so that a process which is
    stopped in the middle of a message holds nobody up.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._received = bytearray()
        self._descriptors: deque[int] = deque()
        self._messages: deque[Any] = deque()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: object, descriptors: Sequence[int] = ()) -> None:
        """Send ``message``, with open files where some are given; OSError where nobody listens."""
        data = pickle.dumps(message)
        data = _LENGTH.pack(len(data)) + data
        if descriptors:
            data = data[socket.send_fds(self._socket, [data], descriptors) :]
        if data:
            self._socket.sendall(data)

    def receive(self) -> Any:
        """The next message, waited for; EOFError when the other end is gone."""
        while not self._messages:
            self._read(0)
        return self._messages.popleft()

    def received(self) -> list[Any]:
        """The messages that are complete by now; EOFError when the other end is gone and none is left."""
        ended = False
        try:
            while self._read(socket.MSG_DONTWAIT):
                pass
        except BlockingIOError:
            pass
        except EOFError:
            ended = True
        messages = list(self._messages)
        self._messages.clear()
        if ended and not messages:
            raise EOFError
        return messages

    def take_descriptor(self) -> int:
        """The earliest file that came with a message; the caller closes it."""
        return self._descriptors.popleft()

    def close(self) -> None:
        self._socket.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def _read(self, flags: int) -> bool:
        """Take what is there; whether there may be more."""
        try:  # socket.recv_fds of Python 3.11 forgets the flags
            data, beside, _, _ = self._socket.recvmsg(_CHUNK_BYTES, _BESIDE_BYTES, flags)
        except ConnectionError:
            data, beside = b"", []
        for level, kind, packed in beside:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                found = [one for (one,) in _INT.iter_unpack(packed[: len(packed) // _INT.size * _INT.size])]
                for descriptor in found:
                    os.set_inheritable(descriptor, False)
                self._descriptors.extend(found)
        if not data:
            raise EOFError
        self._received += data
        while len(self._received) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._received)
            end = _LENGTH.size + length
            if len(self._received) < end:
                break
            self._messages.append(pickle.loads(memoryview(self._received)[_LENGTH.size : end]))
            del self._received[:end]
        return len(data) == _CHUNK_BYTES


# -- the executor to the zygote -------------------------------------------------------------------


def log_of(scratch: str) -> str:
    """The path of what the attempt with that scratch folder writes: beside it, for most attempts need no folder."""
    return f"{scratch}.log"


class Wanted(Struct, frozen=True):
    """So many more workers are to be forked, `MOST_DESCRIPTORS` at most; each waits for an order.

    ``at_leisure``: a processor is idle, and they may get ready while they wait.
    """

    count: int
    at_leisure: bool = False


# -- the zygote to the executor -------------------------------------------------------------------


class Imported(Struct, frozen=True):
    """The project has been imported: from now on workers come at once."""


class NotImported(Struct, frozen=True):
    """The project's code could not be imported; no attempt can run."""

    failure: Failure


class Forked(Struct, frozen=True):
    """Workers are there; the executor's ends of the lines to them come with the message, in the same order."""

    pids: Sequence[int]


class Exited(Struct, frozen=True):
    """Workers ended, and nothing that they started is left.

    ``statuses`` are, by pid, as `os.waitstatus_to_exitcode` gives them: negative for a signal.
    """

    statuses: Mapping[int, int]


# -- the executor to a worker ---------------------------------------------------------------------


class Order(Struct, frozen=True):
    """An envelope as a pickle: it may name classes of the project, and only the worker imports for it.

    ``scratch`` is the folder to work in, whatever the envelope says. ``inputs`` are the digests of artifacts that it takes from
    the store, or None where a list in the store names more of them; ``known`` is what others have found out about them, as
    `lineal_store.Blobs.trust` takes it.
    """

    attempt_id: str
    scratch: str
    resources: Mapping[str, float]
    envelope: bytes
    inputs: Sequence[str] | None = ()
    known: Mapping[Digest, Identity] = field(default_factory=dict)

    @classmethod
    def of(cls, envelope: Envelope) -> Order:
        held = list(_held(envelope.arguments.values()))
        named = [one.digest for one in held if one.inline is None and one.digest not in envelope.carried]
        inputs = None if any(one.type == "list" for one in held) else named
        return cls(
            envelope.attempt_id, envelope.scratch, dict(envelope.resources), pickle.dumps(envelope), inputs
        )


def _held(arguments: Iterable[Argument]) -> Iterator[Held]:
    for argument in arguments:
        if isinstance(argument, Held):
            yield argument
        elif isinstance(argument, Items):
            yield from _held(item for _, item in argument.items)
