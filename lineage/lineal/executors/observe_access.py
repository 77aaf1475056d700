"""What code looks at from outside: files, environment variables, connections; and whether it starts processes.

Files, connections and processes raise audit events (PEP 578), wherever in Python they are used. The environment raises
none: its mapping is replaced by one that takes note. Native readers and child processes are not seen, nor is a question
whether a file exists.
"""

# ruff: noqa: PTH100, PTH112
# os.path keeps symbolic links as they are: resolving would cost system calls for every file that is opened.
from __future__ import annotations

import os
import subprocess  # noqa: F401  for what it starts processes with
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Literal

from lineal.executors.observe_places import Declared, Places
from lineal.executors.protocol import Access
from lineal.fingerprint import loader

MOST_OF_A_KIND = 50
MOST_AT_IMPORT = 1000
QUIET_VARIABLES = frozenset(
    {
        *(
            "PATH",
            "HOME",
            "PWD",
            "OLDPWD",
            "SHELL",
            "SHLVL",
            "USER",
            "LOGNAME",
            "USERNAME",
            "HOSTNAME",
            "EDITOR",
            "PAGER",
        ),
        *(
            "TMPDIR",
            "TEMP",
            "TMP",
            "LANG",
            "LANGUAGE",
            "TERM",
            "COLORTERM",
            "COLUMNS",
            "LINES",
            "NO_COLOR",
            "FORCE_COLOR",
        ),
        *(
            "OMP_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "MKL_NUM_THREADS",
            "NUMEXPR_NUM_THREADS",
            "NUMEXPR_MAX_THREADS",
        ),
        *(
            "VECLIB_MAXIMUM_THREADS",
            "POLARS_MAX_THREADS",
            "NUMBA_NUM_THREADS",
            "RAYON_NUM_THREADS",
            "LOKY_MAX_CPU_COUNT",
        ),
        *("DISPLAY", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SOURCE_DATE_EPOCH", "CI"),
    }
)
"""Variables that may be read without being declared."""
QUIET_PREFIXES = ("PYTHON", "LC_", "XDG_", "LINEAL_", "CONDA_")

_WRITING = os.O_WRONLY | os.O_RDWR
_NEW = os.O_TRUNC | os.O_EXCL
_FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", 0)
_MODULES = (".py", ".pyc", ".so", ".pyd")
_ENVIRON_CODE = frozenset(
    name
    for module in ("os", "_collections_abc", "posixpath", "genericpath")
    for name in (str(sys.modules[module].__file__), f"<frozen {module}>")
)
Kind = Literal["file", "variable", "connection", "url"]


class AccessLog:
    """What was looked at so far. ``written`` are absolute paths that were opened for writing, or renamed to.

    With ``at_import`` each access is told at the line of the module-level statement that was running. ``ran`` are
    files of the project whose code was run other than by an import; ``children`` says that processes were started.
    """

    def __init__(
        self,
        places: Places,
        declared: Declared | None = None,
        variables: Iterable[str] = (),
        *,
        scratch: str = "",
        at_import: bool = False,
    ) -> None:
        self._places, self._declared, self._at_import = places, declared, at_import
        self._variables = frozenset(variables)
        self._scratch = scratch.rstrip("/") + "/" if scratch else ""
        self._found: dict[tuple[str, str], Access] = {}
        self._counts: dict[str, int] = {}
        self._known: set[str] = set()
        self._made: list[str] = []
        self._set: set[bytes] = set()
        self._sweep: list[bytes] = []
        self._hosts: dict[str, str] = {}
        self.written: dict[str, None] = {}
        self.ran: dict[str, None] = {}
        self.more: set[str] = set()
        self.children = False

    def accesses(self) -> tuple[Access, ...]:
        """What was found, by kind and name."""
        copied = ("variable", "*") if self.children else None  # a child was given the environment
        return tuple(sorted(access for key, access in self._found.items() if key != copied))

    # -- files --------------------------------------------------------------------------------

    def opened(self, arguments: tuple[Any, ...]) -> None:
        path, mode, flags = arguments
        if not isinstance(path, (str, bytes)):
            if isinstance(path, int) or not isinstance(path, os.PathLike):
                return
            path = os.fspath(path)
        name = os.path.abspath(os.fsdecode(path))
        flags = flags if isinstance(flags, int) else 0
        writes = flags & _WRITING or (isinstance(mode, str) and not set(mode).isdisjoint("wax+"))
        reads = not writes or (flags & os.O_RDWR and not flags & _NEW)
        # os.open may be relative to a folder that the event does not tell
        certain = mode is not None or name == os.fsdecode(path) or os.path.lexists(name)
        if reads and certain and name not in self._known and not flags & _FOLDER:
            self._read(name)
        if writes:
            self.written[name] = None

    def opened_database(self, arguments: tuple[Any, ...]) -> None:
        path = arguments[0]
        text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        text = text.removeprefix("file:").partition("?")[0]
        if not text or text.startswith(":memory:"):
            return
        name = os.path.abspath(text)
        if name not in self._known and os.path.lexists(name):
            self._read(name)
        self.written[name] = None

    def renamed(self, arguments: tuple[Any, ...]) -> None:
        target = arguments[1]
        if isinstance(target, (str, bytes, os.PathLike)):
            self.written[os.path.abspath(os.fsdecode(target))] = None

    def made_folder(self, arguments: tuple[Any, ...]) -> None:
        self._made.append(os.path.abspath(os.fsdecode(arguments[0])).rstrip("/") + "/")

    def _read(self, name: str) -> None:
        if len(self._known) < 100_000:  # each is looked at once
            self._known.add(name)
        if "file" in self.more:  # enough is told
            return
        distance = self._places.distance(name)
        if (
            distance == "own"
            or self._is_mine(name)
            or (self._declared is not None and name in self._declared)
        ):
            return
        asked = self._who(name)
        if asked is None:
            return
        direct, file, line = asked
        if distance == "far" and not direct:
            self._known.discard(name)  # the project's own code may yet open it
            return
        if os.path.isdir(name):  # opened to be listed, or removed
            return
        self._note("file", self._places.name(name), file, line)

    def _is_mine(self, path: str) -> bool:
        """Whether the stage itself made the file, or Lineal for it."""
        return (
            path in self.written
            or (self._scratch != "" and path.startswith(self._scratch))
            or any(path.startswith(folder) for folder in self._made)
        )

    def _who(self, name: str = "") -> tuple[bool, str, int] | None:
        """Whether the project's own code asks, by way of the standard library at most, and its nearest line.

        None where a module of the standard library asks for itself, or the import system for a module.
        """
        places, direct = self._places, None
        frame: FrameType | None = sys._getframe(3)
        while frame is not None:
            file = frame.f_code.co_filename
            whose = places.code(file)
            if whose == "project":
                direct = True if direct is None else direct
                if not self._at_import or frame.f_code.co_name == "<module>":
                    return direct, file, frame.f_lineno
            elif direct is None:
                if whose == "library":
                    direct = False
                elif whose == "reading" or (whose == "importing" and name.endswith(_MODULES)):
                    return None
            frame = frame.f_back
        return bool(direct), "", 0

    # -- the environment ----------------------------------------------------------------------

    def variable_read(self, key: bytes) -> None:
        if self._sweep:
            if self._sweep[-1] == key:
                self._sweep.pop()
                return
            self._sweep = []
        if key in self._set:
            return
        name = os.fsdecode(key)
        if name in QUIET_VARIABLES or name.startswith(QUIET_PREFIXES) or name in self._variables:
            return
        if ("variable", name) in self._found:
            return
        asked = self._asks_environment()
        if asked is not None:
            self._note("variable", name, *asked)

    def variables_listed(self, keys: list[bytes]) -> None:
        """All names are asked for. Who copies the environment then reads each in turn: that counts as one."""
        asked = self._asks_environment()
        if asked is not None:
            self._note("variable", "*", *asked)
        self._sweep = keys[::-1]

    def variable_set(self, key: bytes) -> None:
        self._set.add(key)

    def _asks_environment(self) -> tuple[str, int] | None:
        """The line of the project's code that asks, unless it is a library that does."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and (
            frame.f_code.co_filename in _ENVIRON_CODE or frame.f_code.co_filename == __file__
        ):
            frame = frame.f_back
        if frame is None or not self._places.is_project(frame.f_code.co_filename):
            return None
        while self._at_import and frame is not None:
            if frame.f_code.co_name == "<module>" and self._places.is_project(frame.f_code.co_filename):
                break
            frame = frame.f_back
        return (frame.f_code.co_filename, frame.f_lineno) if frame is not None else ("", 0)

    # -- everything else ----------------------------------------------------------------------

    def asked_for_address(self, arguments: tuple[Any, ...]) -> None:
        host, port = (*arguments, None)[:2]
        if isinstance(host, bytes):
            host = host.decode("ascii", "replace")
        if isinstance(host, str):
            self._hosts[str(port)] = host

    def connected(self, arguments: tuple[Any, ...]) -> None:
        address = arguments[-1]
        if isinstance(address, tuple) and len(address) >= 2:
            host, port = address[:2]
            host = self._hosts.get(str(port), host)  # the name that the address was looked up by, most likely
            name = f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
        elif isinstance(address, (str, bytes)) and address:
            name = os.fsdecode(address)
            if not name.startswith("/") or self._is_mine(name) or self._places.distance(name) == "own":
                return
        else:
            return
        asked_by = self._who()
        self._note("connection", name, *(asked_by[1:] if asked_by is not None else ("", 0)))

    def looked_at_url(self, arguments: tuple[Any, ...]) -> None:
        held = str(arguments[0])
        below = held.removeprefix(f"{self._scratch}input/")
        if self._scratch and below != held:
            asked = self._who()
            if asked is not None:
                self._note("url", below.partition("/")[0], *asked[1:])

    def started_process(self, _: tuple[Any, ...] = ()) -> None:
        self.children = True

    def executed(self, arguments: tuple[Any, ...]) -> None:
        file = str(getattr(arguments[0], "co_filename", "<"))
        file = file if file.startswith("<") else os.path.abspath(file)
        if file in self.ran or not self._places.is_project(file):
            return
        if sys._getframe(2).f_code.co_filename != loader.__file__:
            self.ran[file] = None

    def _note(self, kind: Kind, name: str, file: str, line: int) -> None:
        name = name.encode(
            "utf-8", "backslashreplace"
        ).decode()  # a record is text, a file's name need not be
        key = (kind, name)
        if key in self._found or (self._at_import and not file):
            return
        count = self._counts.get(kind, 0)
        if count == (MOST_AT_IMPORT if self._at_import else MOST_OF_A_KIND):
            self.more.add(kind)
            return
        self._counts[kind] = count + 1
        self._found[key] = Access(kind, name, file, line)


# -- taking note ----------------------------------------------------------------------------------

_HANDLERS: dict[str, Callable[[AccessLog, tuple[Any, ...]], None]] = {
    "open": AccessLog.opened,
    "sqlite3.connect": AccessLog.opened_database,
    "os.rename": AccessLog.renamed,
    "os.link": AccessLog.renamed,
    "os.symlink": AccessLog.renamed,
    "os.mkdir": AccessLog.made_folder,
    "socket.getaddrinfo": AccessLog.asked_for_address,
    "socket.gethostbyname": AccessLog.asked_for_address,
    "socket.connect": AccessLog.connected,
    "socket.sendto": AccessLog.connected,
    "exec": AccessLog.executed,
    "lineal.url": AccessLog.looked_at_url,
    "subprocess.Popen": AccessLog.started_process,
    "os.system": AccessLog.started_process,
    "os.fork": AccessLog.started_process,
    "os.forkpty": AccessLog.started_process,
    "os.exec": AccessLog.started_process,
    "os.posix_spawn": AccessLog.started_process,
    "os.spawn": AccessLog.started_process,
}
_log: AccessLog | None = None
_installed = False


@contextmanager
def taking_note(log: AccessLog) -> Iterator[None]:
    """Let ``log`` take note, in all threads of this process, inside the block."""
    global _log, _installed
    if not _installed:  # an audit hook stays for the life of the process
        sys.addaudithook(_hook)
        _installed = True
    environ: Any = os.environ
    starting: Any = sys.modules["_posixsubprocess"]
    plain, start = environ._data, starting.fork_exec
    watched = _Variables(plain)
    watched.log = log

    def fork_exec(*arguments: Any, **options: Any) -> Any:
        log.started_process()
        return start(*arguments, **options)

    before, _log = _log, log
    environ._data = os.environb._data = watched  # type: ignore[attr-defined]
    starting.fork_exec = fork_exec  # `multiprocessing` starts processes without an event, other than by fork
    try:
        yield
    finally:
        starting.fork_exec = start
        plain.clear()
        plain.update(dict.items(watched))
        environ._data = os.environb._data = plain  # type: ignore[attr-defined]
        _log = before


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    # Called for every audit event of the process: what is not ours has to be out again at once.
    if event in _HANDLERS and (log := _log) is not None:
        with suppress(Exception):  # whoever only looks on must not change what happens
            _HANDLERS[event](log, arguments)


class _Variables(dict[bytes, bytes]):
    """The data of `os.environ` (and `os.environb`), which tells who reads what."""

    log: AccessLog

    def __getitem__(self, key: bytes) -> bytes:
        self.log.variable_read(key)
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[bytes]:
        self.log.variables_listed(list(super().keys()))
        return super().__iter__()

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.log.variable_set(key)
        super().__setitem__(key, value)
