"""What becomes of checkpoints at the end of an attempt."""

from __future__ import annotations

import pytest
from clocked import Runs, stages

FLOW = """
import lineal
from lineal import pipeline, stage

SEEN = []


@stage(retries={retries}, retry_delay=0, cache={cache})
def train(epochs: int = {epochs}) -> int:
    saved = lineal.checkpoint_dir() / "epoch"
    done = int(saved.read_text()) if saved.exists() else 0
    SEEN.append(done)
    while done < epochs:
        done += 1
        saved.write_text(str(done))
        if done in {failing}:
            raise MemoryError("too large")
    return done


@pipeline
def flow() -> int:
    return train()
"""


def write(
    runs: Runs, *, retries: int = 0, cache: bool = True, epochs: int = 5, failing: tuple[int, ...] = ()
) -> None:
    runs.write(FLOW.format(retries=retries, cache=cache, epochs=epochs, failing=list(failing)))


def kept(runs: Runs) -> list[str]:
    folder = runs.root / ".lineal" / "checkpoints"
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


def test_the_next_attempt_goes_on_from_there_and_success_leaves_nothing(runs: Runs) -> None:
    write(runs, retries=2, failing=(2, 3))

    record = runs.run()

    assert record.state == "succeeded"
    assert runs.module.SEEN == [0, 2, 3]
    assert kept(runs) == []


@pytest.mark.parametrize("cache", [True, False])
def test_the_next_run_goes_on_from_there(runs: Runs, cache: bool) -> None:
    write(runs, cache=cache, failing=(2,))
    failed = runs.run()
    assert "epoch" in kept(runs)

    again = runs.run()

    assert (failed.state, again.state) == ("failed", "succeeded")
    assert runs.module.SEEN == [2]
    assert kept(runs) == []


def test_an_action_with_another_key_begins_at_the_beginning(runs: Runs) -> None:
    write(runs, failing=(2,))
    runs.run()
    write(runs, failing=(2,), epochs=6)

    runs.run()

    assert runs.module.SEEN == [0]


def test_checkpoints_are_no_part_of_what_is_recorded(runs: Runs) -> None:
    write(runs)

    record = runs.run()

    assert list(stages(record)["train"].outputs) == ["result"]
    assert record.warnings == []
