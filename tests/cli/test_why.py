"""``lineal why`` as people read it: short, the most telling first, and nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import pytest

from lineal_cli.render.run import cache_and_reason
from lineal_cli.render.status import render_status
from lineal_cli.render.why import render_why

STAGE = {
    "stage": "train",
    "cache": "miss",
    "reason": "code",
    "nearest": None,
    "changes": [],
    "state": "queued",
    "error": None,
    "compared_with": None,
    "decided_by": [],
    "decided_by_left_out": 0,
    "failed_before": None,
    "notes": [],
}


def shown(*stages: dict[str, Any], run_id: str | None = None, unchanged: int = 0) -> str:
    told = [{**STAGE, **stage} for stage in stages]
    document = {"pipeline": "flow", "run_id": run_id, "stages": told, "unchanged": unchanged}
    return click.unstyle(render_why(document))


def code(name: str, diff: str | None = None, **fields: Any) -> dict[str, Any]:
    lines = None if diff is None else f"--- a/m.py\n+++ b/m.py\n@@ -1,1 +1,1 @@ m:{name}\n{diff}\n"
    change = {"kind": "code", "name": f"m:{name}", "before": "1", "after": "2", "file": "m.py", "line": 1}
    return {
        **change,
        "diff": lines,
        "title": f"`{name}()` in m.py changed",
        "details": [],
        "through": [],
        **fields,
    }


def test_where_everything_is_a_hit_that_is_all_there_is_to_say() -> None:
    assert shown(unchanged=7) == "nothing would run: 7 stages unchanged"
    assert shown(run_id="R", unchanged=1) == "nothing ran in run R: 1 stage unchanged"


def test_stages_of_which_the_same_is_said_share_a_paragraph() -> None:
    changes = [code("helper", "-old\n+new")]
    fan = [{"stage": f"square#{number}", "changes": changes} for number in range(1, 301)]

    text = shown(*fan, {"stage": "total", "reason": "input"})

    assert text.startswith(
        "square#1, square#2, square#3, square#4, square#5, square#6 and 294 more would run: code"
    )
    assert text.count("-old") == 1
    assert "total would run: input changed" in text


def test_a_diff_is_shown_once() -> None:
    change = code("helper", "-old\n+new")

    text = shown({"changes": [change]}, {"stage": "other", "changes": [change], "notes": ["too"]})

    assert text.count("+new") == 1
    assert "other would run: code changed\n  too\n  `helper()` in m.py changed, as shown above" in text


def test_of_many_units_five_are_shown_and_the_others_counted() -> None:
    text = shown({"changes": [code(f"f{number}", f"-{number}\n+x{number}") for number in range(30)]})

    assert text.count("changed:\n") == 5
    assert "and 25 more units of code: `f5`, `f6`, `f7`, `f8`, `f9`, `f10`, `f11`, `f12` and 17 more" in text


def test_long_diffs_are_cut_and_say_so() -> None:
    text = shown({"changes": [code("f", "\n".join(f"-{number}" for number in range(200)))]})

    assert "… 161 more lines; --json has them" in text
    assert len(text.splitlines()) < 50


def test_a_new_unit_is_shown_where_it_is_short() -> None:
    short = code("a", "+one\n+two", before=None, title="`a()` in m.py is new")
    long = code("b", "\n".join("+line" for _ in range(50)), before=None, title="`b()` in m.py is new")

    text = shown({"changes": [short, long]})

    assert "`a()` in m.py is new:\n      @@ -1,1 +1,1 @@ m:a\n      +one\n      +two" in text
    assert "`b()` in m.py is new (50 lines)" in text


def test_many_paragraphs_are_counted() -> None:
    stages = [{"stage": f"s{number}", "notes": [str(number)]} for number in range(40)]

    assert shown(*stages).endswith("and 28 more stages; `lineal why STAGE` tells about each")


def test_names_of_what_has_to_run_first_are_few() -> None:
    deciders = [{"stage": f"s{number}", "cache": "miss", "reason": "code"} for number in range(20)]
    waiting = {"cache": "unknown", "reason": "upstream", "decided_by": deciders, "decided_by_left_out": 280}

    assert shown(waiting) == (
        "train may run: `s0`, `s1`, `s2`, `s3` and 296 more decide, which have to run first (code changed)"
    )
    assert shown({**waiting, "decided_by": deciders[:1], "decided_by_left_out": 0}) == (
        "train may run: `s0` decides, which has to run first (code changed)"
    )


def test_contracts_that_changed_alike_are_told_once() -> None:
    def contract(port: str) -> dict[str, Any]:
        return code(
            port, None, kind="schema", title=f"the contract of `{port}` changed", details=["`x`: 1 → 2"]
        )

    assert shown({"changes": [contract("a"), contract("b")]}).count("`x`: 1 → 2") == 1


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ({"state": "failed"}, "train ran: code changed; it failed: E: boom …"),
        ({"state": "upstream_failed", "cache": None}, "train did not run: a stage before it failed"),
        ({"state": "failed", "cache": None}, "train could not run: it failed: E: boom …"),
        ({"state": "cancelled", "cache": None}, "train did not run: cancelled"),
        (
            {"state": "skipped", "cache": None, "reason": "upstream"},
            "train was skipped: what it needs was skipped",
        ),
    ],
)
def test_what_became_of_a_stage_in_the_past_is_told(stage: dict[str, Any], words: str) -> None:
    error = {"kind": "exception", "type": "E", "message": "boom\nmore", "hint": None}

    assert shown({"error": error, **stage}, run_id="R") == words


def test_sources_cannot_change_the_terminal() -> None:
    evil = code("f", "-\x1b[2J\n+\u202egnp.exe\r", title="`f\n\x1b]0;x\x07` changed", details=["\x9b1m"])

    text = render_why(
        {"pipeline": "p", "run_id": None, "stages": [{**STAGE, "changes": [evil]}], "unchanged": 0}
    )

    assert not {character for character in click.unstyle(text) if ord(character) < 32} - {"\n"}
    assert "\u202e" not in text and "\x9b" not in text
    assert "\\x1b[2J" in text


def test_status_tells_an_effect_from_a_stage_that_is_never_cached(document: Callable[[str], Any]) -> None:
    run = document("status")
    run["stages"][0] |= {"cache": "miss", "reason": "uncached"}
    run["stages"][1] |= {"cache": "off", "reason": "uncached"}
    run["stages"][2] |= {"cache": None, "reason": "upstream", "state": "skipped"}

    lines = [" ".join(line.split()) for line in click.unstyle(render_status(run)).splitlines()]

    assert "ingest miss: no earlier result counts" in lines
    assert "train off: never cached" in lines
    assert "evaluate what it needs was skipped" in lines
    assert click.unstyle(cache_and_reason(run["stages"][2])) == "what it needs was skipped"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["20261122-031700-4f9ac2"], ("20261122-031700-4f9ac2", None, [])),
        (["20261122-031700-4f9ac2", "train"], ("20261122-031700-4f9ac2", "train", [])),
        (["train#2"], (None, "train#2", [])),
    ],
)
def test_a_run_stands_where_a_target_may(
    project: Any,
    call: Callable[..., Any],
    document: Callable[[str], Any],
    arguments: list[str],
    expected: Any,
) -> None:
    project.answers["why"] = document("why_run")

    assert call("why", *arguments).exit_code == 0
    assert project.calls == [("why", expected, {})]
