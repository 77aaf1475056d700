"""What is installed: which distribution a module belongs to, in which version, and what that requires.

Only what is asked for is opened: the folders of the search path are listed once, a distribution's RECORD is
read when one of its modules may have been reached. An editable install is no distribution but project code,
and so is a folder on the search path that nothing is installed in.
"""

# ruff: noqa: PTH116, PTH100, PTH110, PTH112, PTH113, PTH119, PTH120
# os.path keeps symbolic links as they are, and costs less for thousands of paths.
from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lineal.fingerprint.markers import may_hold

_SITES = frozenset({"site-packages", "dist-packages"})
_OWN = frozenset({"lineal", "lineal-store", "lineal-cli"})
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^]]*)\])?([^;]*)(?:;(.*))?")
_HASHED = re.compile(rb"^(.+,sha256=[^,\n]+),", re.MULTILINE)
_HASHED_PLAINLY = re.compile(rb"\n([^,]+,sha256=[^,]+),")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")


def normalized(name: str) -> str:
    """The name of a distribution, spelled the one way (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(slots=True)
class Distribution:
    """One installed distribution. ``version`` includes the commit it was installed from, when there is one.

    ``source`` is where it was installed from, as a direct reference, when that was no index; without user and password.
    """

    name: str
    version: str
    folder: str
    info: str
    editable: str | None = None  # the folder that it is used from in place
    source: str | None = None
    requires: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] | None = None
    _record: bytes | None = field(default=None, repr=False)

    def claims(self, path: str) -> bool:
        """Whether its list of files has ``path``: a folder, or a module without its suffix."""
        record = self.record()
        wanted = path.encode("utf-8", "surrogateescape")
        for line in (wanted + b"/", wanted + b"."):
            if record.startswith(line) or b"\n" + line in record or b"\n./" + line in record:
                return True
        return record == b"" and "/" not in path and path in self._top_level()

    def record(self) -> bytes:
        if self._record is None:
            names = ("RECORD", "installed-files.txt")
            self._record = next((data for name in names if (data := _read(f"{self.info}/{name}"))), b"")
            self._record = self._record.replace(b"\r\n", b"\n").replace(b"../", b"")
        return self._record

    def files(self) -> list[tuple[str, str]]:
        """The files that lie in the folder it is installed in, as listed: their paths there and hashes, ``sha256=…`` or empty."""
        import csv

        lines = _read(f"{self.info}/RECORD").decode("utf-8", "surrogateescape").splitlines()
        rows = (row for row in csv.reader(lines) if len(row) >= 2)
        return [
            (path, hashed)
            for path, hashed, *_ in rows
            if not path.startswith("/") and ".." not in path.split("/")
        ]

    def contents(self) -> str:
        """SHA-256 of the names and hashes of its files, as they were installed.

        The same for one archive however it was installed: without what the installer adds, scripts (they name the Python
        that they are for), and compiled code.
        """
        import hashlib

        listed = _hashed(_read(f"{self.info}/RECORD"))
        lines = [line for line in listed if line.find(b".dist-info/") < 0 and line[:3] != b"../"]
        lines.sort()
        return hashlib.sha256(b"\n".join([*lines, b""])).hexdigest()

    def _top_level(self) -> list[str]:
        return _read(f"{self.info}/top_level.txt").decode("utf-8", "replace").split()

    def requirements(self, extras: Iterable[str] = ()) -> list[tuple[str, tuple[str, ...]]]:
        """What it requires here, with these extras: normalised names, each with the extras asked of it."""
        wanted = set(extras)
        return [
            (name, asked) for name, asked, only in self._requires() if not only or wanted.intersection(only)
        ]

    def extras(self) -> set[str]:
        """The names of all extras that it requires something for."""
        return {extra for _, _, only in self._requires() for extra in only}

    def _requires(self) -> tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]:
        if self.requires is None:
            text = (_read(f"{self.info}/METADATA") or _read(f"{self.info}/PKG-INFO")).decode(
                "utf-8", "replace"
            )
            found = []
            for line in text.splitlines():
                if not line:
                    break  # the description follows
                if line.lower().startswith("requires-dist:"):
                    match = _REQUIREMENT.match(line[14:])
                    if match is not None and may_hold(match[4] or ""):
                        asked = tuple(each.strip() for each in (match[2] or "").split(",") if each.strip())
                        only = tuple(_EXTRA.findall(match[4] or ""))
                        found.append((normalized(match[1]), asked, only))
            self.requires = tuple(found)
        return self.requires


@dataclass(slots=True)
class _Folder:
    path: str
    files: set[str]
    folders: set[str]
    infos: list[str]

    @property
    def is_site(self) -> bool:
        return bool(self.infos) or os.path.basename(self.path) in _SITES


class Distributions:
    """What is installed on a search path (``sys.path`` as it is now, when none is given), as far as it is
    asked for.
    """

    def __init__(self, search: Sequence[str] | None = None) -> None:
        self._standard = {os.path.realpath(os.path.dirname(os.__file__))}
        paths = sys.path if search is None else search
        self._paths = [os.path.abspath(path) for path in dict.fromkeys(paths)]
        self._folders: list[_Folder] | None = None
        self._by_name: dict[str, Distribution] | None = None
        self._editables: list[tuple[dict[str, str], list[_Folder]]] | None = None
        self._located: dict[str, tuple[str, bool] | None] = {}
        self._owners: dict[str, tuple[Distribution, ...]] = {}

    def state(self) -> Iterator[str]:
        """Lines that differ when anything is installed, taken away or put on the search path."""
        for folder in self._list():
            shown = [name for name in (*sorted(folder.folders), "/", *sorted(folder.files)) if name[0] != "."]
            yield f"search {folder.path} {' '.join(shown)}"  # no module lies in what is hidden
            for info in sorted(folder.infos):
                try:
                    changed = os.stat(f"{folder.path}/{info}").st_mtime_ns
                except OSError:
                    changed = 0
                yield f"installed {info} {changed}"

    def places(self) -> Iterator[str]:
        """The absolute paths that `state` and `installed` tell of: the folders of the search path, there or not, and what
        is installed in them.
        """
        yield from self._paths
        for folder in self._list():
            for info in folder.infos:
                yield from (f"{folder.path}/{info}", f"{folder.path}/{info}/direct_url.json")

    def provides(self, top: str) -> bool:
        """Whether a module called ``top`` is installed, other than in place."""
        located = self._locate(top)
        return located is not None and not located[1]

    def find_project_folder(self, module: str) -> str | None:
        """The folder from which ``module`` is used in place, outside of what is installed; or None."""
        located = self._locate(module.partition(".")[0])
        return located[0] if located is not None and located[1] else None

    def used_in_place(self) -> tuple[str, ...]:
        """The folders whose modules are used in place: on the search path, with nothing installed in them, and those
        of editable installs. Lineal's own are left out.
        """
        own = {"lineal", "lineal_store", "lineal_cli", "lineal_web"}
        found = {
            folder.path: None for folder in self._list() if not folder.is_site and not own & folder.folders
        }
        for distribution in self._distributions().values():
            if distribution.editable is not None and distribution.name not in _OWN:
                mapping, folders = _editable_places(distribution)
                found.update(
                    dict.fromkeys(os.path.dirname(os.path.abspath(each)) for each in mapping.values())
                )
                found.update(dict.fromkeys(folder.path for folder in folders))
        return tuple(folder for folder in found if folder != "/")

    def owners(self, module: str) -> tuple[Distribution, ...]:
        """The distributions that the dotted name ``module`` may come from: one, but for namespace packages."""
        parts = module.split(".")
        top = parts[0]
        if top not in self._owners:
            self._owners[top] = tuple(self._claiming(top))
        owners = self._owners[top]
        for length in range(2, len(parts) + 1):
            if len(owners) < 2:
                break
            narrower = tuple(each for each in owners if each.claims("/".join(parts[:length])))
            if not narrower:
                break
            owners = narrower
        return owners

    def versions(self, modules: Iterable[str], named: Iterable[str] = ()) -> dict[str, str]:
        """The distributions that these modules come from, and all that those require: versions by name,
        sorted. With them those that are ``named``, each by itself, whether it is used in place or not.
        """
        found: dict[str, str] = {}
        for name in map(normalized, named):
            known = self._distributions().get(name)
            if known is not None and name not in _OWN:
                found[name] = known.version
        pending: list[tuple[Distribution, tuple[str, ...]]] = []
        for module in modules:
            owners = self.owners(module)
            pending += [(each, ()) for each in owners]
            if not owners and self.provides(module.partition(".")[0]):
                top = module.partition(".")[0]
                found[f"module {top}"] = self._unversioned(top)
        for distribution in self._required(pending):
            if distribution.editable is None:
                found[distribution.name] = distribution.version
        return dict(sorted(found.items()))

    def required_by(self, name: str, *, extras: bool = False) -> dict[str, str]:
        """All that the distribution ``name`` requires, with ``extras`` all of them, without itself: versions by name, sorted."""
        everything = self._distributions()
        found = everything.get(name)
        direct = found.requirements(found.extras() if extras else ()) if found is not None else ()
        pending = [(everything[each], asked) for each, asked in direct if each in everything]
        return dict(sorted((each.name, each.version) for each in self._required(pending)))

    def _required(self, pending: list[tuple[Distribution, tuple[str, ...]]]) -> Iterator[Distribution]:
        """The distributions in ``pending``, each with extras, and all that they require; some more than once."""
        seen: set[tuple[str, tuple[str, ...]]] = set()
        while pending:
            distribution, extras = pending.pop()
            if (distribution.name, extras) in seen or distribution.name in _OWN:
                continue
            seen.add((distribution.name, extras))
            yield distribution
            for name, asked in distribution.requirements(extras):
                required = self._distributions().get(name)
                if required is not None:
                    pending.append((required, asked))

    def entry_points(self, groups: Iterable[str]) -> list[tuple[str, str, str]]:
        """The entry points of these groups that anything installed has: group, name and value, sorted."""
        wanted = set(groups)
        found = []
        for distribution in self._distributions().values() if wanted else ():
            group = ""
            text = _read(f"{distribution.info}/entry_points.txt").decode("utf-8", "replace")
            for line in map(str.strip, text.splitlines()):
                name, equals, value = line.partition("=")
                if line.startswith("["):
                    group = line.strip("[] ")
                elif equals and group in wanted and not line.startswith(("#", ";")):
                    found.append((group, name.strip(), value.partition("[")[0].strip()))
        return sorted(found)

    def installed(self) -> dict[str, str]:
        """The versions of everything on the search path, by normalised name, sorted."""
        return {name: found.version for name, found in sorted(self._distributions().items())}

    def everything(self) -> list[Distribution]:
        """All that is on the search path, by name."""
        return [found for _, found in sorted(self._distributions().items())]

    def _list(self) -> list[_Folder]:
        if self._folders is None:
            self._folders = []
            for path in self._paths:
                if os.path.realpath(path) in self._standard or os.path.basename(path) == "lib-dynload":
                    continue
                folder = _list_folder(path)
                if folder is not None:
                    self._folders.append(folder)
        return self._folders

    def _distributions(self) -> dict[str, Distribution]:
        """Every distribution by normalised name; the first on the search path is the one that counts."""
        if self._by_name is None:
            self._by_name = {}
            for folder in self._list():
                for info in sorted(folder.infos):
                    stem = info.rpartition(".")[0]
                    if info.endswith(".egg-info"):
                        stem = re.sub(r"-py\d.*", "", stem)
                    name, _, version = stem.rpartition("-")
                    key = normalized(name)
                    if key not in self._by_name:
                        self._by_name[key] = _distribution(key, version, folder.path, f"{folder.path}/{info}")
        return self._by_name

    def _claiming(self, top: str) -> list[Distribution]:
        located = self._locate(top)
        if located is None or located[1]:
            return []
        everything = self._distributions()
        likely = everything.get(normalized(top))
        if (
            likely is not None
            and likely.folder == located[0]
            and likely.claims(top)
            and _is_regular(located[0], top)
        ):
            return [likely]
        return [each for each in everything.values() if each.folder == located[0] and each.claims(top)]

    def _locate(self, top: str) -> tuple[str, bool] | None:
        """The folder that the module ``top`` lies in, and whether it is used in place there."""
        if top in self._located:
            return self._located[top]
        found: tuple[str, bool] | None = None
        for folder in self._list():
            if top in folder.folders or any(
                _is_module(file, top) for file in folder.files if file.startswith(top)
            ):
                here = (folder.path, not folder.is_site)
                if _is_regular(folder.path, top):
                    found = here
                    break
                found = found or here
        if found is None:
            place = self._editable_place(top)
            found = (place, True) if place is not None else None
        self._located[top] = found
        return found

    def _editable_place(self, top: str) -> str | None:
        """The folder in which an editable install has the module ``top``."""
        if self._editables is None:
            everything = self._distributions().values()
            self._editables = [_editable_places(each) for each in everything if each.editable is not None]
        for mapping, folders in self._editables:
            if top in mapping and os.path.exists(os.path.dirname(mapping[top])):
                return os.path.abspath(os.path.dirname(mapping[top]))
            for folder in folders:
                if top in folder.folders or f"{top}.py" in folder.files:
                    return folder.path
        return None

    def _unversioned(self, top: str) -> str:
        """Stands for the version of a module that lies in a site folder, but belongs to no distribution: its
        bytes.
        """
        import xxhash

        located = self._locate(top)
        assert located is not None
        hasher = xxhash.xxh3_128()
        start = f"{located[0]}/{top}"
        files = [start + ".py"] if os.path.isfile(start + ".py") else []
        for folder, below, names in os.walk(start):
            below[:] = sorted(each for each in below if each != "__pycache__")
            files += [f"{folder}/{name}" for name in sorted(names) if not name.endswith(".pyc")]
        for file in files:
            hasher.update(os.fsencode(file[len(located[0]) :]) + b"\0" + _read(file))
        return hasher.hexdigest()


def _distribution(name: str, version: str, folder: str, info: str) -> Distribution:
    editable = source = None
    data = _read(f"{info}/direct_url.json")
    if data:
        import json
        from urllib.parse import unquote, urlsplit

        try:
            origin: dict[str, Any] = json.loads(data)
            url = str(origin.get("url", ""))
            commit = origin.get("vcs_info", {}).get("commit_id")
            hashes = _archive_hash(origin.get("archive_info", {}))
            if origin.get("dir_info", {}).get("editable"):
                editable = unquote(urlsplit(url).path)
            # conda's packages tell of the folder that they were built in
            elif _read(f"{info}/INSTALLER").strip() != b"conda":
                source = _direct_reference(origin, url)
            if commit or hashes:
                version = f"{version} ({commit or hashes})"
        except (ValueError, AttributeError):
            pass
    return Distribution(name, version, folder, info, editable, source)


def _direct_reference(origin: Mapping[str, Any], url: str) -> str:
    """What pip is told to install the same again."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    vcs, hashes = origin.get("vcs_info"), _archive_hash(origin.get("archive_info", {}))
    if vcs:
        plain = f"{vcs.get('vcs', 'git')}+{plain}@{vcs.get('commit_id', '')}"
    folder = origin.get("subdirectory")
    fragment = "&".join(filter(None, [(hashes or "").partition(" ")[0], folder and f"subdirectory={folder}"]))
    return f"{plain}#{fragment}" if fragment else plain


