"""Which of some code objects are run, at no cost to code that runs.

From Python 3.12 on `sys.monitoring` (PEP 669) tells the first entry, and is then switched off for that code. Every code
object of CPython 3.11 counts how often it was entered, up to eight times, to know when to specialise it: the counter is
read before and after. Where neither works (another interpreter) a profile function is told of every call.
"""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import CodeType, FunctionType
from typing import Any, Protocol


class Watch(Protocol):
    """Notes which code objects are entered between `begin` and `end`, in any thread of this process."""

    def add(self, code: CodeType) -> None:
        """Watch ``code``, and what is written inside it, from now on."""
        ...

    def arm(self) -> None:
        """Do beforehand what `begin` would have to do, so that processes forked from now on need not."""
        ...

    def begin(self) -> None:
        """From now on take note; what was entered before does not count."""
        ...

    def aside(self) -> AbstractContextManager[None]:
        """What this thread enters inside the block does not count."""
        ...

    def end(self) -> list[CodeType]:
        """What was entered since `begin`."""
        ...

    def close(self) -> None:
        """Watch nothing any more."""
        ...


def make_watch() -> Watch:
    """The cheapest watch that works on this interpreter."""
    if sys.version_info >= (3, 12):
        tool = _free_tool()
        if tool is not None:
            return Monitored(tool)
    elif can_count():
        return Counted()
    return Profiled()


def nested(code: CodeType) -> Iterator[CodeType]:
    """``code`` and all that is written inside it."""
    pending = [code]
    while pending:
        each = pending.pop()
        yield each
        pending += [constant for constant in each.co_consts if isinstance(constant, CodeType)]


def functions_where(wanted: Callable[[CodeType], bool]) -> Iterator[FunctionType]:
    """The functions of this process whose code is ``wanted``. All objects are looked at: tens of milliseconds."""
    frozen = gc.get_freeze_count() > 0
    if frozen:
        gc.unfreeze()  # else what was there before a fork would not be listed
    try:
        found = [each for each in gc.get_objects() if type(each) is FunctionType]
    finally:
        if frozen:
            gc.freeze()
    return (each for each in found if wanted(each.__code__))


class _Aside:
    """The threads whose calls do not count at present."""

    def __init__(self) -> None:
        self._threads: set[int] = set()

    def __contains__(self, thread: object) -> bool:
        return thread in self._threads

    def __bool__(self) -> bool:
        return bool(self._threads)

    @contextmanager
    def this_thread(self) -> Iterator[None]:
        thread = threading.get_ident()
        if thread in self._threads:
            yield
            return
        self._threads.add(thread)
        try:
            yield
        finally:
            self._threads.discard(thread)


# -- Python 3.12 and later ------------------------------------------------------------------------

if sys.version_info >= (3, 12):
    _EVENTS = sys.monitoring.events
    _ENTRIES = (_EVENTS.PY_START, _EVENTS.PY_RESUME)

    def _free_tool() -> int | None:
        """A tool id that nobody uses: first those without a purpose in the standard library."""
        for tool in (3, 4, 1, 2, 0, 5):
            try:
                sys.monitoring.use_tool_id(tool, "lineal")
            except ValueError:
                continue
            return tool
        return None

    class Monitored:
        """Told by the interpreter of the first entry into each code object."""

        def __init__(self, tool: int) -> None:
            self._tool = tool
            self._watched: list[CodeType] = []
            self._entered: dict[int, CodeType] | None = None  # by address: equal code may be another file's
            self._aside = _Aside()
            self._used = False
            for event in _ENTRIES:
                sys.monitoring.register_callback(tool, event, self._note)

        def add(self, code: CodeType) -> None:
            for each in nested(code):
                self._watched.append(each)
                sys.monitoring.set_local_events(self._tool, each, _ENTRIES[0] | _ENTRIES[1])

        def arm(self) -> None:
            if self._used:
                sys.monitoring.restart_events()
                self._used = False

        def begin(self) -> None:
            self.arm()
            self._entered, self._used = {}, True

        def aside(self) -> AbstractContextManager[None]:
            return self._aside.this_thread()

        def end(self) -> list[CodeType]:
            entered, self._entered = self._entered or {}, None
            return list(entered.values())

        def close(self) -> None:
            for code in self._watched:
                sys.monitoring.set_local_events(self._tool, code, 0)
            for event in _ENTRIES:
                sys.monitoring.register_callback(self._tool, event, None)
            sys.monitoring.free_tool_id(self._tool)

        def _note(self, code: CodeType, _: int) -> object:
            if self._entered is None or (self._aside and threading.get_ident() in self._aside):
                return None  # the next entry is to be told as well
            self._entered[id(code)] = code
            return sys.monitoring.DISABLE


# -- CPython 3.11 ---------------------------------------------------------------------------------

_FRESH = -8
"""The counter of code that was never entered. It ends at 0."""
_ONLY_FROM_AROUND = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})
"""Code that nobody but the code around it can enter."""
_POINTER = tuple.__itemsize__
_OFFSET = object.__basicsize__ + _POINTER + 3 * _POINTER + 4
"""Where ``co_warmup`` lies (Include/cpython/code.h): behind the object's head and size, three pointers, and an int."""


