"""A project's code, read once: what is fingerprinted, traced and run are the same bytes."""

# ruff: noqa: PTH100, PTH110, PTH114
# os.path keeps symbolic links as they are, and costs less for thousands of paths.
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from lineal.fingerprint.errors import FingerprintError

if TYPE_CHECKING:
    from lineal_store.digest import Digest

PROJECT_FILES = ("pyproject.toml", "lineal.toml")
_NOT_CODE = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})
_BUILD_OUTPUT = frozenset({"build", "dist"})  # only beside the project file, and only when no package
_EXTENSION_SUFFIXES = (".so", ".pyd")


class Module(Struct, frozen=True):
    """Where a module's code lies.

    ``kind`` is ``source``, ``package``, ``extension`` or ``namespace``. ``file`` names the source in
    `Sources` (None for a namespace package); ``search`` are the folders in which submodules are looked for.
    """

    name: str
    kind: str
    file: str | None
    search: tuple[str, ...] = ()

    @property
    def package(self) -> str:
        """The package that relative imports in this module start from."""
        return self.name if self.kind in ("package", "namespace") else self.name.rpartition(".")[0]


class _Folder(Struct, frozen=True):
    files: frozenset[str]
    folders: frozenset[str]


_EMPTY = _Folder(frozenset(), frozenset())


