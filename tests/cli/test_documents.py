"""One golden example of each document, its JSON Schema, and how it is shown to people.

``documents/X.json`` fits ``schemas/`` and is rendered as ``rendered/X.txt``. After an intended change
of a rendering write it anew with ``LINEAL_WRITE_GOLDEN=1``, and read the difference.
"""

from __future__ import annotations

import copy
import os
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest

from lineal.events import ExecutionStarted, OutputCaptured, RunStarted
from lineal.views.progress import Board
from lineal_cli.render.alerts import render_alerts_test
from lineal_cli.render.artifacts import render_get, render_show
from lineal_cli.render.backfill import render_backfill, render_backfills
from lineal_cli.render.capsule import render_created
from lineal_cli.render.code import render_fingerprint
from lineal_cli.render.dag import render_dag, render_dot, render_mermaid
from lineal_cli.render.history import render_cancel, render_logs, render_runs
from lineal_cli.render.init import render_init
from lineal_cli.render.lineage import render_impact, render_trace
from lineal_cli.render.names import render_refs, render_tag
from lineal_cli.render.reproduce import render_plan, render_reproduction
from lineal_cli.render.run import render_run
from lineal_cli.render.schedule import render_paused, render_schedules, render_simulation
from lineal_cli.render.serve import render_served
from lineal_cli.render.status import render_status
from lineal_cli.render.store import render_stats, render_verify
from lineal_cli.render.why import render_why

HERE = Path(__file__).parent
SCHEMA_OF = {
    "cancel_ended": "cancel",
    "cancel_late": "cancel",
    "cancel_lost": "cancel",
    "cancel_unheard": "cancel",
    "run_failed": "run",
    "run_unchanged": "run",
    "status": "run",
    "impact": "trace",
    "trace_unknown": "trace",
    "reproduce_different": "reproduce",
    "reproduce_impossible": "reproduce",
    "reproduce_planned": "reproduce",
    "schedule_simulate_empty": "schedule_simulate",
    "schedule_resume": "schedule_pause",
    "backfill_planned": "backfill",
    "show_artifact": "show",
    "show_run": "show",
    "why_run": "why",
}
RENDERERS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "run": ("run", lambda document: render_run(document, elapsed_seconds=4.2)),
    "run_failed": ("run_failed", lambda document: render_run(document, elapsed_seconds=2.6)),
    "run_failed_seen": ("run_failed", lambda document: _render_seen(document)),
    "run_failed_wide": ("run_failed", lambda document: _render_wide(document)),
    "run_unchanged": ("run_unchanged", lambda document: render_run(document, elapsed_seconds=0.21)),
    "cancel": ("cancel", render_cancel),
    "cancel_ended": ("cancel_ended", render_cancel),
    "cancel_late": ("cancel_late", render_cancel),
    "cancel_lost": ("cancel_lost", render_cancel),
    "cancel_unheard": ("cancel_unheard", render_cancel),
    "status": ("status", render_status),
    "why": ("why", render_why),
    "why_run": ("why_run", render_why),
    "fingerprint": ("fingerprint", render_fingerprint),
    "dag": ("dag", render_dag),
    "dag_mermaid": ("dag", render_mermaid),
    "dag_dot": ("dag", render_dot),
    "runs": ("runs", lambda document: render_runs(document, with_metrics=True)),
    "logs": ("logs", render_logs),
    "trace": ("trace", lambda document: render_trace(document, "model.joblib")),
    "trace_unknown": ("trace_unknown", lambda document: render_trace(document, "other.bin")),
    "impact": ("impact", lambda document: render_impact(document, "data/flights.csv")),
    "reproduce": ("reproduce", render_reproduction),
    "capsule_create": ("capsule_create", render_created),
    "reproduce_different": ("reproduce_different", render_reproduction),
    "reproduce_impossible": ("reproduce_impossible", render_reproduction),
    "reproduce_planned": ("reproduce_planned", render_plan),
    "get": ("get", render_get),
    "show_artifact": ("show_artifact", render_show),
    "show_run": ("show_run", render_show),
    "tag": ("tag", lambda document: render_tag("baseline", document, deleted=False)),
    "refs": ("refs", render_refs),
    "store_stats": ("store_stats", render_stats),
    "store_verify": ("store_verify", lambda document: render_verify(document, read_data=True)),
    "init": ("init", render_init),
    "alerts_test": ("alerts_test", render_alerts_test),
    "schedule_list": ("schedule_list", render_schedules),
    "schedule_pause": ("schedule_pause", render_paused),
    "schedule_resume": ("schedule_resume", render_paused),
    "backfill": ("backfill", render_backfill),
    "backfill_planned": ("backfill_planned", render_backfill),
    "backfill_list": ("backfill_list", render_backfills),
    "serve": ("serve", render_served),
    "schedule_simulate": ("schedule_simulate", render_simulation),
    "schedule_simulate_empty": ("schedule_simulate_empty", render_simulation),
}


