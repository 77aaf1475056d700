"""The vectors of docs/formats.md hold for actions and parameters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import msgspec
import pytest

from lineal.artifacts.values import decode_value, encode_value
from lineal.graph.action import action_key
from lineal.graph.records import Action, ActionResult, Environment, RunRecord, StageRecord
from lineal_store.canonical import decode, encode

PAGE = (Path(__file__).parents[3] / "docs" / "formats.md").read_text()


def rows(first: str, second: str) -> list[tuple[str, ...]]:
    lines = PAGE.splitlines()
    at = lines.index(f"| {first} | {second} |")

    def cells() -> Iterator[tuple[str, ...]]:
        for line in lines[at + 2 :]:
            if not line.startswith("|"):
                return
            yield tuple(cell.strip().strip("`") for cell in line.strip("|").split(" | "))

    return list(cells())


def value(text: str) -> object:
    return eval(text, {"__builtins__": {}, "date": date})


@pytest.mark.parametrize(("text", "key"), rows("action", "key"))
def test_action_keys_are_as_documented(text: str, key: str) -> None:
    assert action_key(msgspec.convert(value(text), Action)) == key


@pytest.mark.parametrize(("text", "structure"), rows("parameter", "structure (hex)"))
def test_parameters_are_encoded_as_documented(text: str, structure: str) -> None:
    assert encode(encode_value(value(text))).hex() == structure
    assert repr(decode_value(decode(bytes.fromhex(structure)))) == repr(value(text))


@pytest.mark.parametrize("kind", [Action, ActionResult, RunRecord, StageRecord, Environment])
def test_every_member_of_a_record_is_documented(kind: type[msgspec.Struct]) -> None:
    missing = [name for name in kind.__struct_fields__ if f"`{name}`" not in PAGE]

    assert missing == []
