"""The fingerprint of a stage: the identity of the code that it depends on, with what that covers and what it cannot see."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash

from lineal.fingerprint.closure import Closure, Closures
from lineal.fingerprint.distributions import Distributions
from lineal.fingerprint.dynamic import decode_path
from lineal.fingerprint.lookup import Lookup
from lineal.fingerprint.paths import add_search_paths, place
from lineal.fingerprint.summaries import Summaries

if TYPE_CHECKING:
    from lineal.fingerprint.sources import Sources

_DOMAIN = "lineal.fingerprint.1"
"""Part of every fingerprint: another way of computing it gets another name."""


@dataclass(frozen=True, slots=True, order=True)
class Unit:
    """One top-level statement that a fingerprint covers: ``module:name``, its file (relative to the project where it lies in it),
    its first line, and the hash of its own text (32 hex digits)."""

    unit: str
    file: str
    line: int
    hash: str


@dataclass(frozen=True, slots=True, order=True)
class BlindSpot:
    """Something that may change a result and that the fingerprint does not see.

    ``kind`` is ``dynamic_import``, ``eval``, ``unresolved_import``, ``undeclared_read``, ``environment``, ``unpickle``,
    ``missing_file`` or ``opaque_value``; ``detail`` says what.
    """

    kind: str
    detail: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind.replace('_', ' ')}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The identity of the code that a stage depends on.

    ``hex`` is XXH3-128 as 32 lowercase hex digits. ``covers`` are its units, sorted; ``distributions`` the versions of the third-party
    distributions reached, by name; ``modules`` the project modules that are imported; ``outside`` the dotted names
    reached outside the project (built-ins as ``builtins.…``).
    """

    hex: str
    covers: tuple[Unit, ...]
    blind_spots: tuple[BlindSpot, ...]
    distributions: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


class Fingerprinter:
    """Fingerprints the stages of one project. What one stage needed is remembered for the next."""

    def __init__(
        self,
        sources: Sources,
        *,
        distributions: Distributions | None = None,
        summaries: Summaries | None = None,
    ) -> None:
        self.sources = sources
        self.distributions = distributions if distributions is not None else Distributions()
        self.lookup = Lookup(sources, self.distributions, summaries if summaries is not None else Summaries())
        add_search_paths(self.lookup)
        self.closures = Closures(self.lookup)

    def stage(
        self,
        module: str,
        qualname: str,
        *,
        reads: Iterable[str | os.PathLike[str]] = (),
        depends_on: Iterable[object] = (),
        version: str | None = None,
        also: Iterable[str] = (),
    ) -> Fingerprint:
        """The fingerprint of the function ``qualname`` of ``module``.

        ``reads`` are data files (relative to the project's root), whose bytes count; folders and patterns count with every file
        in them. ``depends_on`` is more code: ``"module"``, ``"module:name"``, functions, classes or modules. ``version``
        is text that counts as it is, and so are the lines of ``also``. FingerprintError when code that is reached cannot be read.
        """
        from lineal.fingerprint.declared import entry_of, hash_reads

        entries = [(module, qualname), *(entry_of(each, self.lookup) for each in depends_on)]
        closure = self.closures.close(entries)
        read = hash_reads(self.sources.root, reads)
        distributions = self.distributions.versions(sorted(closure.outside))
        lines = [_DOMAIN, *closure.lines]
        lines += [f"distribution {name} {known}" for name, known in distributions.items()]
        lines += [f"read {name} {digest}" for name, digest in read.items()]
        lines += [f"also {line}" for line in also]
        if version is not None:
            lines.append(f"version {version}")
        text = "\n".join(line.replace("\\", "\\\\").replace("\n", "\\n") for line in lines)
        return Fingerprint(
            hex=xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass")),
            covers=self._covers(closure),
            blind_spots=self._blind_spots(closure, read),
            distributions=distributions,
            modules=tuple(sorted(closure.loaded)),
            outside=_outside(closure),
        )

    def _covers(self, closure: Closure) -> tuple[Unit, ...]:
        found = []
        for (module, position), digest in closure.units.items():
            unit = self.lookup.get_index(module).units[position]
            name = ", ".join(unit.names) if unit.names else f"line {unit.line}"
            if unit.kind != "guard":
                found.append(Unit(f"{module}:{name}", self._file(module), unit.line, digest.hex()))
        return tuple(sorted(found))

    def _blind_spots(self, closure: Closure, read: Mapping[str, str]) -> tuple[BlindSpot, ...]:
        found = {
            BlindSpot("missing_file", name, name, 0) for name, digest in read.items() if digest == "absent"
        }
        for name, (module, position) in closure.unresolved:
            line = self.lookup.get_index(module).units[position].line
            found.add(BlindSpot("unresolved_import", name, self._file(module), line))
        for module, position in closure.units:
            for kind, detail, line in self.lookup.get_index(module).units[position].spots:
                if kind == "undeclared_read":
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
    names = {f"builtins.{node[1]}" for node in closure.nodes if node[0] == "builtin"}
    return tuple(sorted(names | closure.outside))


def _is_declared(name: str, read: Mapping[str, str]) -> bool:
    return (
        any(name == each or name.startswith(each.rstrip("/") + "/") for each in read)
        or Path(name).as_posix() in read
    )