class Sources:
    """The source files of a project and of what it uses in place, as bytes.

    Files under ``root`` are named by their POSIX path relative to it; files outside it (an editable install)
    by their absolute path: those are read when they are first asked for, and kept. ``import_roots`` are the
    folders in which modules are looked for, in the order of ``sys.path``.

    A mapping without a disk behind it works as well (``Sources(root, roots, files)``): what it does not
    hold is then looked for on the disk.
    """

    def __init__(
        self,
        root: Path,
        import_roots: Iterable[Path],
        files: Mapping[str, bytes],
        folders: Mapping[str, tuple[Iterable[str], Iterable[str]]] | None = None,
    ) -> None:
        self.root = Path(root)
        self.import_roots = tuple(Path(each) for each in import_roots)
        self.files: dict[str, bytes] = dict(files)
        self._prefix = str(self.root).rstrip("/") + "/"
        self._outside: dict[str, bytes] = {}
        self._digests: dict[str, Digest] = {}
        self._places: tuple[str, ...] = ()
        self._modules: dict[str, Module | None] = {}
        self._folders: dict[str, _Folder] = {}
        self._extra_roots: list[str] = []
        self._extra_search: dict[str, list[str]] = {}
        if folders is None:
            folders = _folders_of(self._prefix, self.files)
        for path, (names, below) in folders.items():
            self._folders[path] = _Folder(frozenset(names), frozenset(below))
        self._captured = frozenset(self._folders)

    @classmethod
    def capture(cls, root: Path, import_roots: Iterable[Path] | None = None) -> Sources:
        """Read every Python file of the project in ``root``, and its project files.

        Hidden folders, virtual environments, caches, installed packages and build output are left out. A file
        that cannot be read is left out too: it is an error when something reaches it.
        ``import_roots`` default to the root and its ``src``.
        """
        root = Path(os.path.abspath(root))
        files: dict[str, bytes] = {}
        folders: dict[str, tuple[set[str], set[str]]] = {}
        passed: list[str] = []
        _walk(str(root), "", files, folders, passed, set())
        if import_roots is None:
            import_roots = [root, *([root / "src"] if (root / "src").is_dir() else [])]
        sources = cls(root, import_roots, files, folders)
        sources._places = (*folders, *passed, *(f"{root}/{name}" for name in files))
        return sources

    def read(self, file: str) -> bytes:
        """The bytes of ``file`` as they were when they were first read; FingerprintError when there are none."""
        data = self.files.get(file)
        if data is None:
            data = self._outside.get(file)
        if data is None:
            path = self.path(file)
            try:
                data = path.read_bytes()
            except OSError as error:
                raise FingerprintError(
                    f"cannot be read: {error.strerror or error}",
                    str(path),
                    hint="Make it readable, or take it out of the import.",
                ) from error
            self._outside[file] = data
        return data

    def path(self, file: str) -> Path:
        """Where ``file`` lies on the disk."""
        return self.root / file  # an absolute name stays itself

    def name(self, path: str | os.PathLike[str]) -> str:
        """The name of the file at ``path``: relative to the root when it lies below it."""
        text = os.fspath(path)
        return text.removeprefix(self._prefix)

    def digest(self, file: str) -> Digest:
        """The digest of the bytes of ``file``."""
        from lineal_store.digest import Digest

        found = self._digests.get(file)
        if found is None:
            found = self._digests[file] = Digest.of(self.read(file))
        return found

    def state(self) -> Iterator[str]:
        """Lines that differ when anything in the project that code can depend on does."""
        import xxhash

        yield f"root {self.root}"
        yield from (f"import root {each}" for each in self.import_roots)
        for name in sorted(self.files):
            yield f"file {name} {xxhash.xxh3_128_hexdigest(self.files[name])}"
        for folder in sorted(self._captured):
            listing = self._folders[folder]
            shown = sorted(name for name in listing.folders if not name.startswith("."))
            yield f"folder {folder} {' '.join(shown)}"  # no module lies in a hidden one
            yield from (
                f"compiled {name}" for name in sorted(listing.files) if name.endswith(_EXTENSION_SUFFIXES)
            )

    def places(self) -> Sequence[str]:
        """The absolute paths of all files and folders that capturing looked at: while none of them changes, it gives
        the same again.
        """
        return self._places

    def outside(self) -> Mapping[str, bytes]:
        """The files outside the root that have been read so far, by absolute path."""
        return dict(self._outside)

    def find(self, module: str) -> Module | None:
        """Where ``module`` lies among the import roots, as the import system would look; None when it is not
        there.

        A package is preferred to a module, an extension to a source, an earlier root to a later one; folders
        without ``__init__`` in any root make a namespace package.
        """
        try:
            return self._modules[module]
        except KeyError:
            pass
        found = self.find_in(self._search(module), module, module.rpartition(".")[2])
        more = self._extra_search.get(module)
        if more and found is not None and found.search:
            found = replace(found, search=tuple(dict.fromkeys((*found.search, *more))))
        self._modules[module] = found
        return found

    def _search(self, module: str) -> tuple[str, ...]:
        """The folders in which ``module`` is looked for."""
        parent = module.rpartition(".")[0]
        if parent:
            above = self.find(parent)
            return above.search if above is not None else ()
        return tuple(str(each) for each in self.import_roots) + tuple(self._extra_roots)

    def find_in(self, search: Iterable[str], module: str, leaf: str) -> Module | None:
        """As `find`, in the folders ``search``, for the last part ``leaf`` of the name ``module``."""
        portions: list[str] = []
        for folder in search:
            listing = self._listing(folder)
            if leaf in listing.folders:
                below = f"{folder}/{leaf}"
                inside = self._listing(below)
                if "__init__.py" in inside.files:
                    return Module(module, "package", self.name(f"{below}/__init__.py"), (below,))
                portions.append(below)
            for file in _candidates(leaf, listing.files):
                kind = "source" if file.endswith(".py") else "extension"
                return Module(module, kind, self.name(f"{folder}/{file}"))
        if portions:
            return Module(module, "namespace", None, tuple(portions))
        return None

    def add_root(self, folder: str) -> None:
        """Look for modules in ``folder`` too, after all other roots."""
        if folder not in self._extra_roots and folder not in map(str, self.import_roots):
            self._extra_roots.append(folder)
            self._modules.clear()

    def add_search(self, package: str, folder: str) -> None:
        """Look for the submodules of ``package`` in ``folder`` too, after its own."""
        self._extra_search.setdefault(package, []).append(folder)
        self._modules.clear()

    def portions(self, package: str) -> list[str]:
        """The folders in which a package of the name ``package`` could lie."""
        leaf = package.rpartition(".")[2]
        return [
            f"{folder}/{leaf}" for folder in self._search(package) if leaf in self._listing(folder).folders
        ]

    def module_file(self, module: str) -> str | None:
        """The name of the file with the source of ``module``, or None."""
        found = self.find(module)
        return None if found is None else found.file

    def module_of(self, file: str) -> str | None:
        """The name under which ``file`` is imported: the shortest that an import root gives, or None."""
        path = str(self.path(file))
        names = []
        for folder in (*map(str, self.import_roots), *self._extra_roots):
            if path.startswith(folder.rstrip("/") + "/") and path.endswith(".py"):
                parts = path[len(folder.rstrip("/")) + 1 : -3].split("/")
                if parts[-1] == "__init__":
                    parts.pop()
                name = ".".join(parts)
                if parts and all(part.isidentifier() for part in parts) and self.module_file(name) == file:
                    names.append(name)
        return min(names, key=lambda name: name.count("."), default=None)

    def submodules(self, package: str) -> list[str]:
        """The names of the modules directly in ``package``, sorted."""
        found = self.find(package)
        names: set[str] = set()
        for folder in found.search if found is not None else ():
            listing = self._listing(folder)
            names |= {file[:-3] for file in listing.files if file.endswith(".py")}
            names |= {each for each in listing.folders if each not in _NOT_CODE}
        return sorted(f"{package}.{name}" for name in names if name.isidentifier() and name != "__init__")

    def _listing(self, folder: str) -> _Folder:
        found = self._folders.get(folder)
        if found is None:
            try:
                with os.scandir(folder) as entries:
                    files: list[str] = []
                    folders: list[str] = []
                    for entry in entries:
                        (folders if _is_folder(entry) else files).append(entry.name)
                found = _Folder(frozenset(files), frozenset(folders))
            except OSError:
                found = _EMPTY
            self._folders[folder] = found
        return found


