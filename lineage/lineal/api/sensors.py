"""Looks, from time to time, at what schedules on events are about: data at a path, a ref, the runs of another pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from lineal.api.config import Configuration
from lineal.api.project import Project
from lineal.automation.schedule import Event
from lineal_store.digest import Digest

POLL_SECONDS = 15.0
_AT_ONCE = 4


class Sensors:
    """What was seen last of each event, by the name of its schedule. A place that does not answer holds up no other.

    ``look`` says what there is, as a text that changes with it, empty where there is nothing; ``problem`` is told what cannot be
    looked at, once until that changes.
    """

    def __init__(
        self,
        look: Callable[[Event], str],
        problem: Callable[[str, str], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._look, self._problem, self._monotonic = look, problem, monotonic
        self._events: dict[str, Event] = {}
        self._seen: dict[str, str] = {}
        self._due: dict[str, float] = {}
        self._looking: dict[str, Future[str]] = {}
        self._problems: dict[str, str] = {}
        self._pool: ThreadPoolExecutor | None = None

    def watch(self, events: Mapping[str, Event]) -> None:
        """From now on look at these."""
        changed = {name for name, event in events.items() if self._events.get(name) != event}
        self._events = {name: event for name, event in events.items() if event.kind != "webhook"}
        self._seen = {
            name: seen for name, seen in self._seen.items() if name in events and name not in changed
        }
        self._due = {name: self._due.get(name, 0.0) for name in self._events}
        for name in changed:
            self._looking.pop(name, None)

    def seen(self) -> Mapping[str, str]:
        """What was seen last, without waiting for it; begins to look where it is time to."""
        for name, looking in list(self._looking.items()):
            if looking.done():
                del self._looking[name]
                self._take(name, looking)
        now = self._monotonic()
        for name, due in self._due.items():
            if due <= now and name not in self._looking:
                self._due[name] = now + POLL_SECONDS
                self._pool = self._pool or ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="lineal-sensor")
                self._looking[name] = self._pool.submit(self._look, self._events[name])
        return self._seen

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _take(self, name: str, looking: Future[str]) -> None:
        try:
            self._seen[name] = looking.result()
        except Exception as error:  # noqa: BLE001 — whatever a file system raises, the daemon goes on
            problem = f"{type(error).__name__}: {error}"
            if self._problems.get(name) != problem:
                self._problems[name] = problem
                self._problem(name, problem)
        else:
            self._problems.pop(name, None)


def looker(configured: Callable[[], Configuration]) -> Callable[[Event], str]:
    """What looks at the events of a project, as it is ``configured`` then, from any thread."""
    known: dict[Event, tuple[str, str]] = {}  # how data was listed last, and the hash of its content then

    def look(event: Event) -> str:
        configuration = configured()
        if event.kind == "path":
            data = Data.at(configuration.root, event.of)
            listing = data.listing()
            if event.by == "listing" or not listing:
                return listing
            if known.get(event, ("", ""))[0] != listing:  # it is read only where it may be another one
                known[event] = listing, data.content()
            return known[event][1]
        project = Project(configuration)  # each time: what a store has read once it may remember
        return project.digest_of(event.of) if event.kind == "ref" else project.newest_run(event.of)

    return look


class Data(NamedTuple):
    """The files at a path, under a pattern, or below a folder; ``files`` by their names, as the file ``system`` tells of them."""

    system: Any
    files: Mapping[str, Mapping[str, Any]]

    @classmethod
    def at(cls, root: Path, url: str) -> Data:
        """What there is now; a path without a scheme is relative to ``root``."""
        from fsspec.core import url_to_fs

        system, path = url_to_fs(url if "://" in url else str(root / url), use_listings_cache=False)
        system.invalidate_cache()
        try:
            if any(letter in path for letter in "*?["):
                found = list(system.glob(path, detail=True).values())
            elif system.isdir(path):
                found = list(system.find(path, detail=True).values())
            else:
                found = [system.info(path)]
        except FileNotFoundError:
            found = []
        return cls(system, {info["name"]: info for info in found if info["type"] == "file"})

    def listing(self) -> str:
        """A hash of names, sizes and versions; empty where there are no files."""
        return _hash(repr([name, *_version(info)]) for name, info in self.files.items())

    def content(self) -> str:
        """A hash of names and of all that is in the files."""
        return _hash(repr([name, self._digest(name)]) for name in self.files)

    def _digest(self, name: str) -> str:
        with self.system.open(name, "rb") as stream:
            return str(Digest.of_stream(stream)[0])


def _version(info: Mapping[str, Any]) -> list[str]:
    """All of a file by which a change of it shows."""
    # What local files were "created" at, is when they were last changed in any way.
    keys = (
        "ETag",
        "etag",
        "checksum",
        "md5Hash",
        "ino",
        "mtime",
        "created",
        "LastModified",
        "last_modified",
        "updated",
    )
    return [str(info["size"]), *(str(info[key]) for key in keys if info.get(key) is not None)]


def _hash(lines: Iterable[str]) -> str:
    text = "\n".join(sorted(lines))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest() if text else ""
