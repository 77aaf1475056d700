"""Judges what was seen of an attempt: is its result covered by what it is filed under, and what is to be told?

Code that ran outside the stage's fingerprint means that a later edit of it would go unnoticed: such a result is used in its
run, and never offered as a hit. What else was looked at without being declared is told; with ``strict`` it counts as much.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from lineal.executors.observe_places import Declared
from lineal.executors.protocol import Access, Entry, Observations
from lineal.fingerprint import Fingerprint, FingerprintError
from lineal.fingerprint.sources import Sources
from lineal.graph.records import Observed, RanUnit

if TYPE_CHECKING:  # a run of hits judges nothing, and needs no parser
    from lineal.fingerprint.summaries import Summaries
    from lineal.fingerprint.syntax import Unit

_MOST_UNITS = 2000
_MOST_MODULES = 1000
_MOST_UNCOVERED = 50
_MOST_CHARACTERS = 100_000
_NAMED = 3  # in a sentence

_Key = tuple[str, int, str]
"""A unit: its file, its line, and what it is called there."""


class Declarations(Struct, frozen=True):
    """What a stage declares besides its code. An ``effect`` is there to change the world: where it connects to is its purpose."""

    reads: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    effect: bool = False
    cached: bool = True


_Asked = tuple[Observations, Sequence[Fingerprint], Declarations]


class Judge:
    """Judges the attempts of one run, over the ``sources`` that the run imports.

    ``fingerprint`` gives the fingerprint of what a module calls by a name, to say what is worth declaring.
    """

    def __init__(
        self,
        sources: Sources,
        summaries: Summaries,
        *,
        strict: bool = False,
        fingerprint: Callable[[str, str], Fingerprint] | None = None,
    ) -> None:
        self._sources, self._summaries, self._strict = sources, summaries, strict
        self._fingerprint = fingerprint
        self._units: dict[str, _File | None] = {}
        self._latest: dict[str, tuple[_Asked, Observed]] = {}

    def judge(
        self, stage: str, seen: Observations, covering: Sequence[Fingerprint], declared: Declarations
    ) -> Observed:
        """What is recorded of an attempt of ``stage``. ``covering`` are its fingerprint, and those of the objects that its
        inputs name.
        """
        asked = seen, covering, declared
        if stage not in self._latest or self._latest[stage][0] != asked:  # most calls of a stage are alike
            self._latest[stage] = asked, self._judge(stage, *asked)
        return self._latest[stage][1]

    def _judge(
        self, stage: str, seen: Observations, covering: Sequence[Fingerprint], declared: Declarations
    ) -> Observed:
        covered = {key for found in covering for key in _keys(found)}
        modules = {self._sources.module_file(name) for found in covering for name in found.modules}
        reads = Declared(str(self._sources.root), declared.reads)
        ran = self._ran(seen.entered, covered)
        uncovered = {unit for key, unit in ran.items() if key not in covered}
        for path in seen.loaded:
            file = self._sources.name(path)
            if file not in modules and path not in reads:
                uncovered.add(RanUnit(self._module(file), file, 0))
        loose = [
            access
            for access in (*seen.accesses, *self._attributed(seen.imported, covered))
            if not _is_declared(access, reads, declared, self._sources.root)
        ]
        told = _Told(stage, self._most_telling(uncovered), loose, seen.more)
        warnings = told.warnings(declared)
        units, units_left = _bounded({unit.unit for unit in ran.values()}, _MOST_UNITS)
        present, modules_left = _bounded(seen.present, _MOST_MODULES)
        return Observed(
            units=units,
            modules=present,
            left_out=units_left + modules_left,
            uncovered=sorted(uncovered, key=_order)[:_MOST_UNCOVERED],
            files=told.names("file"),
            variables=told.names("variable"),
            connections=told.names("connection"),
            urls=told.names("url"),
            children=seen.children,
            refused=told.refusal(warnings, strict=self._strict) if declared.cached else "",
            warnings=warnings,
        )

    def _most_telling(self, uncovered: Collection[RanUnit]) -> list[RanUnit]:
        """Those that have to be declared, without what the others of them reach."""
        units = sorted(uncovered, key=_order)
        if self._fingerprint is None or not 1 < len(units) <= _MOST_UNCOVERED:
            return units
        keys = [(unit.file, unit.line, unit.unit.partition(":")[2]) for unit in units]
        reached: list[Container[_Key]] = []
        for unit in units:
            module, _, name = _declaration(unit).partition(":")
            try:
                reached.append(set(_keys(self._fingerprint(module, name))))
            except FingerprintError:
                reached.append(())
        return [
            unit
            for place, unit in enumerate(units)
            if not any(
                keys[place] in reached[other] and (keys[other] not in reached[place] or other < place)
                for other in range(len(units))
                if other != place
            )
        ]

    def _ran(self, entered: Iterable[Entry], covered: Container[_Key]) -> Mapping[_Key, RanUnit]:
        """The units that code objects belong to."""
        found: dict[_Key, RanUnit] = {}
        for entry in entered:
            file = self._sources.name(entry.file)
            units = self._file(file)
            if units is None:
                keys = [(file, entry.line, entry.name.partition(".")[0])]
            else:
                keys = [_key(file, unit) for unit in units.at(entry.line)]
            if keys:
                key = next((each for each in keys if each in covered), keys[0])
                found[key] = RanUnit(f"{self._module(file)}:{key[2]}", file, key[1])
        return found

    def _attributed(self, accesses: Iterable[Access], covered: Container[_Key]) -> Iterator[Access]:
        """Those accesses at import that a unit of the closure made."""
        for access in accesses:
            file = self._sources.name(access.file)
            units = self._file(file)
            if units is not None and any(_key(file, unit) in covered for unit in units.at(access.line)):
                yield access

    def _file(self, file: str) -> _File | None:
        if file not in self._units:
            try:
                self._units[file] = _File(self._summaries.get(self._sources, file).units)
            except FingerprintError:  # it is gone since, or was never one of the project's
                self._units[file] = None
        return self._units[file]

    def _module(self, file: str) -> str:
        return self._sources.module_of(file) or Path(file).stem


class _File:
    """The units of one file by their lines."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self._units = sorted(
            (unit for unit in units if unit.kind not in ("doc", "import", "star")), key=lambda unit: unit.line
        )
        self._lines = [unit.line for unit in self._units]

    def at(self, line: int) -> Sequence[Unit]:
        """The unit that ``line`` belongs to; all those below an ``if``, ``try`` or ``with``, where it is a line of that."""
        after = bisect_right(self._lines, line)
        around = next((unit for unit in reversed(self._units[:after]) if line <= unit.end_line), None)
        if around is not None and around.kind != "guard":
            return (around,)
        following = self._units[after] if after < len(self._units) else None
        if following is not None and following.decorators and (around is None or line > around.line):
            return (following,)
        if around is None:
            return ()
        return [
            unit
            for unit in self._units
            if unit.kind != "guard" and around.line <= unit.line <= around.end_line
        ]