def _seen(parents: dict[str, tuple[str, ...]], failed: str, text: str) -> Board:
    """What was seen of a run in which that stage printed that."""
    at, board = datetime(2026, 11, 22, 17, 31, tzinfo=UTC), Board()
    board.take(RunStarted(at, "run", "flights", tuple(parents)), 0.0)
    board.take(ExecutionStarted(at, "run", "process", 2, parents, {}), 0.0)
    board.take_output(OutputCaptured(at, "run", failed, 1, "output", text))
    return board


def _render_seen(document: Any) -> str:
    """With what the display saw, two failures, and the command that was given."""
    report = {
        **document["stages"][1],
        "id": "report",
        "error": {"kind": "killed", "type": "", "message": "signal 9"},
    }
    document = {**document, "stages": [*document["stages"], {**report, "traceback": "", "attempts": 1}]}
    parents = {
        "ingest": (), "validate": ("ingest",), "weather": (), "train": ("validate", "weather"), "deploy": ("train",),
        "report": ("weather",),
    }  # fmt: skip
    return render_run(
        document,
        elapsed_seconds=2.6,
        board=_seen(parents, "validate", "reading\n10 %\r50 %\n\x1b[31mred \x1b[2J\n"),
        again=["run", "flights.py", "note=two words", "-j", "3"],
        settings=["--store", "s3://ml/churn"],
    )


def _render_wide(document: Any) -> str:
    """A fan-out of 10,000 items: 37 fail in one place, two in another, and one thing waits for all."""
    good, bad, waits = (document["stages"][number] for number in (2, 1, 3))
    items = {f"score#{number}": good for number in range(1, 10_001)}
    frames = bad["traceback"]
    items |= {
        f"score#{number}": {
            **bad,
            "error": {
                "kind": "exception",
                "type": "ValueError",
                "message": f"bad row {number}",
                "hint": None,
            },
            "traceback": f"{frames}ValueError: bad row {number}\n",
        }
        for number in range(300, 337)
    }
    items |= {f"score#{number}": {**bad, "traceback": "", "attempts": 1} for number in (7, 5000)}
    items |= {f"explain#{number}": waits for number in range(300, 337)}
    items |= {"report": waits}
    parents: dict[str, tuple[str, ...]] = dict.fromkeys(items, ())
    parents |= {f"explain#{number}": (f"score#{number}",) for number in range(300, 337)}
    parents |= {"report": tuple(name for name in items if name.startswith("score"))}
    document = {**document, "stages": [{**stage, "id": name} for name, stage in items.items()]}
    return render_run(document, elapsed_seconds=754, board=_seen(parents, "score#300", "item 300\n"))


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are shown as the local clock has them; here that is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("name", sorted(path.stem for path in (HERE / "documents").glob("*.json")))
def test_every_golden_document_fits_its_schema(
    name: str, document: Callable[[str], Any], misfits: Callable[[Any, str], list[str]]
) -> None:
    assert misfits(document(name), SCHEMA_OF.get(name, name)) == []


def test_every_schema_has_a_golden_document() -> None:
    schemas = {path.stem for path in (HERE / "schemas").glob("*.json")}
    documents = {path.stem for path in (HERE / "documents").glob("*.json")}

    assert schemas == {SCHEMA_OF.get(name, name) for name in documents}


def test_a_document_that_lacks_something_does_not_fit(
    document: Callable[[str], Any], misfits: Callable[[Any, str], list[str]]
) -> None:
    broken = copy.deepcopy(document("run"))
    del broken["warnings"]
    broken["stages"][0]["state"] = "happy"

    assert [text.partition(":")[0] for text in misfits(broken, "run")] == ["$", "$.stages[0].state"]


@pytest.mark.parametrize("name", RENDERERS)
def test_every_document_is_shown_as_written(name: str, document: Callable[[str], Any]) -> None:
    source, render = RENDERERS[name]
    shown = click.unstyle(render(document(source))) + "\n"
    golden = HERE / "rendered" / f"{name}.txt"
    if os.environ.get("LINEAL_WRITE_GOLDEN"):
        golden.write_text(shown, "utf-8")

    assert shown == golden.read_text("utf-8")


