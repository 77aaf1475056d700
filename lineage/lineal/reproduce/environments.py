"""Whether code would run here on what it ran on, and a Python in which it does: the lock of a past run, held against today.

What counts is what the code reaches: the distributions that its fingerprints name, what Lineal writes tables with, Python's
minor version, and the machine. All other differences are told, and are no reason to build anything.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from msgspec.structs import replace as replace_fields

from lineal.engine.environment import VARIABLES, describe_environment
from lineal.errors import LinealError
from lineal.fingerprint import Distributions
from lineal.graph.records import Environment

LINEAL = "lineal"
_WRITERS = ("pyarrow",)  # of what Lineal itself uses: the bytes of tables name its version
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.!+_-]*")
_REFERENCE = re.compile(r"(https?|(git|hg|svn|bzr)\+(https?|ssh))://[!-~]+")
_SHOWN = 8

Rank = Literal["needed", "own", "other"]

Kind = Literal["same", "rebuilt", "current"]
"""``same``: today's packages, and they are the recorded ones in what counts; ``rebuilt``; ``current``: today's as they are."""

NOTHING: Mapping[str, str] = MappingProxyType({})


class EnvironmentUnavailable(LinealError):
    """The environment of a past run cannot be had here; ``lacking`` says of each distribution why."""

    exit_code = 4
    kind = "environment_unavailable"

    def __init__(self, message: str, lacking: Mapping[str, str], hint: str) -> None:
        super().__init__(message, lacking, hint)
        self.message, self.lacking, self.hint = message, dict(lacking), hint

    def __str__(self) -> str:
        return self.message


class Change(NamedTuple):
    """What was recorded, and what there is now; None where there is none."""

    name: str
    recorded: str | None
    current: str | None

    def __str__(self) -> str:
        if self.recorded is None:
            return f"{self.name} {self.current} is new"
        if self.current is None:
            return f"{self.name} {self.recorded} is missing"
        return f"{self.name} {self.recorded} is {self.current} here"


@dataclass(frozen=True, slots=True)
class EnvironmentDifference:
    """How today's environment differs from a recorded one; all empty where it does not.

    ``reached`` and ``others`` are distributions, by whether they count. ``machine`` is the implementation of Python, the
    system and the processor's kind. ``cpu`` names features that are missing (``recorded``) or new (``current``). Variables
    are not compared: past code gets the recorded ones.
    """

    python: Change | None = None
    machine: Change | None = None
    reached: tuple[Change, ...] = ()
    others: tuple[Change, ...] = ()
    cpu: Change | None = None
    cores: Change | None = None

    @property
    def is_same(self) -> bool:
        """Whether nothing differs that counts."""
        return not self.can_be_rebuilt and self.machine is None

    @property
    def can_be_rebuilt(self) -> bool:
        """Whether something differs that counts and that another environment on this machine would not have."""
        return bool(self.reached) or (self.python is not None and not self._is_patch)

    @property
    def _is_patch(self) -> bool:
        assert self.python is not None
        return _minor(self.python.recorded or "") == _minor(self.python.current or "")

    def sentences(self) -> list[str]:
        """For people, what counts first."""
        told = []
        if self.python is not None:
            told.append(f"{self.python}{' (another patch release)' if self._is_patch else ''}")
        told += [str(each) for each in (self.machine, *self.reached) if each is not None]
        if self.cpu is not None:
            features = (("has no", self.cpu.recorded), ("has besides", self.cpu.current))
            told.append(
                "this processor " + ", and ".join(f"{verb} {names}" for verb, names in features if names)
            )
        if self.cores is not None:
            told.append(str(self.cores))
        if self.others:
            shown = ", ".join(map(str, self.others[:_SHOWN]))
            more = len(self.others) - _SHOWN
            told.append(f"not reached: {shown}{f' and {more} more' if more > 0 else ''}")
        return told


def compare_environments(
    recorded: Environment, current: Environment, reached: Mapping[str, str] = NOTHING
) -> EnvironmentDifference:
    """How ``current`` differs from ``recorded``, for code that reaches the distributions ``reached`` (versions by name)."""
    writers = {name: recorded.distributions[name] for name in _WRITERS if name in recorded.distributions}
    counted = {**writers, **reached}
    everything = sorted({*recorded.distributions, *current.distributions, *counted})
    changes = {
        name: change
        for name in everything
        if (change := _change(name, counted.get(name), recorded, current)) is not None
    }
    return EnvironmentDifference(
        python=_differing("Python", recorded.python, current.python),
        machine=_differing("machine", _machine(recorded), _machine(current)),
        reached=tuple(change for name, change in changes.items() if name in counted),
        others=tuple(change for name, change in changes.items() if name not in counted),
        cpu=_cpu(recorded.cpu, current.cpu),
        cores=_differing("number of cores", recorded.cores, current.cores) if recorded.cores else None,
    )


def _change(name: str, version: str | None, recorded: Environment, current: Environment) -> Change | None:
    before, after = version or recorded.distributions.get(name), current.distributions.get(name)
    if before != after:
        return Change(name, before, after)
    contents = recorded.contents.get(name), current.contents.get(name)
    if None in contents or contents[0] == contents[1]:
        return None
    return Change(name, before, f"{after}, with other files,")


def _differing(name: str, recorded: object, current: object) -> Change | None:
    if recorded == current:
        return None
    return Change(name, *(None if each is None else str(each) for each in (recorded, current)))


def _machine(environment: Environment) -> str:
    system = environment.platform.partition("-")[0]
    return f"{environment.implementation} on {system} {environment.machine}"


def _cpu(recorded: Collection[str], current: Collection[str]) -> Change | None:
    if not recorded or not current:
        return None  # one of them was not told
    missing, new = sorted(set(recorded) - set(current)), sorted(set(current) - set(recorded))
    return Change("processor", ", ".join(missing), ", ".join(new)) if missing or new else None


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


# --- what would have to be installed -----------------------------------------------------------------


class Wanted(NamedTuple):
    """A distribution of an environment that is to be rebuilt.

    ``requirement`` is what an installer is asked for; without one ``problem`` says why nobody can be asked. ``rank``: without
    what is ``needed`` there is no environment, each in this very version; of ``own``, which Lineal runs on, another version does
    where this one cannot be had; ``other`` ones were installed and are not reached by any code that is known of.
    """

    name: str
    version: str
    rank: Rank
    requirement: str | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Lock:
    """What a rebuilt environment is made of: Python in this version, and distributions by name."""

    python: str
    wanted: tuple[Wanted, ...]


def plan_lock(recorded: Environment, reached: Mapping[str, str], own: Collection[str]) -> Lock:
    """What code that reaches ``reached`` runs on as it is ``recorded``; ``own`` are the names of what Lineal itself needs.

    What was used in place is left out: its code comes with the project's.
    """
    versions = {**recorded.distributions, **reached}
    wanted = []
    for name, version in sorted(versions.items()):
        if name not in recorded.editable:
            ours = name in own or name == LINEAL
            rank: Rank = "needed" if name in reached else "own" if ours else "other"
            wanted.append(
                Wanted(name, version, rank, *_requirement(name, version, recorded.sources.get(name)))
            )
    return Lock(recorded.python, tuple(wanted))


def _requirement(name: str, version: str, source: str | None) -> tuple[str | None, str]:
    """What to ask an installer for, or why that cannot be done.

    The record may be a stranger's: nothing goes on to an installer that it could take for an option.
    """
    plain = version.partition(" ")[0]
    if name.startswith("module "):
        return None, "it belongs to no distribution"
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(plain):
        return None, "it has no name and version that can be asked for"
    if source is None:
        return f"{name}=={plain}", ""
    if _REFERENCE.fullmatch(source):
        return f"{name} @ {source}", ""
    return None, f"it was installed from {source}"


# --- a Python to run in ------------------------------------------------------------------------------


class Interpreter(NamedTuple):
    """A Python to run past code in; ``notes`` say what it has, and what it lacks."""

    python: Path
    kind: Kind
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EnvironmentPlan:
    """How an environment is to be had. ``folder`` is where a rebuilt one lies, or will; with ``is_there`` it does."""

    kind: Kind
    difference: EnvironmentDifference
    lock: Lock
    folder: Path | None = None
    is_there: bool = False


def current_environment(reached: Iterable[str] = ()) -> Environment:
    """What this process runs on, with the modules among ``reached`` that belong to no distribution."""
    loose = (name.removeprefix("module ") for name in reached if name.startswith("module "))
    return _environment_here(tuple(sys.path), tuple(loose))


@cache
def _environment_here(search: tuple[str, ...], loose: tuple[str, ...]) -> Environment:
    distributions = Distributions(search)
    found = {name: text for name, text in distributions.versions(loose).items() if name.startswith("module ")}
    here = describe_environment(distributions)
    return replace_fields(here, distributions={**here.distributions, **found})


def plan_environment(
    recorded: Environment, *, rebuild: bool, reached: Mapping[str, str] = NOTHING
) -> EnvironmentPlan:
    """How to run code that reaches ``reached`` on what is ``recorded``; without ``rebuild`` on what there is today."""
    from lineal.reproduce import virtualenv

    difference = compare_environments(recorded, current_environment(reached), reached)
    lock = plan_lock(recorded, reached, Distributions().required_by(LINEAL).keys())
    if difference.is_same:
        return EnvironmentPlan("same", difference, lock)
    if not rebuild or not difference.can_be_rebuilt:
        return EnvironmentPlan("current", difference, lock)
    folder = virtualenv.folder_of(lock)
    return EnvironmentPlan("rebuilt", difference, lock, folder, virtualenv.is_there(folder))


def find_python(recorded: Environment, *, rebuild: bool, reached: Mapping[str, str] = NOTHING) -> Interpreter:
    """A Python with what is ``recorded``, today's where it has that; one is built where it has not, with ``rebuild``.

    `EnvironmentUnavailable` where it has to be built and cannot be.
    """
    from lineal.reproduce import virtualenv

    plan = plan_environment(recorded, rebuild=rebuild, reached=reached)
    if plan.folder is None:
        return Interpreter(Path(sys.executable), plan.kind, tuple(plan.difference.sentences()))
    python, notes = virtualenv.get_python(plan.folder, plan.lock, recorded.contents)
    return Interpreter(python, plan.kind, notes)


def replay_variables(
    recorded: Environment, kind: Kind, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """What past code finds in its environment: today's, with the recorded variables as they were, set or not.

    A rebuilt environment finds nothing of today's packages.
    """
    strange = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"} if kind == "rebuilt" else set()
    kept = {name: text for name, text in environ.items() if name not in {*VARIABLES, *strange}}
    return {**kept, **recorded.variables}
