"""Imports project modules from the bytes that were fingerprinted, whatever has been saved since.

A path hook, before all others: folders of the project that hold code are looked up in what was recorded, and
modules are compiled from those bytes. Bytecode files are neither read nor written: a timestamp ``.pyc``
compares seconds and size, so an edit of the same length within a second would run the old code. Extension
modules and data are left to the ordinary machinery, and so is everything outside the project, but for folders that
are used in place (an editable install): what was not recorded of those is read from the disk, without bytecode.
"""

# ruff: noqa: PTH100, PTH110, PTH112
# os.path keeps symbolic links as they are, and costs less for thousands of paths.
from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
)
from importlib.util import decode_source
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

from lineal.fingerprint.sources import Sources

if TYPE_CHECKING:
    from typing import Self


class Loader:
    """The hook, while it is installed; a context manager that uninstalls it.

    In a folder of the root that has recorded files, only those are modules: one that appears later is not
    found, as on a machine that has only the record. ``in_place`` are folders outside the root whose modules are
    the project's as well. ``imported`` names the files that have been imported, in order; ``around`` gives a context
    in which the statements of a module run, told their code before.
    """

    def __init__(self, root: str, files: Mapping[str, bytes], in_place: Iterable[str] = ()) -> None:
        self.root = root.rstrip("/")
        self.files = files
        self.in_place = tuple(folder.rstrip("/") for folder in in_place)
        self.imported: list[str] = []
        self.around: Callable[[CodeType], AbstractContextManager[object]] = no_context
        self._read: dict[str, bytes] = {}
        self._folders: dict[str, tuple[set[str], set[str]]] = {}
        for name in files:
            folder, _, leaf = self.path(name).rpartition("/")
            self._folders.setdefault(folder, (set(), set()))[0].add(leaf)
            while folder.startswith(self.root + "/"):
                above, _, leaf = folder.rpartition("/")
                self._folders.setdefault(above, (set(), set()))[1].add(leaf)
                folder = above

    def path(self, name: str) -> str:
        """The absolute path that the file recorded as ``name`` has in the project."""
        return name if name.startswith("/") else f"{self.root}/{name}"

    def find(self, path: str) -> bytes | None:
        """The recorded bytes of the file at ``path``, or what was read when it was imported; else None."""
        name = path[len(self.root) + 1 :] if path.startswith(self.root + "/") else path
        try:
            return self.files[name]
        except KeyError:
            return self._read.get(path)

    def keep(self, path: str, data: bytes) -> None:
        """Remember what an imported module was compiled from, where it was not recorded."""
        if self.find(path) is None:
            self._read[path] = data

    def listing(self, folder: str) -> tuple[set[str], set[str]]:
        """The recorded files and folders directly in ``folder``."""
        return self._folders.get(folder, (set(), set()))

    def claims(self, path: str) -> bool:
        """Whether modules in the folder ``path`` come from the record (recorded files lie in or below it), or from
        a folder that is used in place.
        """
        path = path.rstrip("/")
        return path in self._folders or (bool(self.in_place) and self._is_in_place(path))

    def _is_in_place(self, path: str) -> bool:
        if "/site-packages" in path or "/dist-packages" in path:
            return False
        return any(path == folder or path.startswith(folder + "/") for folder in self.in_place)

    def __call__(self, path: str) -> _Finder:
        """The path hook: a finder for a folder of the project; ImportError for any other."""
        folder = os.path.abspath(path)
        if not self.claims(folder):
            raise ImportError("not recorded", path=path)
        return _Finder(self, folder)

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """For `sys.meta_path`: a top-level module in a folder that is used in place and is not on ``sys.path``.

        Such an editable install has a finder of its own there, which would use bytecode.
        """
        if path is None and "." not in fullname:
            for folder in self.in_place:
                spec = None if folder in sys.path else _Finder(self, folder).find_spec(fullname)
                if spec is not None and spec.loader is not None:
                    return spec
        return None

    def install(self) -> None:
        """Import by this loader from now on."""
        sys.path_hooks.insert(0, self)
        if self.in_place:
            last = max((index for index, each in enumerate(sys.meta_path) if each is PathFinder), default=-1)
            sys.meta_path.insert(last + 1, self)
        self._forget_finders()

    def uninstall(self) -> None:
        """Take the hook out again. Modules that it imported stay imported."""
        for hooks in (sys.path_hooks, sys.meta_path):
            if self in hooks:
                hooks.remove(self)
        self._forget_finders()

    def _forget_finders(self) -> None:
        for path in list(sys.path_importer_cache):
            if self.claims(os.path.abspath(path)):
                del sys.path_importer_cache[path]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.uninstall()


def install(
    sources: Sources | Mapping[str, bytes],
    root: str | os.PathLike[str] | None = None,
    in_place: Iterable[str] = (),
) -> Loader:
    """Import the project's modules from ``sources`` from now on.

    ``sources`` may be any mapping from file names relative to ``root`` (absolute ones for files outside it)
    to bytes, such as one that reads a store when it is asked; a `Sources` knows its root. ``__file__`` is as
    in the project. Modules in the folders ``in_place`` that were not recorded are read when they are imported.
    """
    if isinstance(sources, Sources):
        root = sources.root if root is None else root
        files: Mapping[str, bytes] = _Recorded(sources)
    else:
        files = sources
    if root is None:
        raise TypeError("install() needs the root of the project with a mapping")
    loader = Loader(os.path.abspath(root), files, in_place)
    loader.install()
    return loader


def installed() -> Loader | None:
    """The hook that was installed last, while it is."""
    return next((hook for hook in sys.path_hooks if isinstance(hook, Loader)), None)