def _archive_hash(archive: Mapping[str, Any]) -> str | None:
    """The hash of the archive that was installed, spelled the one way (it is written in either of two)."""
    hashes = archive.get("hashes") or dict([archive["hash"].split("=", 1)] if archive.get("hash") else [])
    return " ".join(f"{kind}={value}" for kind, value in sorted(hashes.items())) or None


def _editable_places(distribution: Distribution) -> tuple[dict[str, str], list[_Folder]]:
    """Where an editable install has its modules: the places of some by name, and folders to look in."""
    folders = []
    mapping: dict[str, str] = {}
    for line in distribution.record().decode("utf-8", "replace").splitlines():
        file = line.partition(",")[0]
        if "/" in file:
            continue
        if file.endswith(".pth"):
            for each in _read(f"{distribution.folder}/{file}").decode("utf-8", "replace").splitlines():
                if each and not each.startswith(("#", "import ", "import\t")):
                    folders.append(os.path.join(distribution.folder, each.strip()))
        elif file.endswith("_finder.py"):
            mapping.update(_finder_mapping(_read(f"{distribution.folder}/{file}")))
    assert distribution.editable is not None
    folders += [distribution.editable, f"{distribution.editable}/src"]
    listings = [_list_folder(os.path.abspath(folder)) for folder in dict.fromkeys(folders)]
    return mapping, [each for each in listings if each is not None]