def _counter(code: CodeType) -> Any:
    """The counter of a code object, to be read only."""
    import ctypes

    return ctypes.c_short.from_address(id(code) + _OFFSET)


def can_count() -> bool:
    """Whether code objects have counters that can be read here; found out on one that is made for it."""
    if sys.implementation.name != "cpython" or sys.version_info[:2] != (3, 11):
        return False
    import ctypes

    def tried() -> int:
        return 0

    tried.__code__ = tried.__code__.replace()  # fresh, however often this was asked
    counter, seen = _counter(tried.__code__), []
    for _ in range(12):
        seen.append(counter.value)
        tried()
    flags = ctypes.c_int.from_address(id(tried.__code__) + _OFFSET - 4).value
    return flags == tried.__code__.co_flags and seen == [*range(_FRESH, 0), 0, 0, 0, 0]


class Counted:
    """Reads the interpreter's own counters.

    One that is at its end cannot tell another entry: the functions that run such code are given a copy of it, which is
    equal and counts from the start. Where no function runs it, only code that is watched itself can make one that does.
    """

    def __init__(self) -> None:
        # Lists side by side: a forked process that walks over them should touch as few objects as it can.
        self._codes: list[CodeType] = []
        self._counters: list[Any] = []
        self._before: list[int] = []
        self._entered: set[int] = set()
        self._settled: set[int] = set()
        self._running: dict[
            int, list[weakref.ref[FunctionType]]
        ] = {}  # by place, those that run a copy of ours
        self._armed = False
        self._aside = _Aside()

    def add(self, code: CodeType) -> None:
        for each in nested(code):
            if each.co_name not in _ONLY_FROM_AROUND:
                self._codes.append(each)
                self._counters.append(_counter(each))
                self._before.append(self._counters[-1].value)

    def arm(self) -> None:
        self._before = [counter.value for counter in self._counters]
        if 0 in self._before:
            full = {place for place, value in enumerate(self._before) if value == 0}
            self._copy(full - self._entered - self._settled)
        self._armed = True

    def begin(self) -> None:
        if not self._armed:
            self._entered = set()
            self.arm()
        self._armed = False

    @contextmanager
    def aside(self) -> Iterator[None]:
        if threading.get_ident() in self._aside:
            yield
            return
        self._take_note()
        with self._aside.this_thread():
            try:
                yield
            finally:
                self.arm()
                self._armed = False

    def end(self) -> list[CodeType]:
        self._take_note()
        return [self._codes[place] for place in sorted(self._entered)]

    def close(self) -> None:
        self._codes, self._counters, self._before = [], [], []

    def _take_note(self) -> None:
        values = [counter.value for counter in self._counters]
        if values != self._before:
            pairs = zip(values, self._before, strict=True)
            self._entered.update(place for place, (now, before) in enumerate(pairs) if now != before)

    def _copy(self, places: set[int]) -> None:
        strangers: dict[int, int] = {}  # by the address of the code
        for place in places:
            known = self._running.pop(place, None)
            if known is None:
                strangers[id(self._codes[place])] = place
            else:  # nothing but the copy's making had it run, so that nothing else can have come to run it
                self._replace(place, [function for each in known if (function := each()) is not None])
        if not strangers:
            return
        found: dict[int, list[FunctionType]] = {}
        for function in functions_where(lambda code: id(code) in strangers):
            found.setdefault(strangers[id(function.__code__)], []).append(function)
        for place, functions in found.items():
            self._replace(place, functions)
        self._settled.update(strangers.values() - found.keys())

    def _replace(self, place: int, functions: list[FunctionType]) -> None:
        """Have ``functions`` run a copy of the code at ``place`` that counts from the start, in its place here."""
        copy = self._codes[place].replace()
        for function in functions:
            function.__code__ = copy
        self._running[place] = [weakref.ref(function) for function in functions]
        self._codes[place], self._counters[place], self._before[place] = copy, _counter(copy), _FRESH


# -- anywhere -------------------------------------------------------------------------------------


class Profiled:
    """Told of every call by a profile function: it misses nothing, and code that calls much takes several times longer."""

    def __init__(self) -> None:
        self._watched: dict[int, CodeType] = {}
        self._entered: dict[int, CodeType] = {}
        self._aside = _Aside()

    def add(self, code: CodeType) -> None:
        self._watched.update((id(each), each) for each in nested(code))

    def arm(self) -> None:
        pass

    def begin(self) -> None:
        self._entered = {}
        threading.setprofile(self._note)
        sys.setprofile(self._note)

    def aside(self) -> AbstractContextManager[None]:
        return self._aside.this_thread()

    def end(self) -> list[CodeType]:
        sys.setprofile(None)
        threading.setprofile(None)
        return list(self._entered.values())

    def close(self) -> None:
        self._watched = {}

    def _note(self, frame: Any, event: str, _: object) -> None:
        code = frame.f_code
        aside = self._aside and threading.get_ident() in self._aside
        if event == "call" and not aside and id(code) in self._watched:
            self._entered[id(code)] = code