def uninstall() -> None:
    """Take out every hook that `install` put in."""
    for hook in list(sys.path_hooks):
        if isinstance(hook, Loader):
            hook.uninstall()


def no_context(code: CodeType) -> AbstractContextManager[object]:
    """What is around the statements of a module where nobody looks on."""
    return nullcontext()


class _Recorded(Mapping[str, bytes]):
    """The Python files of some `Sources`, those outside the root included."""

    def __init__(self, sources: Sources) -> None:
        self._files = {name: data for name, data in sources.files.items() if name.endswith(".py")}
        self._files.update(sources.outside())

    def __getitem__(self, name: str) -> bytes:
        return self._files[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


class _Spec(ModuleSpec):
    """A module's spec without a bytecode file."""

    cached = None


class _Finder:
    """Finds modules in one folder of the record."""

    def __init__(self, loader: Loader, folder: str) -> None:
        self._loader = loader
        self._folder = folder
        self._compiled = (
            FileFinder(folder, (ExtensionFileLoader, EXTENSION_SUFFIXES)) if os.path.isdir(folder) else None
        )
        inside = folder == loader.root or folder.startswith(loader.root + "/")
        self._outside = None if inside else FileFinder(folder, (self._from_disk, [".py"]))  # type: ignore[arg-type]

    def _from_disk(self, fullname: str, path: str) -> _SourceLoader:
        return _SourceLoader(fullname, path, self._loader)

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        leaf = fullname.rpartition(".")[2]
        files, folders = self._loader.listing(self._folder)
        below = f"{self._folder}/{leaf}"
        if leaf in folders and "__init__.py" in self._loader.listing(below)[0]:
            return self._spec(fullname, f"{below}/__init__.py", [below])
        compiled = self._compiled.find_spec(fullname) if self._compiled is not None else None
        if compiled is not None and compiled.loader is not None:
            return compiled
        if f"{leaf}.py" in files:
            return self._spec(fullname, f"{below}.py", None)
        if self._outside is not None:
            return _without_bytecode(self._outside.find_spec(fullname))
        if leaf in folders or os.path.isdir(below):
            spec = ModuleSpec(fullname, None)
            spec.submodule_search_locations = [below]
            return spec
        return None

    def _spec(self, fullname: str, path: str, search: list[str] | None) -> ModuleSpec:
        spec = _Spec(
            fullname, _SourceLoader(fullname, path, self._loader), origin=path, is_package=search is not None
        )
        spec.has_location = True
        if search is not None:
            spec.submodule_search_locations = search
        return spec

    def invalidate_caches(self) -> None:
        """The record does not change; what is looked up on the disk may."""
        for finder in (self._compiled, self._outside):
            if finder is not None:
                finder.invalidate_caches()

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        """For ``pkgutil``: the modules here, and whether they are packages."""
        files, folders = self._loader.listing(self._folder)
        names = {file[:-3]: False for file in files if file.endswith(".py") and file != "__init__.py"}
        names.update(
            {f: True for f in folders if "__init__.py" in self._loader.listing(f"{self._folder}/{f}")[0]}
        )
        for finder in (self._compiled, self._outside):
            if finder is not None:
                names.update(_importer_modules(finder))
        for name in sorted(names):
            if name.isidentifier():
                yield prefix + name, names[name]


def _importer_modules(finder: FileFinder) -> dict[str, bool]:
    """What ``pkgutil`` would list of a folder, of the kinds of files that ``finder`` takes."""
    suffixes = tuple(suffix for suffix, _ in finder._loaders)  # type: ignore[attr-defined]
    found: dict[str, bool] = {}
    try:
        with os.scandir(finder.path) as entries:
            for entry in entries:
                suffix = next((each for each in suffixes if entry.name.endswith(each)), None)
                if suffix is not None and entry.name != f"__init__{suffix}":
                    found[entry.name.removesuffix(suffix)] = False
                elif ".py" in suffixes and os.path.exists(f"{entry.path}/__init__.py"):
                    found[entry.name] = True
    except OSError:
        pass
    return found


def _without_bytecode(spec: ModuleSpec | None) -> ModuleSpec | None:
    if spec is None or spec.origin is None:
        return spec
    found = _Spec(
        spec.name,
        spec.loader,
        origin=spec.origin,
        is_package=spec.submodule_search_locations is not None,
    )
    found.has_location = True
    if spec.submodule_search_locations is not None:
        found.submodule_search_locations = list(spec.submodule_search_locations)
    return found


class _SourceLoader(SourceFileLoader):
    """Loads one recorded source file; its resources come from the disk, as for any package."""

    def __init__(self, fullname: str, path: str, recorded: Loader) -> None:
        super().__init__(fullname, path)
        self._recorded = recorded

    def get_data(self, path: str) -> bytes:
        data = self._recorded.find(path)
        return super().get_data(path) if data is None else data

    def get_code(self, fullname: str) -> CodeType:
        return _compiled(self.get_data(self.path), self.path)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__cached__"] = None
        data = self.get_data(self.path)
        code = _compiled(data, self.path)
        _show_source(self.path, data)
        self._recorded.keep(self.path, data)
        self._recorded.imported.append(self.path)
        with self._recorded.around(code):
            exec(code, module.__dict__)  # noqa: S102 - this is what importing is


def _compiled(data: bytes, path: str) -> CodeType:
    code: CodeType = compile(data, path, "exec", dont_inherit=True)
    return code


def _show_source(path: str, data: bytes) -> None:
    """Make tracebacks and `inspect` show the recorded source: linecache would read the file as it is now."""
    try:
        lines = decode_source(data).splitlines(keepends=True)
    except (SyntaxError, UnicodeDecodeError):
        return
    linecache.cache[path] = (len(data), None, lines, path)