def _finder_mapping(source: bytes) -> dict[str, str]:
    """The MAPPING in the finder that setuptools writes for an editable install."""
    import ast

    try:
        for node in ast.parse(source).body:
            target = (
                node.target
                if isinstance(node, ast.AnnAssign)
                else node.targets[0]
                if isinstance(node, ast.Assign)
                else None
            )
            if (
                isinstance(target, ast.Name)
                and target.id == "MAPPING"
                and isinstance(node, ast.AnnAssign | ast.Assign)
            ):
                return dict(ast.literal_eval(node.value)) if node.value is not None else {}
    except (SyntaxError, ValueError):
        pass
    return {}


def _list_folder(path: str) -> _Folder | None:
    try:
        with os.scandir(path) as entries:
            folder = _Folder(path, set(), set(), [])
            for entry in entries:
                name = entry.name
                if name.endswith(".dist-info") or (
                    name.endswith(".egg-info") and os.path.basename(path) in _SITES
                ):
                    folder.infos.append(name)
                elif entry.is_dir():
                    folder.folders.add(name)
                else:
                    folder.files.add(name)
            return folder
    except OSError:
        return None


def _is_module(file: str, top: str) -> bool:
    return file == f"{top}.py" or (file.startswith(f"{top}.") and file.endswith((".so", ".pyd")))


def _is_regular(folder: str, top: str) -> bool:
    """Whether ``top`` is a module or a package with an ``__init__`` there, and no part of a namespace
    package.
    """
    below = f"{folder}/{top}"
    return not os.path.isdir(below) or os.path.exists(f"{below}/__init__.py") or os.path.exists(f"{below}.py")


def _hashed(record: bytes) -> list[bytes]:
    """The beginning of each line of a RECORD that has a SHA-256: the path and the hash, as they are spelled there.

    A first run goes through the RECORDs of all that is installed, hence the quick look first: it does for whoever has no
    comma in a path, and finds another number, or a line's end amid what it takes for a line, for all others.
    """
    found: list[bytes] = _HASHED_PLAINLY.findall(b"\n" + record)
    if record.count(b",sha256=") == len(found) and b"\n" not in b"".join(found):
        return found
    return _HASHED.findall(record.replace(b"\r\n", b"\n"))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as stream:
            return stream.read()
    except OSError:
        return b""
