"""The rules of the language, one edit each: what the edit may change when the stage runs decides what it must
do to the fingerprint.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from lineal.fingerprint import Fingerprint

VERBS = {"changes": True, "keeps": False, "counts": True, "stays": False}
"""What an edit does: it changes the result and the fingerprint; neither; or, by decision (docs/fingerprints.md),
it changes the fingerprint or does not, whatever the call returns.
"""


@dataclass(frozen=True)
class Case:
    title: str
    changes: bool
    observable: bool
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
        cases.append(Case(title, VERBS[verb], verb in ("changes", "keeps"), files, after))
    return cases


FILES = [
    file
    for file in sorted(Path(__file__).parent.glob("language*.txt"))
    if file.stem != "language_3_12" or sys.version_info >= (3, 12)
]


@pytest.mark.parametrize(
    "case", [case for file in FILES for case in parse(file.read_text())], ids=lambda case: case.title
)
def test_an_edit_changes_the_fingerprint_just_when_it_may_change_the_result(
    case: Case,
    fingerprint_of: Callable[..., Fingerprint],
    result_of: Callable[[Mapping[str, str]], str],
) -> None:
    before, after = fingerprint_of(case.before), fingerprint_of(case.after)

    assert (before.hex != after.hex) == case.changes
    if case.observable:
        assert (result_of(case.before) != result_of(case.after)) == case.changes
