"""Stand-in until the real module is merged."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from lineal.graph.records import Environment

Kind = Literal["same", "rebuilt", "current"]
NOTHING: Mapping[str, str] = MappingProxyType({})


class Change(NamedTuple):
    name: str
    recorded: str | None
    current: str | None


class EnvironmentDifference(NamedTuple):
    python: Change | None = None
    machine: Change | None = None
    reached: tuple[Change, ...] = ()
    others: tuple[Change, ...] = ()
    cpu: Change | None = None
    cores: Change | None = None

    def sentences(self) -> list[str]:
        return []


class EnvironmentPlan(NamedTuple):
    kind: Kind
    difference: EnvironmentDifference
    folder: Path | None = None
    is_there: bool = False


class Interpreter(NamedTuple):
    python: Path
    kind: Kind
    notes: tuple[str, ...] = ()


class EnvironmentUnavailable(Exception):
    hint = ""


def plan_environment(
    recorded: Environment, *, rebuild: bool, reached: Mapping[str, str] = NOTHING
) -> EnvironmentPlan:
    return EnvironmentPlan("same", EnvironmentDifference())


def find_python(recorded: Environment, *, rebuild: bool, reached: Mapping[str, str] = NOTHING) -> Interpreter:
    return Interpreter(Path(sys.executable), "same")


def replay_variables(
    recorded: Environment, kind: Kind, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    return {**environ, **recorded.variables}
