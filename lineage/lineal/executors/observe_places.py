"""What a path is to a stage: code of the project, a library's, or a file that its result may depend on."""

# ruff: noqa: PTH100, PTH111, PTH119, PTH120
# os.path keeps symbolic links as they are, and costs less for every file that is opened.
from __future__ import annotations

import os
import site
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from lineal_store import Place

Code = Literal["project", "library", "standard", "importing", "reading"]
"""Whose code a file holds: ``importing`` and ``reading`` are modules of the standard library that import modules,
and that read files of their own accord."""

Distance = Literal["own", "near", "far"]
"""What a file is: the interpreter's, a library's or Lineal's own; one that a stage may depend on; or one that libraries
read on every machine, which counts only when the project's own code opens it."""

_READ_FOR_THEMSELVES = frozenset(
    {
        "linecache",
        "tokenize",
        "inspect",
        "traceback",
        "mimetypes",
        "gettext",
        "locale",
        "platform",
        "pdb",
        "doctest",
    }
)
_NOT_FILES = ("/proc/", "/dev/", "/sys/")
_SYSTEM = (
    "/usr/",
    "/lib",
    "/bin/",
    "/sbin/",
    "/etc/",
    "/var/",
    "/run/",
    "/System/",
    "/Library/",
    "/private/etc/",
)
_CLOCKS_AND_WORDS = (
    "/usr/share/zoneinfo",
    "/etc/localtime",
    "/etc/timezone",
    "/usr/share/locale",
    "/usr/lib/locale",
)
_LINEAL = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class Places:
    """The folders of one run. ``in_place`` are those outside ``root`` whose code is the project's as well."""

    def __init__(self, root: str, in_place: Iterable[str] = (), store: Place | None = None) -> None:
        self.root = os.path.abspath(root)
        self._below_root = self.root.rstrip("/") + "/"
        self._code = (self._below_root, *(folder.rstrip("/") + "/" for folder in in_place))
        standard = (os.path.dirname(os.__file__), *map(sysconfig.get_path, ("stdlib", "platstdlib")))
        self._standard = tuple({f"{folder}/" for folder in standard})
        self._installed = tuple(_site_folders())
        self._own = (
            *self._standard,
            *self._installed,
            *_interpreter_folders(self._below_root),
            _LINEAL,
            *_NOT_FILES,
            *_CLOCKS_AND_WORDS,
            f"{self._below_root}.lineal/",
            *_store_folders(store),
        )
        self._temporary = tempfile.gettempdir().rstrip("/") + "/"
        home = os.path.expanduser("~")
        self._home = home.rstrip("/") + "/" if home != "/" else "//"
        self._known: dict[str, Code] = {}

    def name(self, path: str) -> str:
        """The path as people know it: relative to the project, where it lies in it."""
        return path.removeprefix(self._below_root)

    def code(self, file: str) -> Code:
        """Whose code it is that calls itself ``file`` (``co_filename``)."""
        known = self._known.get(file)
        if known is None:
            known = self._known[file] = self._code_of(file)
        return known

    def _code_of(self, file: str) -> Code:
        if file.startswith("<"):
            return "importing" if file.startswith("<frozen importlib") else "standard"
        if file.startswith(_LINEAL):
            return "standard"
        if _is_installed(file) or file.startswith(self._installed):
            return "library"
        if file.startswith(self._standard):
            module = os.path.basename(file).partition(".")[0]
            return "reading" if module in _READ_FOR_THEMSELVES else "standard"
        return "project" if file.startswith(self._code) else "library"

    def is_project(self, file: str) -> bool:
        """Whether ``file`` holds code of the project."""
        return self.code(file) == "project"

    def distance(self, path: str) -> Distance:
        """How near the file at the absolute ``path`` is to what stages are about."""
        if path.startswith(self._own) or _is_installed(path) or "/__pycache__/" in path:
            return "own"
        if path.startswith(self._below_root):
            return "far" if "/." in os.path.dirname(path[len(self.root) :]) else "near"
        if path.startswith(self._home) and "/." in path[len(self._home) - 1 :]:
            return "far"
        return "far" if path.startswith(_SYSTEM) and not path.startswith(self._temporary) else "near"


class Declared:
    """The files that a stage declares: paths below ``root`` or absolute ones, folders, and patterns."""

    def __init__(self, root: str, reads: Iterable[str]) -> None:
        self._paths: list[str] = []
        self._patterns: list[tuple[str, ...]] = []
        self._root = root.rstrip("/") + "/"
        for name in reads:
            path = os.path.normpath(os.path.join(root, name))
            if any(letter in name for letter in "*?[") and not os.path.lexists(path):
                self._patterns.append(tuple(Path(name).parts))
            else:
                self._paths.append(path)

    def __contains__(self, path: str) -> bool:
        if any(path == each or path.startswith(each.rstrip("/") + "/") for each in self._paths):
            return True
        if self._patterns and path.startswith(self._root):
            parts = tuple(path[len(self._root) :].split("/"))
            return any(_matches(parts, pattern) for pattern in self._patterns)
        return False


def _matches(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether the path, or a folder that it lies in, is one of the ``pattern``."""
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_matches(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _is_installed(path: str) -> bool:
    return "/site-packages/" in path or "/dist-packages/" in path


def _site_folders() -> Iterable[str]:
    try:
        folders = [*site.getsitepackages(), site.getusersitepackages()]
    except AttributeError:  # a very old virtual environment
        folders = []
    return {folder.rstrip("/") + "/" for folder in folders}


def _interpreter_folders(root: str) -> Iterable[str]:
    """Where the interpreter keeps what belongs to it; the project may lie in one of them, and is not theirs."""
    for prefix in {sys.prefix.rstrip("/"), sys.base_prefix.rstrip("/")}:
        if f"{prefix}/".startswith(root):  # a virtual environment inside the project
            yield f"{prefix}/"
        for part in ("lib", "lib64", "share", "etc", "include", "bin"):
            if not root.startswith(f"{prefix}/{part}/"):
                yield f"{prefix}/{part}/"


def _store_folders(store: Place | None) -> Iterable[str]:
    if store is None:
        return
    for url in (store.url, store.cache or "", *store.upstream):
        parts = urlsplit(url)
        path = unquote(parts.path) if parts.scheme == "file" else url if "://" not in url else ""
        if path:
            yield os.path.abspath(path).rstrip("/") + "/"
