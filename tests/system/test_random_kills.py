"""Whoever is killed at whatever moment, engine, zygote or worker: nothing that was completed is lost, and nothing is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import random_kills
from depth import DEEP, one_of

SEED = int(os.environ.get("LINEAL_TEST_SEED", "20261122"))


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A place for runs; in memory where there is such a place, for a kill needs no disk."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="lineal-kills-", dir=memory) as path:
        (Path(path) / "project").mkdir()
        yield Path(path) / "project"


@pytest.mark.parametrize(("executor", "kills"), [("inline", one_of(8, 300)), ("process", one_of(3, 200))])
def test_after_a_kill_at_any_moment_what_was_completed_stands_and_the_rest_is_made(
    scratch: Path, executor: str, kills: int
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LINEAL_")}
    done = subprocess.run(
        [sys.executable, random_kills.__file__, str(scratch), executor, str(kills), str(SEED)],
        env={**environment, "LINEAL_NAMESPACE": "tests"},
        check=False,
        capture_output=True,
        text=True,
        timeout=one_of(300, 3600),
    )

    print(done.stdout)  # with every moment, where something is wrong
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [problem for each in told for problem in each["problems"]] == []
    killed = [each for each in told if "kill" in each]
    assert len(killed) == kills
    if DEEP:
        assert Counter(each["victim"] for each in killed).keys() == set(random_kills.VICTIMS[executor])
        in_between = [each for each in killed if 0 < each["filed"] < len(random_kills.STAGES)]
        assert len(in_between) > kills / 50
