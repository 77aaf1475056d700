"""A program to call, with a project behind it that only notes what it was asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import lineal.api
from lineal.api.config import Configuration
from lineal_cli.app import main

HERE = Path(__file__).parent


@dataclass
class Called:
    """What a call of the program came to."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        return json.loads(self.stdout)


@dataclass
class FakeProject:
    """Answers every verb with the document it was given for it, or raises it."""

    configuration: Configuration
    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    opened: list[tuple[Path | None, dict[str, Any]]] = field(default_factory=list)

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def answer(*given: Any, **options: Any) -> Any:
            self.calls.append((verb, given, options))
            result = self.answers[verb]
            if isinstance(result, BaseException):
                raise result
            return result(*given, **options) if callable(result) else result

        return answer


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeProject:
    monkeypatch.chdir(tmp_path)
    fake = FakeProject(Configuration(tmp_path, str(tmp_path / "store"), pipelines=("flights.py:flights",)))

    def open_project(start: Path | None = None, **options: Any) -> FakeProject:
        fake.opened.append((start, options))
        return fake

    monkeypatch.setattr(lineal.api, "open_project", open_project)
    return fake


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Callable[..., Called]:
    def run(*arguments: str) -> Called:
        capfd.readouterr()
        exit_code = main(arguments)
        out, err = capfd.readouterr()
        return Called(exit_code, out, err)

    return run


def load_document(name: str) -> Any:
    return json.loads((HERE / "documents" / f"{name}.json").read_text("utf-8"))


@pytest.fixture
def document() -> Callable[[str], Any]:
    """A golden document by name."""
    return load_document


@pytest.fixture
def misfits() -> Callable[[Any, str], list[str]]:
    """Where a document does not fit a schema, by the schema's name."""

    def check(value: Any, name: str) -> list[str]:
        schema = json.loads((HERE / "schemas" / f"{name}.json").read_text("utf-8"))
        return list(_misfits(value, schema, "$"))

    return check


_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}
_KNOWN = {
    "$schema", "type", "enum", "anyOf", "pattern", "minimum", "properties", "required",
    "additionalProperties", "items", "minItems", "maxItems",
}  # fmt: skip


def _misfits(value: Any, schema: dict[str, Any], at: str) -> list[str]:
    """The part of JSON Schema that our schemas use; anything else in a schema is an error."""
    assert set(schema) <= _KNOWN, f"{at}: the schema uses {set(schema) - _KNOWN}"
    found: list[str] = []
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(_TYPES[name](value) for name in types):
        return [f"{at}: {value!r} is not {' or '.join(types)}"]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at}: {value!r} is none of {schema['enum']}")
    if "anyOf" in schema and all(_misfits(value, one, at) for one in schema["anyOf"]):
        found.append(f"{at}: {value!r} fits no alternative")
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        found.append(f"{at}: {value!r} does not match {schema['pattern']}")
    if "minimum" in schema and _TYPES["number"](value) and value < schema["minimum"]:
        found.append(f"{at}: {value} is below {schema['minimum']}")
    if isinstance(value, dict):
        known = schema.get("properties", {})
        found += [f"{at}: {name} is missing" for name in schema.get("required", []) if name not in value]
        rest = schema.get("additionalProperties", {})
        for name, item in value.items():
            inner = known.get(name, rest)
            if inner is False:
                found.append(f"{at}: {name} is not known")
            else:
                found += _misfits(item, inner, f"{at}.{name}")
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            found.append(f"{at}: {len(value)} items")
        for number, item in enumerate(value):
            found += _misfits(item, schema.get("items", {}), f"{at}[{number}]")
    return found