@pytest.mark.parametrize("name", [name for name in RENDERERS if not name.startswith("dag_")])
def test_no_document_can_move_the_cursor(name: str, document: Callable[[str], Any]) -> None:
    def poisoned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: item if key == "kind" else poisoned(item) for key, item in value.items()}
        if isinstance(value, list):
            return [poisoned(item) for item in value]
        return value + "\x1b[2J\x07\r" if isinstance(value, str) else value

    source, render = RENDERERS[name]
    shown = click.unstyle(render(poisoned(document(source))))

    assert not {character for character in shown if ord(character) < 32} - {"\n", "\t"}


def test_in_a_long_pipeline_hits_are_only_counted(document: Callable[[str], Any]) -> None:
    run = document("run")
    run["stages"] += [{**run["stages"][0], "id": f"ingest#{number}"} for number in range(2, 1001)]

    shown = click.unstyle(render_run(run, in_full=True))

    assert "and 1,000 stages unchanged" in shown
    assert len(shown.splitlines()) < 30


def test_a_failure_with_a_message_of_a_thousand_lines_is_shown_by_its_ends(
    document: Callable[[str], Any],
) -> None:
    run = document("run_failed")
    run["stages"][1]["error"]["message"] = "\n".join(f"row {number}" for number in range(1000))

    shown = click.unstyle(render_run(run)).splitlines()

    assert len(shown) < 70
    assert {"row 1", "(and 960 lines more; --json has all)", "row 999"} <= set(shown)


def test_of_a_progress_bar_in_a_log_the_last_state_is_shown() -> None:
    log = {"stage": "train", "attempt": 1, "text": "start\r\n10 %\r50 %\r100 %\r\nend\n"}

    assert render_logs({"logs": [log]}) == "start\n100 %\nend"


def test_of_a_long_simulation_the_first_ticks_are_shown(document: Callable[[str], Any]) -> None:
    simulated = document("schedule_simulate")
    simulated["ticks"] *= 1000

    shown = click.unstyle(render_simulation(simulated)).splitlines()

    assert "(and 2,601 more; --json has them)" in shown
    assert len(shown) == 404


def test_without_schedules_the_list_says_so() -> None:
    assert render_schedules({"schedules": []}) == "no schedules"


def test_in_a_large_family_what_would_run_shares_a_row(document: Callable[[str], Any]) -> None:
    status = document("status")
    status["stages"] += [{**status["stages"][1], "id": f"score#{number}"} for number in range(2, 10_001)]

    assert "score (9,999 of them)  miss: code changed" in click.unstyle(render_status(status))


def test_in_a_large_family_stages_that_became_the_same_share_a_row(document: Callable[[str], Any]) -> None:
    run = document("run")
    run["stages"] += [{**run["stages"][1], "id": f"score#{number}"} for number in range(2, 10_001)]

    shown = click.unstyle(render_run(run, in_full=True))

    assert re.search(r"score \(9,999 of them\) +succeeded +miss: code changed +8 h 54 min", shown)
    assert len(shown.splitlines()) < 30


def _chain(length: int) -> dict[str, Any]:
    nodes: list[dict[str, Any]] = []
    edges = []
    empty = {"url": None, "action_key": None, "parameters": None, "fingerprint": None, "run_id": None}
    for number in range(length):
        digest, key = f"sha256:{number:064x}", f"xxh3:{number:032x}"
        nodes.append({"id": digest, "kind": "artifact", "name": f"stage{number}", "digest": digest, **empty})
        nodes.append({"id": key, "kind": "action", "name": f"stage{number}", "digest": None, **empty})
        edges.append([digest, key])
        if number:
            edges.append([f"xxh3:{number - 1:032x}", digest])
    return {"digest": nodes[0]["id"], "found": True, "nodes": nodes, "edges": edges}


def test_a_family_of_a_thousand_generations_is_cut_and_says_so() -> None:
    shown = click.unstyle(render_trace(_chain(1000), "model"))

    assert "more; --json has all" in shown
    assert max(map(len, shown.splitlines())) < 160


def test_a_graph_of_a_thousand_stages_in_a_row_is_drawn_without_recursion() -> None:
    names = [f"s{number}" for number in range(3000)]
    graph = {
        "pipeline": "long",
        "nodes": [
            {"id": name, "stage": name, "effect": False, "conditional": False, "outputs": []}
            for name in names
        ],
        "edges": [[child, parent] for parent, child in pairwise(names)],
        "sources": [],
    }

    assert click.unstyle(render_dag(graph)).splitlines()[-1].split()[:2] == ["3000", "s2999"]


def test_names_cannot_break_out_of_a_drawing() -> None:
    node = {"id": 'a"]; evil', "stage": "a", "effect": False, "conditional": False, "outputs": []}
    graph = {"pipeline": 'p"', "nodes": [node], "edges": [], "sources": []}

    assert '"a&quot;]; evil"' in render_mermaid(graph)
    assert '"a\\"]; evil"' in render_dot(graph)
