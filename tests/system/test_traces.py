"""A run's trace reaches a collector by OTLP, and a collector that is not there is nobody's trouble."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from typing import Any

import pytest
from collector import attributes, spans
from receivers import silence, webhooks
from serving import Serving, end_what_is_left
from support import Project

FLOW = """
import os

from lineal import pipeline, stage


@stage
def load(number: int) -> int:
    return 100 // number


@stage
def train(rows: int) -> int:
    return rows


@pipeline
def flow(number: int = 4) -> int:
    return train(load(number))
"""
SLOW_AT_SECOND = """
import os
import time

from lineal import pipeline, stage


@stage(retries=1, retry_delay="1ms")
def load() -> int:
    if not os.path.isdir("tried"):
        os.mkdir("tried")
        raise OSError("not yet")
    time.sleep(0.3)  # meanwhile the span of the first attempt leaves, if anybody lets it
    return 1


@pipeline
def flow() -> int:
    return load()
"""
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture
def flow(project: Project) -> Project:
    project.write("flow.py", FLOW)
    return project


def python(project: Project, code: str, **variables: str) -> Any:
    """What this code, which prints it as JSON, says in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=project.root,
        env=project.environment(variables),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("executor", ["process", "inline"])
def test_a_trace_arrives_below_the_span_of_whoever_started_the_run(flow: Project, executor: str) -> None:
    with webhooks() as server:
        flow.variables[ENDPOINT] = f"http://127.0.0.1:{server.port}"
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        run = flow.json("run", "--executor", executor, TRACEPARENT=parent)
        found = spans(server)

    assert (run.code, run.document["warnings"]) == (0, [])
    assert found.keys() == {"run flow", "stage load", "stage train", "attempt load", "attempt train"}
    whole = found["run flow"]
    assert (whole.trace_id.hex(), whole.parent_span_id.hex()) == (
        "0af7651916cd43dd8448eb211c80319c",
        "b7ad6b7169203331",
    )
    assert attributes(whole)["lineal.run_id"] == run.document["run_id"]
    assert attributes(whole)["lineal.namespace"] == "tests"
    for name in ("load", "train"):
        assert found[f"stage {name}"].parent_span_id == whole.span_id
        assert found[f"attempt {name}"].parent_span_id == found[f"stage {name}"].span_id


def test_an_unchanged_run_is_traced_as_well(flow: Project) -> None:
    flow.json("run")
    flow.json("run")  # without a collector, it is answered from what was kept
    with webhooks() as server:
        flow.variables[ENDPOINT] = f"http://127.0.0.1:{server.port}"
        run = flow.json("run")
        found = spans(server)

    assert run.words("cache") == {"load": "hit", "train": "hit"}
    assert attributes(found["stage load"])["lineal.cache"] == "hit"
    assert attributes(found["run flow"])["lineal.run_id"] == run.document["run_id"]


def test_a_job_has_a_trace_of_its_own_whatever_the_daemon_was_started_by(flow: Project) -> None:
    flow.write("lineal.toml", '[[schedules]]\nname = "often"\nevery = "1s"\nwhen_running = "skip"\n')
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with webhooks() as server:
        endpoint = f"http://127.0.0.1:{server.port}"
        daemon = Serving(flow, TRACEPARENT=parent, **{ENDPOINT: endpoint})
        try:
            told = daemon.until("succeeded")
        finally:
            daemon.kill()
            end_what_is_left(flow)
        run = spans(server)["run flow"]

    assert run.parent_span_id == b""
    assert attributes(run)["lineal.trigger"] == "schedule often"
    assert told["run_id"]


def test_what_a_job_could_not_send_is_in_the_log(flow: Project) -> None:
    flow.write("lineal.toml", '[[schedules]]\nname = "often"\nevery = "1s"\nwhen_running = "skip"\n')
    daemon = Serving(flow, **{ENDPOINT: "http://127.0.0.1:9"})
    try:
        ended = daemon.until("succeeded")
    finally:
        daemon.kill()
        end_what_is_left(flow)

    (warning,) = [
        line for line in daemon.lines if line.get("job") == ended["job"] and "spans" in line["message"]
    ]
    assert (warning["level"], warning["run_id"]) == ("warning", ended["run_id"])


def test_a_failure_is_in_the_trace(flow: Project) -> None:
    with webhooks() as server:
        flow.variables[ENDPOINT] = f"http://127.0.0.1:{server.port}"
        run = flow.json("run", "number=0")
        found = spans(server)

    assert run.code == 1
    assert [event.name for event in found["attempt load"].events] == ["exception"]
    assert found["stage load"].status.message == "integer division or modulo by zero"
    assert attributes(found["stage train"])["lineal.state"] == "upstream_failed"


def test_sending_is_no_access_of_a_stage(flow: Project) -> None:
    """Where stages run in the process that sends, what they look at is noted, connections and variables among it."""
    flow.write("lineal.toml", "strict = true")
    flow.write("flow.py", SLOW_AT_SECOND)
    code = f"""
        import json
        from pathlib import Path

        from lineal.api import open_project, otel

        otel._INTERVAL_SECONDS = 0.1
        runs = [open_project(Path({str(flow.root)!r})).run("flow.py", executor="inline") for _ in range(2)]
        print(json.dumps([[run["warnings"], [stage["cache"] for stage in run["stages"]]] for run in runs]))
    """
    with webhooks() as server:
        told = python(flow, code, **{ENDPOINT: f"http://127.0.0.1:{server.port}"})

    assert told == [[[], ["miss"]], [[], ["hit"]]]


@pytest.mark.parametrize("kind", ["refused", "silent"])
def test_a_dead_collector_fails_no_run_and_is_told_once(flow: Project, kind: str) -> None:
    flow.json("run")
    with silence() as port:
        flow.variables[ENDPOINT] = f"http://127.0.0.1:{port if kind == 'silent' else 9}"
        started = time.monotonic()
        run = flow.json("run")
        took = time.monotonic() - started

    assert run.code == 0
    (warning,) = run.document["warnings"]
    assert warning.startswith("3 of the 3 spans of the run's trace did not reach the collector")
    assert run.err == ""
    assert took < 20  # two seconds are waited for; the rest is a loaded machine's


def test_nonsense_in_the_variables_fails_no_run(flow: Project) -> None:
    run = flow.json("run", OTEL_EXPORTER_OTLP_TIMEOUT="soon", **{ENDPOINT: "nowhere"})

    assert run.code == 0
    (warning,) = run.document["warnings"]
    assert warning.startswith("traces are not complete: ") or "did not reach the collector" in warning


def test_without_the_extra_a_collector_changes_nothing(flow: Project) -> None:
    flow.write("shadow/opentelemetry/__init__.py", "")
    with webhooks() as server:
        run = flow.json(
            "run",
            PYTHONPATH=str(flow.root / "shadow"),
            **{ENDPOINT: f"http://127.0.0.1:{server.port}"},
        )
        heard = server.all()

    assert (run.code, run.document["warnings"], heard) == (0, [], [])


def test_without_a_collector_nothing_of_opentelemetry_is_imported(flow: Project) -> None:
    code = f"""
        import json, sys
        from pathlib import Path

        from lineal.api import open_project

        open_project(Path({str(flow.root)!r})).run("flow.py")
        print(json.dumps([name for name in sys.modules if "opentelemetry" in name or "otel" in name]))
    """

    assert python(flow, code) == []
