"""Makes what attempts have returned durable, many at a time: the bytes first, then the records that name them.

A wait for the disk, or for a server, costs the same for one result as for a hundred. Results are therefore gathered while
there is anything else to do, and what was gathered is written at once (group commit, as databases have it; DeWitt et al.,
1984). No stage has succeeded before that.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence

from msgspec import Struct

from lineal.engine.cache import Asked
from lineal.engine.clock import Clock
from lineal.engine.progress import RunContext
from lineal.graph.records import ActionResult, Output, seal_record, unseal_record
from lineal_store import Filed, Store

_MOST_RESULTS = 256
_MOST_BYTES = 4 << 20
_LONGEST_SECONDS = 0.25
_DEAREST_SECONDS = 0.05


class Made(Struct, frozen=True):
    """A result to be filed. ``contents`` are what it names and what is not durable yet, by digest.

    ``key`` is that of the action that was executed, also where the result is filed under another; ``retire`` are the
    generation that it supersedes, and why.
    """

    key: str
    asked: Asked
    result: ActionResult
    contents: Mapping[str, bytes]
    retire: tuple[int, str] | None = None


class Committed(Struct, frozen=True):
    """A result that is durable: ``outputs`` are those of the first one that was filed under its key.

    ``other_run`` is the run that was first and made other bytes, if one was. Of what may not be filed any more, since
    another run has taken the action over, there are no ``outputs``.
    """

    asked: Asked
    outputs: Mapping[str, Output] | None
    other_run: str | None = None


class Committer:
    """Gathers results until they are committed to ``store``.

    ``context`` says who retires what they supersede, and why; ``lost`` which keys are no longer this run's to file
    results under.
    """

    def __init__(
        self, store: Store, context: RunContext, clock: Clock, lost: Callable[[Iterable[str]], Container[str]]
    ) -> None:
        self._store, self._context, self._clock, self._lost = store, context, clock, lost
        self._made: list[Made] = []
        self._contents: dict[str, bytes] = {}
        self._bytes = 0
        self._cost_seconds = 0.0
        self._oldest = 0.0

    @property
    def waits(self) -> bool:
        """Whether there are results that are not durable."""
        return bool(self._made)

    @property
    def is_due(self) -> bool:
        """Whether enough has been gathered, by number, by size, or by what it would cost to make it again."""
        return bool(self._made) and (
            len(self._made) >= _MOST_RESULTS
            or self._bytes >= _MOST_BYTES
            or self._cost_seconds >= _DEAREST_SECONDS
            or self._clock.monotonic() - self._oldest >= _LONGEST_SECONDS
        )

    def add(self, made: Made) -> None:
        if not self._made:
            self._oldest = self._clock.monotonic()
        self._made.append(made)
        self._contents.update(made.contents)
        self._bytes += sum(map(len, made.contents.values()))
        self._cost_seconds += made.result.seconds

    def find(self, digest: str) -> bytes | None:
        """The bytes of what has been returned and is not durable yet."""
        return self._contents.get(digest)

    def commit(self) -> Sequence[Committed]:
        """Make everything durable, in two batches, and answer in the order in which it was added."""
        made, contents = self._made, self._contents
        self._made, self._contents, self._bytes, self._cost_seconds = [], {}, 0, 0.0
        if contents:
            # No result stands on bytes that were damaged since.
            self._store.blobs.mend(list(contents.values()))
        lost = self._lost([each.key for each in made])
        ours = [each for each in made if each.key not in lost]
        for each in ours:
            if each.retire is not None:
                generation, reason = each.retire
                self._store.actions.retire(
                    each.key,
                    generation,
                    reason,
                    by=self._context.who,
                    at=self._clock.now(),
                    why=self._context.why if reason == "forced" else "",
                )
        records = [(each.asked.key, seal_record(each.result)) for each in ours]
        filed = iter(zip(records, self._store.actions.publish(records), strict=True))
        return [
            Committed(each.asked, None) if each.key in lost else _compared(each, *next(filed))
            for each in made
        ]


def _compared(made: Made, record: tuple[str, bytes], filed: Filed) -> Committed:
    """What counts is what the store holds afterwards: ours, or that of a run that was first."""
    if filed.data == record[1]:
        return Committed(made.asked, made.result.outputs)
    canonical = unseal_record(filed.data, ActionResult)
    ours = {name: output.digest for name, output in made.result.outputs.items()}
    differs = {name: output.digest for name, output in canonical.outputs.items()} != ours
    return Committed(made.asked, canonical.outputs, canonical.run_id if differs else None)
