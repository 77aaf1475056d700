"""Records of runs: one when it begins, one when it has finished, filed by day."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from lineal_store.errors import CorruptRecord, InvalidName, RunExists
from lineal_store.protocols import Backend, Upload

_ID = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})-[0-9]{6}-[0-9a-f]{6,16}")
_START = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})-[0-9]{6}-[0-9a-f]{0,16}")
_BEGUN = ".begun"


class RunFiles(NamedTuple):
    """The two records of a run; ``finished`` is None while it runs, or when it died."""

    begun: bytes | None
    finished: bytes | None


class Runs:
    """The runs of one store. Ids look like ``20261122-173120-4f9ac2`` and sort by time; the bytes are opaque."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @staticmethod
    def new_id(now: datetime, random_hex: str) -> str:
        """The id of a run that begins ``now`` (aware); ``random_hex`` is 6 to 16 lowercase hex digits.

        Runs of one second sort by it: it may start with the fraction of the second.

        >>> from datetime import UTC, datetime
        >>> Runs.new_id(datetime(2026, 11, 22, 17, 31, 20, tzinfo=UTC), "4f9ac2")
        '20261122-173120-4f9ac2'
        """
        if now.utcoffset() is None:
            raise ValueError("the beginning of a run needs a time zone")
        run_id = f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{random_hex}"
        _name(run_id)
        return run_id

    def begin(self, run_id: str, data: bytes) -> None:
        """Record that a run begins; durable on return. RunExists when it did before."""
        self._create(run_id, _name(run_id) + _BEGUN, data)

    def finish(self, run_id: str, data: bytes) -> None:
        """Record how a run ended; durable on return. RunExists when that is recorded."""
        self._create(run_id, _name(run_id), data)

    def find(self, run_id: str) -> RunFiles | None:
        """The records of the run, or None when there are none, whatever ``run_id`` looks like."""
        if _ID.fullmatch(run_id) is None:
            return None
        return self.find_many([run_id]).get(run_id)

    def find_many(self, run_ids: Iterable[str]) -> dict[str, RunFiles]:
        """The records of those of ``run_ids`` that there are, in one batch, in the order asked for."""
        names = {run_id: _name(run_id) for run_id in run_ids}
        found = self._backend.read_many(each for name in names.values() for each in (name + _BEGUN, name))
        return {
            run_id: RunFiles(found.get(name + _BEGUN), found.get(name))
            for run_id, name in names.items()
            if name + _BEGUN in found or name in found
        }

    def beginning_with(self, start: str) -> list[str]:
        """The ids that begin with ``start``, which holds the time at least, sorted."""
        match = _START.fullmatch(start)
        if match is None:
            return []
        infos = self._backend.list("runs/{}/{}/{}/{}".format(*match.groups(), start))
        return sorted({_parse(info.name) for info in infos})

    def newest_first(self) -> Iterator[str]:
        """The ids of all runs, the newest first, listed day by day as they are asked for.

        CorruptRecord for an object among them that is not named as a run's.
        """
        for year in reversed(self._backend.folders("runs/")):
            for month in reversed(self._backend.folders(f"runs/{year}/")):
                for day in reversed(self._backend.folders(f"runs/{year}/{month}/")):
                    names = [info.name for info in self._backend.list(f"runs/{year}/{month}/{day}/")]
                    yield from sorted({_parse(name) for name in names}, reverse=True)

    def _create(self, run_id: str, name: str, data: bytes) -> None:
        if not self._backend.create([Upload(name, data)])[0]:
            raise RunExists(self._backend.url, run_id)


def _name(run_id: str) -> str:
    match = _ID.fullmatch(run_id)
    if match is None:
        raise InvalidName(run_id, "is not a run's id", "A run's id looks like 20261122-173120-4f9ac2.")
    return "runs/{}/{}/{}/{}".format(*match.groups(), run_id)


def _parse(name: str) -> str:
    run_id = name.rpartition("/")[2].removesuffix(_BEGUN)
    if _ID.fullmatch(run_id) is None or _name(run_id) != name.removesuffix(_BEGUN):
        raise CorruptRecord(name, "no run is named so")
    return run_id
