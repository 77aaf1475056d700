"""What an attempt does besides what it declares: which of the project's code it runs, and what that looks at.

Executors take note and judge nothing: whether code is covered by a fingerprint is known to the engine.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType

from msgspec import Struct, field

from lineal.executors.observe_access import AccessLog, taking_note
from lineal.executors.observe_code import functions_where, make_watch
from lineal.executors.observe_places import Declared, Places
from lineal.executors.protocol import Access, Entry, Envelope, Observations
from lineal.fingerprint.loader import Loader, no_context
from lineal.graph.records import SideProduct
from lineal_store.digest import Digest

_MOST_SIDE_PRODUCTS = 1000


class Noted(Struct):
    """What is noted of one attempt; ``observations`` are there when it has ended."""

    log: AccessLog
    observations: Observations = field(default_factory=Observations)


class Observer:
    """Observes attempts in this process, and in those that are forked from it.

    ``loader`` imports the project's modules; those that came by other means are looked for, but for the names
    ``besides``, which belong to how the interpreter was started.
    """

    def __init__(
        self,
        places: Places,
        loader: Loader | None = None,
        *,
        besides: Iterable[str] = ("sitecustomize", "usercustomize"),
    ) -> None:
        self.places = places
        self._watch = make_watch()
        self._unwatched: list[CodeType] = []
        self._files: set[str] = set()
        self._watched_files: set[str] = set()
        self._seen = set(besides)
        self._latest = ""
        self._present: set[str] = set()
        self._loaded: dict[str, None] | None = None  # while an attempt is observed
        self._imported: tuple[Access, ...] = ()
        self._loader = loader
        if loader is not None:
            loader.around = self._around

    def close(self) -> None:
        """Observe nothing any more, and leave nothing behind."""
        self._watch.close()
        if self._loader is not None:
            self._loader.around = no_context

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Take note of what the project's module-level code looks at while it is imported inside the block."""
        log = AccessLog(self.places, at_import=True)
        try:
            with taking_note(log):
                yield
        finally:
            self._imported = log.accesses()

    def prepare(self) -> None:
        """Get ready for attempts in processes that are forked from now on."""
        self._watch_modules()
        self._watch.arm()

    @contextmanager
    def attempt(self, envelope: Envelope) -> Iterator[Noted]:
        """Observe what is run inside the block."""
        self._watch_modules()
        declared = Declared(self.places.root, envelope.reads)
        noted = Noted(AccessLog(self.places, declared, envelope.variables, scratch=envelope.scratch))
        loaded = self._loaded = {}
        self._watch.begin()
        try:
            yield noted
        finally:
            entered = self._watch.end()
            self._loaded = None
            log = noted.log
            loaded.update(dict.fromkeys([*self._new_modules(), *log.ran]))
            noted.observations = Observations(
                entered=tuple(
                    sorted(
                        {Entry(code.co_filename, code.co_firstlineno, code.co_qualname) for code in entered}
                    )
                ),
                loaded=tuple(sorted(loaded)),
                present=tuple(sorted(self._present)),
                accesses=log.accesses(),
                imported=self._imported,
                more=tuple(sorted(log.more)),
                children=log.children,
            )

    @contextmanager
    def _around(self, code: CodeType) -> Iterator[None]:
        """While the statements of a module run: what they call is the module's affair, and covered where that is."""
        self._watched_files.add(code.co_filename)
        self._unwatched.append(code)
        if self._loaded is None:
            yield
            return
        self._loaded[code.co_filename] = None
        self._watch_loaded()
        with self._watch.aside():
            yield

    def _watch_loaded(self) -> None:
        codes, self._unwatched = self._unwatched, []
        for code in codes:
            for inner in code.co_consts:
                if isinstance(inner, CodeType):
                    self._watch.add(inner)

    def _watch_modules(self) -> None:
        """Watch what the loader has imported, and the functions of modules that came by other means."""
        self._watch_loaded()
        self._new_modules()
        strangers = self._files - self._watched_files
        if strangers:
            self._watched_files |= strangers
            for function in functions_where(lambda code: code.co_filename in strangers):
                self._watch.add(function.__code__)

    def _new_modules(self) -> list[str]:
        """The files of project modules that were not there the last time."""
        found = []
        new: list[str] = []
        for name in reversed(sys.modules):  # the latest last: all that was there stays untouched
            if name == self._latest:
                break
            new.append(name)
        self._latest = new[0] if new else self._latest
        for name in new:
            if name in self._seen:
                continue
            self._seen.add(name)
            try:  # a look at an attribute could have a module imported that waits for that
                file = object.__getattribute__(sys.modules[name], "__dict__").get("__file__")
            except (AttributeError, KeyError, TypeError):
                continue
            if isinstance(file, str) and self.places.is_project(file):
                self._present.add(name)
                self._files.add(file)
                found.append(file)
        return found


def side_products(written: Collection[str], *, apart_from: Iterable[str]) -> tuple[SideProduct, ...]:
    """The regular files among ``written`` that are still there, outside the folders ``apart_from``."""
    found: dict[str, SideProduct] = {}
    if not written:
        return ()
    own = [Path(os.path.realpath(folder)) for folder in apart_from]
    for name in written:
        path = Path(os.path.realpath(name))
        if len(found) == _MOST_SIDE_PRODUCTS:
            break
        if path.suffix == ".pyc" or any(path.is_relative_to(folder) for folder in own):
            continue
        try:
            if stat.S_ISREG(path.stat().st_mode):
                digest, size = Digest.of_file(path)
                found[str(path)] = SideProduct(path=str(path), digest=str(digest), size_bytes=size)
        except OSError:
            continue  # gone, or not ours to read: nothing was left behind
    return tuple(found.values())
