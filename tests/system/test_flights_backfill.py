"""The real backfill: a year of flights, 52 models, with the process that asked for them killed in the middle."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from depth import DEEP
from support import Project

FLIGHTS = Path(__file__).parents[2] / "examples" / "flights"
WORDS = (
    "backfill",
    "--from",
    "2013-03-04",
    "--to",
    "2014-01-04",
    "--every",
    "6d",
    "--at-once",
    "2",
    "--until",
    "register",
)
"""A model needs the 63 days before its date, so that the year has room for 44 weekly ones; these are 52, six days apart."""


@pytest.mark.skipif(not DEEP, reason="52 models take a quarter of an hour: make test-faults")
def test_a_year_of_flights_goes_on_after_a_kill_and_the_second_time_all_are_hits(tmp_path: Path) -> None:
    shutil.copytree(FLIGHTS, tmp_path / "flights", ignore=shutil.ignore_patterns(".lineal", ".demo", "raw"))
    flights = Project(tmp_path / "flights")
    subprocess.run([sys.executable, "fetch.py"], cwd=flights.root, check=True)
    started = subprocess.Popen(
        [sys.executable, "-m", "lineal_cli", *WORDS], cwd=flights.root, env=flights.environment({})
    )
    give_up = time.monotonic() + 1800
    while _succeeded(flights) < 5:
        assert time.monotonic() < give_up
        time.sleep(1)
    started.kill()
    started.wait()

    [known] = flights.json("backfill", "--list").document["backfills"]
    first = _asked(flights)
    assert first["backfill"] == known["id"]
    assert (first["planned"], first["state"]) == (52, "succeeded")
    runs = flights.json("runs", "--limit", "1000").document["runs"]
    assert Counter(run["logical_date"] for run in runs) == Counter(
        run["logical_date"] for run in first["runs"]
    )
    assert {run["state"] for run in runs} == {"succeeded"}

    second = _asked(flights)
    assert second["hits"] == second["stages"] == first["stages"]


def _asked(flights: Project) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "lineal_cli", *WORDS, "--json"],
        cwd=flights.root,
        env=flights.environment({}),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return dict(json.loads(done.stdout))


def _succeeded(flights: Project) -> int:
    known = flights.json("backfill", "--list").document["backfills"]
    return known[0]["counts"].get("succeeded", 0) if known else 0
