"""Why stages run, as a document."""

from __future__ import annotations

import json
from typing import Any

from lineal.artifacts.values import encode_value
from lineal.graph.change import Change
from lineal.graph.history import Failed
from lineal.graph.records import Action, ActionResult, Input, StageRecord
from lineal.views.why import stage_document, why_document

DIGEST = "sha256:" + "ab" * 32
STAGE = StageRecord(id="train", name="train", state="queued", cache="miss", reason="parameter")
RESULT = ActionResult(
    action=Action(
        stage="train",
        fingerprint="f" * 32,
        inputs={"table": Input(digest=DIGEST, type="pandas")},
        parameters={"rate": 0.1, "xs[]": ["list", None]},
    ),
    outputs={},
    manifest=DIGEST,
    code_tree=DIGEST,
    environment=DIGEST,
    seed=1,
    run_id="20261122-031700-4f9ac2",
    stage_id="train",
    attempt=1,
    started_at="2026-11-22T03:17:00+00:00",
    seconds=1.5,
)


def change(**fields: Any) -> Change:
    return Change(**{"kind": "parameter", "name": "x", "before": None, "after": None, "title": "x", **fields})


def test_a_stage_has_every_key_whatever_is_known_of_it() -> None:
    bare = stage_document(STAGE)
    full = stage_document(
        STAGE, nearest=("c" * 32, RESULT), changes=[change()], failed=Failed("r", "then", STAGE), notes=["n"]
    )

    assert bare.keys() == full.keys()
    assert (bare["nearest"], bare["changes"], bare["compared_with"]) == (None, [], None)
    assert full["nearest"] == "xxh3:" + "c" * 32
    assert full["compared_with"] == {
        "action_key": "xxh3:" + "c" * 32,
        "fingerprint": "xxh3:" + "f" * 32,
        "run_id": "20261122-031700-4f9ac2",
        "at": "2026-11-22T03:17:00+00:00",
        "seconds": 1.5,
        "inputs": {"table": DIGEST},
        "parameters": {"rate": 0.1},
    }


def test_parameters_are_plain_values_and_everything_is_json() -> None:
    before, after = encode_value({"grid": (1, 2)}), encode_value(float("inf"))

    document = stage_document(
        STAGE, changes=[change(before=before, after=after), change(name="xs[]", after=["list"])]
    )

    assert [(one["before"], one["after"]) for one in document["changes"]] == [
        ({"grid": [1, 2]}, "inf"),
        (None, ["list"]),
    ]
    json.dumps(why_document("flow", None, [document], unchanged=3))


def test_stages_that_many_others_decide_name_the_first_of_them() -> None:
    deciders = [
        StageRecord(id=f"s{number}", name="s", state="queued", reason="code") for number in range(300)
    ]

    document = stage_document(STAGE, decided_by=deciders)

    assert (len(document["decided_by"]), document["decided_by_left_out"]) == (20, 280)
    assert document["decided_by"][0] == {"stage": "s0", "cache": None, "reason": "code"}
