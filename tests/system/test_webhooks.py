"""`lineal serve` answers HTTP: a signed call starts a run, once, whoever is killed."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support import Project
from waiting import PATIENCE_SECONDS, wait_until

from lineal.state import State

CONFIGURATION = """
[[schedules]]
name = "labels"
pipeline = "flow.py"
on = { webhook = "labels", secret = "${LABELS_KEY}" }
parameters = { n = 2 }
"""
FLOW = """
import journal
from lineal import pipeline, stage


@stage
def one(n: int) -> int:
    journal.note(f"one {n}")
    return n


@pipeline
def flow(n: int = 1) -> int:
    return one(n)
"""


@dataclass
class Daemon:
    process: subprocess.Popen[str]
    port: int

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def call(self, body: bytes, key: str = "a key") -> tuple[int, str]:
        at = int(time.time())
        made = hmac.new(key.encode(), b"%d.%b" % (at, body), hashlib.sha256).hexdigest()
        headers = {"Lineal-Signature": f"t={at},v1={made}", "Idempotency-Key": body.decode()}
        return self.ask("POST", "/hooks/labels", body, **headers)

    def wait_for(self, message: str) -> dict[str, Any]:
        """The next line of its log with that message."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            found: dict[str, Any] = json.loads(line)
            if found["message"].startswith(message):
                return found
        raise AssertionError(f"it ended without saying {message}")


@contextmanager
def serving(project: Project) -> Iterator[Daemon]:
    process = project.start("serve", "--listen", "127.0.0.1:0", "--log", "json")
    daemon = Daemon(process, 0)
    patience = threading.Timer(2 * PATIENCE_SECONDS, process.kill)  # so that nobody waits for a line for ever
    patience.start()
    try:
        daemon.port = int(daemon.wait_for("answering HTTP")["message"].rpartition(":")[2])
        yield daemon
    finally:
        patience.cancel()
        process.kill()
        process.communicate()


@pytest.fixture
def webhooks(project: Project) -> Project:
    project.keep_journal()
    project.write("flow.py", FLOW)
    project.write("lineal.toml", CONFIGURATION)
    project.variables["LABELS_KEY"] = "a key"
    return project


def test_a_call_is_run_and_counted(webhooks: Project) -> None:
    with serving(webhooks) as daemon:
        daemon.wait_for("looking after")
        assert daemon.call(b"first", key="no key")[0] == 401
        assert daemon.call(b"first")[0] == 202
        ended = daemon.wait_for("succeeded")
        assert ended["schedule"] == "labels"

        counted: dict[str, float] = {}
        until = time.monotonic() + PATIENCE_SECONDS
        while "lineal_runs_total" not in counted and time.monotonic() < until:  # its record is read first
            text = daemon.ask("GET", "/metrics")[1]
            samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
            counted = {one.name: one.value for one in samples if one.labels.get("pipeline") == "flow"}
        assert counted["lineal_runs_total"] == 1
        assert counted["lineal_stages_total"] == 1
        assert daemon.ask("GET", "/health")[0] == 200
        status, text = daemon.ask("GET", "/ready")
        assert (status, json.loads(text)["ok"]) == (200, True)

        daemon.process.terminate()
        assert webhooks.ended(daemon.process).code == 0
    assert webhooks.journal() == ["one 2"]


def test_what_was_accepted_is_run_once_although_the_daemon_was_killed_at_once(webhooks: Project) -> None:
    with serving(webhooks) as daemon:
        daemon.wait_for("looking after")
        status, first = daemon.call(b"first")
        assert status == 202

    with serving(webhooks) as daemon:
        daemon.wait_for("looking after")
        status, again = daemon.call(b"first")
        assert (status, job_of(again)) == (202, job_of(first))
        assert state_when_ended(webhooks, job_of(first)) == "succeeded"
    assert webhooks.journal() == ["one 2"]


def job_of(answer: str) -> int:
    [told] = json.loads(answer)["jobs"]
    return int(told["job"])


def state_when_ended(project: Project, job_id: int) -> str:
    """What became of a job, whichever daemon has begun it."""
    with State(project.root / ".lineal" / "state" / "state.sqlite") as state:
        wait_until(lambda: (job := state.job(job_id)) is not None and job.ended_at is not None)
        job = state.job(job_id)
    assert job is not None
    return job.state


def test_the_doctor_sees_who_looks_after_the_schedules(webhooks: Project) -> None:
    with serving(webhooks) as daemon:
        daemon.wait_for("looking after")
        document = webhooks.json("doctor").document

    found = {check["name"]: check["detail"] for check in document["checks"]}
    assert found["scheduler"] == f"`lineal serve` looks after the schedules, process {daemon.process.pid}"
    assert found["schedules"] == "labels"
