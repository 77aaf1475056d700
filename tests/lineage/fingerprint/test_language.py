"""The rules of the language, one edit each: what the edit may change when the stage runs decides what it must
do to the fingerprint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from lineal.fingerprint import Fingerprint

WITHOUT_OBSERVABLE_RESULT = (
    "a typing alias that the stage's signature names",
    "a class that the stage's own annotation names, imported for type checkers only",
)
"""Edits of the stage's typed contract: they count, though the call returns the same."""


@dataclass(frozen=True)
class Case:
    title: str
    changes: bool
    before: dict[str, str]
    after: dict[str, str]


def parse(text: str) -> list[Case]:
    cases = []
    for block in text.split("\n#### ")[1:]:
        head, _, body = block.strip("\n").partition("\n")
        verb, _, title = head.partition(": ")
        files: dict[str, str] = {}
        edits: list[tuple[str, list[str], list[str]]] = []
        name, editing = "", False
        for line in body.splitlines():
            if line.startswith("== "):
                name, editing = line[3:], False
                files[name] = ""
            elif line.startswith("@@ "):
                name, editing = line[3:], True
                edits.append((name, [], []))
            elif editing and line.startswith("-"):
                edits[-1][1].append(line[1:])
            elif editing and line.startswith("+"):
                edits[-1][2].append(line[1:])
            elif line.strip() or files.get(name):
                files[name] += line + "\n"
        after = dict(files)
        for file, old, new in edits:
            before_text, after_text = "\n".join(old), "\n".join(new)
            source = after.get(file, "")
            if old:
                assert source.count(before_text) == 1, (
                    f"{title}: {before_text!r} is there {source.count(before_text)} times"
                )
                after[file] = source.replace(before_text, after_text)
            else:
                after[file] = source + after_text + "\n"
        assert verb in ("changes", "keeps"), head
        cases.append(Case(title, verb == "changes", files, after))
    return cases


@pytest.mark.parametrize(
    "case", parse(Path(__file__).with_name("language.txt").read_text()), ids=lambda case: case.title
)
def test_an_edit_changes_the_fingerprint_just_when_it_may_change_the_result(
    case: Case,
    fingerprint_of: Callable[..., Fingerprint],
    result_of: Callable[[Mapping[str, str]], str],
) -> None:
    before, after = fingerprint_of(case.before), fingerprint_of(case.after)

    assert (before.hex != after.hex) == case.changes
    if case.title not in WITHOUT_OBSERVABLE_RESULT:
        assert (result_of(case.before) != result_of(case.after)) == case.changes
