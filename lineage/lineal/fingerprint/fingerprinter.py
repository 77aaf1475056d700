"""The fingerprint of a stage: the identity of the code that it depends on, with what that covers and what it
cannot see.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash
from msgspec import Struct, field

from lineal.fingerprint.declared import entry_of, hash_reads
from lineal.fingerprint.distributions import Distributions

if TYPE_CHECKING:
    from lineal.fingerprint.cache import SummaryCache
    from lineal.fingerprint.closure import Closure, Closures
    from lineal.fingerprint.lookup import Lookup
    from lineal.fingerprint.sources import Sources

_DOMAIN = "lineal.fingerprint.2"
"""Part of every fingerprint: another way of computing it gets another name."""


class Unit(Struct, frozen=True, order=True):
    """One top-level statement that a fingerprint covers: ``module:name``, its file (relative to the project
    where it lies in it), its first line, and the hash of its own text (32 hex digits).
    """

    unit: str
    file: str
    line: int
    hash: str


class BlindSpot(Struct, frozen=True, order=True):
    """Something that may change a result and that the fingerprint does not see.

    ``kind`` is ``dynamic_import``, ``eval``, ``unresolved_import``, ``undeclared_read``, ``environment``,
    ``unpickle``, ``missing_file`` or ``opaque_value``; ``detail`` says what.
    """

    kind: str
    detail: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind.replace('_', ' ')}: {self.detail}"


class Fingerprint(Struct, frozen=True):
    """The identity of the code that a stage depends on.

    ``hex`` is XXH3-128 as 32 lowercase hex digits. ``covers`` are its units, sorted; ``distributions`` the
    versions of the third-party distributions reached, by name; ``modules`` the project modules that are
    imported; ``outside`` the dotted names reached outside the project (built-ins as ``builtins.…``).
    """

    hex: str
    covers: tuple[Unit, ...]
    blind_spots: tuple[BlindSpot, ...]
    distributions: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


class Fingerprinter:
    """Fingerprints the stages of one project. What one stage needed is remembered for the next, and in
    ``cache`` for the next process (the caller saves that).
    """

    def __init__(
        self,
        sources: Sources,
        *,
        distributions: Distributions | None = None,
        cache: SummaryCache | None = None,
    ) -> None:
        self.sources = sources
        self.distributions = distributions if distributions is not None else Distributions()
        self._cache = cache
        self._closures: Closures | None = None
        self._state: str | None = None
        self.read: dict[str, str] = {}  # all files that stages declare, as `hash_reads` gives them
        self.is_settled = True  # whether all that was asked for so far depends on `state` alone

    @property
    def closures(self) -> Closures:
        """The closures over the sources; the parser is imported when something asks for this."""
        if self._closures is None:
            from lineal.fingerprint.closure import Closures
            from lineal.fingerprint.lookup import Lookup
            from lineal.fingerprint.paths import add_search_paths
            from lineal.fingerprint.summaries import Summaries

            lookup = Lookup(self.sources, self.distributions, Summaries(self._cache))
            add_search_paths(lookup)
            self._closures = Closures(lookup)
        return self._closures

    @property
    def lookup(self) -> Lookup:
        """What names mean in the sources."""
        return self.closures.lookup

    def stage(
        self,
        module: str,
        qualname: str,
        *,
        reads: Iterable[str | os.PathLike[str]] = (),
        depends_on: Iterable[object] = (),
        version: str | None = None,
        beside: Iterable[str] = (),
        also: Iterable[str] = (),
    ) -> Fingerprint:
        """The fingerprint of the function ``qualname`` of ``module``.

        ``reads`` are data files (relative to the project's root), whose bytes count; folders and patterns count
        with every file in them. ``depends_on`` is more code: ``"module"``, ``"module:name"``, functions, classes
        or modules. ``version`` is text that counts as it is, and so are the lines of ``also``. ``beside`` are
        modules that are imported before the stage's own (the pipeline's): they count where importing them changes
        what the stage reaches. FingerprintError when code that is reached cannot be read.
        """
        entries = [(module, qualname), *(entry_of(each, self.sources) for each in depends_on)]
        read = hash_reads(self.sources.root, reads)
        self.read.update(read)
        declared = [f"entry {each}:{name}" for each, name in entries]
        declared += [f"read {name} {digest}" for name, digest in read.items()]
        declared += [f"also {line}" for line in also]
        before = tuple(beside)
        if version is not None:
            declared.append(f"version {version}")
        key = (
            _hash([self.state(), *declared, f"beside {' '.join(before)}"]).digest()
            if self._cache is not None
            else b""
        )
        known = self._cache.find_result(key) if self._cache is not None else None
        if known is not None:
            return _unpacked(known)
        closure = self.closures.close(entries, before)
        named = self._named_in(closure, read)
        if named:
            closure = self.closures.close([*entries, *named], before)
        distributions = self.distributions.versions(sorted(closure.outside), sorted(closure.named))
        lines = [_DOMAIN, *closure.lines, *declared]
        lines += [f"distribution {name} {known}" for name, known in distributions.items()]
        found = Fingerprint(
            hex=_hash(lines).hexdigest(),
            covers=self._covers(closure),
            blind_spots=self._blind_spots(closure, read),
            distributions=distributions,
            modules=tuple(sorted(closure.loaded)),
            outside=_outside(closure),
        )
        if not self._is_settled(closure, distributions):
            self.is_settled = False
        elif self._cache is not None:
            self._cache.keep_result(key, _packed(found))
        return found

    def state(self) -> str:
        """A hash of all that fingerprints of this project depend on, as long as they stay within it: its
        files and folders, and what is installed. Not the same on another machine.
        """
        if self._state is None:
            self._state = _hash([_DOMAIN, *self.sources.state(), *self.distributions.state()]).hexdigest()
        return self._state

    def _is_settled(self, closure: Closure, distributions: Mapping[str, str]) -> bool:
        """Whether nothing was looked at that `state` leaves out: files outside the project, compiled modules."""
        return not (
            self.sources.outside()
            or any(name.startswith("module ") for name in distributions)
            or any(line.startswith("file ") for line in closure.lines)
        )

    def _named_in(self, closure: Closure, read: Iterable[str]) -> list[tuple[str, str]]:
        """The project's code that declared files name: in pickles, when the code loads some (a pickle says of an
        object only where its class is), and as dotted names, when it imports by computed names.
        """
        units = ((self.lookup.get_index(module).units[at]) for module, at in closure.units)
        kinds = {kind for unit in units for kind, _, _ in unit.spots}
        if not kinds & {"unpickle", "dynamic_import"}:
            return []
        from lineal.fingerprint.declared import find_names_in_pickles, find_names_in_texts

        root, found = self.sources.root, []
        if "unpickle" in kinds:
            found += find_names_in_pickles(root, read)
        if "dynamic_import" in kinds:
            found += [entry_of(text, self.sources) for text in find_names_in_texts(root, read)]
        return [
            (module, name)
            for module, name in found
            if self.lookup.find_index(module) is not None
            and any(each.kind == "name" for each in self.lookup.resolve(module, (name.partition(".")[0],)))
        ]

    def _covers(self, closure: Closure) -> tuple[Unit, ...]:
        found = []
        for (module, position), digest in closure.units.items():
            unit = self.lookup.get_index(module).units[position]
            name = ", ".join(unit.names) if unit.names else f"line {unit.line}"
            if unit.kind != "guard":
                found.append(Unit(f"{module}:{name}", self._file(module), unit.line, digest.hex()))
        return tuple(sorted(found))

    def _blind_spots(self, closure: Closure, read: Mapping[str, str]) -> tuple[BlindSpot, ...]:
        from lineal.fingerprint.paths import code_at, place
        from lineal.fingerprint.reading import decode_path

        found = {
            BlindSpot("missing_file", name, name, 0) for name, digest in read.items() if digest == "absent"
        }
        for name, (module, position) in closure.unresolved:
            line = self.lookup.get_index(module).units[position].line
            found.add(BlindSpot("unresolved_import", name, self._file(module), line))
        for module, position in closure.importers:
            line = self.lookup.get_index(module).units[position].line
            detail = "import_module by a name of its own"
            found.add(BlindSpot("dynamic_import", detail, self._file(module), line))
        for module, position in closure.units:
            for kind, detail, line in self.lookup.get_index(module).units[position].spots:
                if kind == "runs_module" or code_at(self.lookup, module, kind, detail) is not None:
                    continue
                if kind == "runs_file":
                    kind, detail = "dynamic_import", detail.partition("\n")[0]
                elif kind == "undeclared_read":
                    path = place(self.lookup, module, decode_path(detail))
                    if path is None:
                        continue
                    detail = self.sources.name(path)
                    if _is_declared(detail, read):
                        continue
                found.add(BlindSpot(kind, detail, self._file(module), line))
        return tuple(sorted(found))

    def _file(self, module: str) -> str:
        located = self.lookup.find_module(module)
        return located.file if located is not None and located.file is not None else module


def _outside(closure: Closure) -> tuple[str, ...]:
    names = {
        f"builtins.{node[1]}" for node in closure.nodes if node[0] == "builtin" and hasattr(builtins, node[1])
    }
    return tuple(sorted(names | closure.outside))


def _is_declared(name: str, read: Mapping[str, str]) -> bool:
    return (
        any(name == each or name.startswith(each.rstrip("/") + "/") for each in read)
        or Path(name).as_posix() in read
    )


def _hash(lines: Iterable[str]) -> xxhash.xxh3_128:
    text = "\n".join(line.replace("\\", "\\\\").replace("\n", "\\n") for line in lines)
    return xxhash.xxh3_128(text.encode("utf-8", "surrogatepass"))


def _packed(found: Fingerprint) -> tuple[Any, ...]:
    """A fingerprint as plain tuples."""
    covers = tuple((each.unit, each.file, each.line, each.hash) for each in found.covers)
    spots = tuple((each.kind, each.detail, each.file, each.line) for each in found.blind_spots)
    return found.hex, covers, spots, tuple(found.distributions.items()), found.modules, found.outside


def _unpacked(packed: tuple[Any, ...]) -> Fingerprint:
    """The fingerprint that `_packed` packed."""
    digest, covers, spots, distributions, modules, outside = packed
    units = tuple(Unit(*each) for each in covers)
    return Fingerprint(
        digest, units, tuple(BlindSpot(*each) for each in spots), dict(distributions), modules, outside
    )
