"""Places in concurrency groups, and who may have one."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from clocked import Runs

from lineal.engine.limits import Limits, LimitUnavailable

HOLDER = """
import sys
from pathlib import Path
from lineal.engine.limits import Limits

place = Limits(Path(sys.argv[1])).take("warehouse:1")
print("taken" if place else "full", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def limits(tmp_path: Path) -> Limits:
    return Limits(tmp_path / "made" / "when needed")


def test_no_more_places_are_taken_than_there_are(limits: Limits) -> None:
    places = [limits.take("warehouse:2") for _ in range(3)]

    assert [place is not None for place in places] == [True, True, False]


def test_a_place_that_is_released_can_be_taken_again(limits: Limits) -> None:
    place = limits.take("warehouse:1")
    assert place is not None
    assert not limits.is_free("warehouse:1")

    place.release()

    assert limits.is_free("warehouse:1")
    assert limits.take("warehouse:1") is not None


def test_groups_have_places_of_their_own(limits: Limits) -> None:
    limits.take("warehouse:1")

    assert limits.take("gpu:1") is not None


def test_another_process_shares_the_places_and_gives_them_back_when_it_is_killed(
    tmp_path: Path, limits: Limits
) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "made" / "when needed")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        assert limits.take("warehouse:1") is None
    finally:
        other.kill()
        other.communicate()

    assert limits.take("warehouse:1") is not None


def test_where_places_cannot_be_kept_nobody_is_let_through(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")

    with pytest.raises(LimitUnavailable, match="a file") as refused:
        Limits(tmp_path / "a file").take("warehouse:1")

    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


# -- in a run ---------------------------------------------------------------------------------

FLOW = """
from lineal import pipeline, stage

tries = []


@stage(limit="warehouse:1", retries=1, retry_delay="10s", retry_jitter=0)
def query() -> int:
    tries.append(1)
    if len(tries) == 1:
        raise ConnectionError("not now")
    return 1


@stage
def beside() -> int:
    return 2


@pipeline
def flow() -> None:
    query(), beside()
"""


def test_a_run_waits_for_a_place_and_does_the_rest_meanwhile(runs: Runs) -> None:
    runs.write(FLOW)
    taken = shared(runs).take("warehouse:1")
    assert taken is not None
    ended: list[str] = []

    def leave(seconds: float) -> None:
        if not ended:
            ended.extend(event.stage for event in runs.told if event.state == "succeeded")
            taken.release()

    runs.clock.on_sleep = leave
    record = runs.run()

    assert record.state == "succeeded"
    assert ended == ["beside"]


def test_a_stage_that_waits_to_try_again_needs_no_place(runs: Runs) -> None:
    runs.write(FLOW)
    free: list[bool] = []
    runs.clock.on_sleep = lambda seconds: free.append(shared(runs).is_free("warehouse:1"))

    runs.run()

    assert runs.clock.slept == [10]
    assert free == [True]
    assert shared(runs).is_free("warehouse:1")


def shared(runs: Runs) -> Limits:
    """The places of all who use that store."""
    return Limits(runs.root / ".lineal" / "store" / ".limits")