def find_project_root(path: Path) -> Path:
    """The nearest folder at or above ``path`` with a project file; where there is none, the folder of
    ``path``.
    """
    start = path if path.is_dir() else path.parent
    for folder in (start, *start.parents):
        if any((folder / name).is_file() for name in PROJECT_FILES):
            return folder
    return start


def _candidates(leaf: str, files: frozenset[str]) -> Iterator[str]:
    for file in files:
        if file.startswith(leaf + ".") and file.endswith(_EXTENSION_SUFFIXES):
            yield file
            break
    if f"{leaf}.py" in files:
        yield f"{leaf}.py"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of symbolic links
        return False


def _walk(
    folder: str,
    prefix: str,
    files: dict[str, bytes],
    folders: dict[str, tuple[set[str], set[str]]],
    passed: list[str],
    seen: set[str],
) -> None:
    """Take in ``folder``, whose name relative to the root is ``prefix`` (ending in ``/``, or empty).

    What was looked at and left out is added to ``passed``.
    """
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError:
        passed.append(folder)
        return
    names: set[str] = set()
    below: set[str] = set()
    links = False
    for entry in found:
        name = entry.name
        links = links or entry.is_symlink()
        if _is_folder(entry):
            below.add(name)
        else:
            names.add(name)
    if "pyvenv.cfg" in names and prefix:
        passed.append(folder)
        return
    folders[folder] = (names, below)
    for name in names:
        if name.endswith(".py") or (not prefix and name in PROJECT_FILES):
            try:
                with open(f"{folder}/{name}", "rb", buffering=0) as stream:
                    files[prefix + name] = stream.read()
            except OSError:
                passed.append(f"{folder}/{name}")
    for name in below:
        if name.startswith(".") or name in _NOT_CODE or name.endswith(".egg-info"):
            continue
        child = f"{folder}/{name}"
        if not prefix and name in _BUILD_OUTPUT and not os.path.exists(f"{child}/__init__.py"):
            passed.append(child)
            continue
        if links and os.path.islink(child):
            real = os.path.realpath(child)
            if real in seen or folder.startswith(real):  # a loop, or the same folder a second time
                passed.append(child)
                continue
            seen.add(real)
        _walk(child, f"{prefix}{name}/", files, folders, passed, seen)


def _folders_of(prefix: str, files: Iterable[str]) -> dict[str, tuple[set[str], set[str]]]:
    """The folders that some relative file names imply."""
    folders: dict[str, tuple[set[str], set[str]]] = {prefix.rstrip("/"): (set(), set())}
    for file in files:
        folder, _, name = (prefix + file).rpartition("/")
        folders.setdefault(folder, (set(), set()))[0].add(name)
        while len(folder) >= len(prefix):
            above, _, name = folder.rpartition("/")
            folders.setdefault(above, (set(), set()))[1].add(name)
            folder = above
    return folders