def _bounded(names: Iterable[str], most: int) -> tuple[list[str], int]:
    """The first ``most`` of the names, sorted, as far as a record has room for them; and how many are left out."""
    found = sorted(names)
    kept: list[str] = []
    room = _MOST_CHARACTERS
    for name in found[:most]:
        room -= len(name)
        if room < 0:
            break
        kept.append(name)
    return kept, len(found) - len(kept)


def _keys(found: Fingerprint) -> Iterator[_Key]:
    """The units that a fingerprint covers."""
    return ((unit.file, unit.line, unit.unit.partition(":")[2]) for unit in found.covers)


def _key(file: str, unit: Unit) -> _Key:
    return file, unit.line, _label(unit)


def _label(unit: Unit) -> str:
    """What a unit is called after the module's name, as in `Fingerprint.covers`."""
    return ", ".join(unit.names) if unit.names else f"line {unit.line}"


def _order(unit: RanUnit) -> tuple[str, int, str]:
    return unit.file, unit.line, unit.unit


def _is_declared(access: Access, reads: Declared, declared: Declarations, root: Path) -> bool:
    if access.kind == "file":
        return str(root / access.name) in reads
    return access.kind == "variable" and access.name in declared.variables


class _Told:
    """What is told of one attempt, in words."""

    def __init__(
        self, stage: str, uncovered: Sequence[RanUnit], loose: Sequence[Access], more: Sequence[str]
    ) -> None:
        self._stage, self.uncovered, self._more = stage, list(uncovered), more
        self._loose: dict[str, list[Access]] = {}
        for access in loose:
            self._loose.setdefault(access.kind, []).append(access)

    def names(self, kind: str) -> list[str]:
        return sorted({access.name for access in self._loose.get(kind, ())})

    def warnings(self, declared: Declarations) -> list[str]:
        if not declared.cached:  # its result is never taken for another's
            return []
        found = [self._code()] if self.uncovered else []
        if names := self.names("file"):
            listed = ", ".join(f'"{name}"' for name in names[:_NAMED])
            found.append(
                f"`{self._stage}` reads {self._places('file')}, which it does not declare: reads=[{listed}{_dots(names)}], "
                f"or take {'it' if len(names) == 1 else 'them'} in by File"
            )
        if names := [name for name in self.names("variable") if name != "*"]:
            listed = ", ".join(f'"{name}"' for name in names[:_NAMED])
            what = "the environment variable" if len(names) == 1 else "the environment variables"
            found.append(
                f"`{self._stage}` reads {what} {self._places('variable')}, which it does not declare: env=[{listed}{_dots(names)}]"
            )
        if "*" in self.names("variable"):
            found.append(
                f"`{self._stage}` reads all environment variables{self._where('variable', '*')}: take those that matter by name, "
                "and declare them with env="
            )
        if self.names("connection") and not declared.effect:
            found.append(
                f"`{self._stage}` connects to {self._places('connection')}: what it reads there is no part of what its result is "
                "filed under"
            )
        if names := self.names("url"):
            found.append(
                f"`{self._stage}` looks at the URL of {self._places('url')}, which is no part of what its result is filed under: "
                "pass what matters of it as a parameter"
            )
        return found

    def _code(self) -> str:
        names = [_dotted(unit) for unit in self.uncovered[:_NAMED]]
        told = _and(
            [f"`{name}` in {_place(unit)}" for name, unit in zip(names, self.uncovered, strict=False)]
        )
        more = len(self.uncovered) - _NAMED
        if more > 0:
            told += f", and {more} more"
        declare = ", ".join(f'"{_declaration(unit)}"' for unit in self.uncovered[:_NAMED])
        it = "it" if len(self.uncovered) == 1 else "them"
        return (
            f"{told} ran, and the fingerprint of `{self._stage}` does not cover {it}: "
            f"declare depends_on=[{declare}{', …' if more > 0 else ''}]"
        )

    def refusal(self, warnings: Sequence[str], *, strict: bool) -> str:
        """Why the result is not offered as a hit, as a sentence; nothing where it is."""
        if self.uncovered:
            return self._code()
        return f"strict is set, and {warnings[0]}" if strict and warnings else ""

    def _places(self, kind: str) -> str:
        """The names of a kind, the first few with the line that asked."""
        names = [name for name in self.names(kind) if name != "*"]
        shown = [f"{name}{self._where(kind, name)}" for name in names[:_NAMED]]
        more = len(names) - len(shown)
        if kind in self._more:
            return f"{', '.join(shown)} and more"
        return f"{', '.join(shown)} and {more} more" if more else _and(shown)

    def _where(self, kind: str, name: str) -> str:
        for access in self._loose[kind]:
            if access.name == name and access.file:
                return f" ({Path(access.file).name}:{access.line})"
        return ""


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _dots(names: Sequence[str]) -> str:
    return ", …" if len(names) > _NAMED else ""


def _dotted(unit: RanUnit) -> str:
    """``helpers.scale``; what has no name of its own goes by its module's."""
    module, _, name = unit.unit.partition(":")
    return f"{module}.{name.partition(', ')[0]}" if name and not name.startswith("line ") else module


def _place(unit: RanUnit) -> str:
    return f"{unit.file}:{unit.line}" if unit.line else unit.file


def _declaration(unit: RanUnit) -> str:
    """What to write in ``depends_on=``."""
    module, _, name = unit.unit.partition(":")
    return f"{module}:{name.partition(', ')[0]}" if name and not name.startswith("line ") else module
