"""A folder that survives attempts, used by one process at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from pathlib import Path

import pytest

import lineal
from lineal import LinealError, pipeline, stage
from lineal.stages.checkpoints import checkpoint_dir, checkpoints_in, remove_checkpoints


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints" / "0123456789abcdef"


def test_a_stage_finds_what_the_attempt_before_has_saved(folder: Path) -> None:
    with checkpoints_in(folder):
        assert list(checkpoint_dir().iterdir()) == []
        (checkpoint_dir() / "epoch").write_text("3")

    with checkpoints_in(folder):
        assert (checkpoint_dir() / "epoch").read_text() == "3"


def test_a_stage_that_does_not_ask_has_none(folder: Path) -> None:
    with checkpoints_in(folder):
        pass

    assert not folder.parent.exists()


def test_what_was_saved_is_gone_when_it_is_removed_and_so_is_the_lock(folder: Path) -> None:
    with checkpoints_in(folder):
        (checkpoint_dir() / "epoch").write_text("3")

    remove_checkpoints(folder)
    remove_checkpoints(folder)

    assert list(folder.parent.iterdir()) == []


def test_what_is_in_use_is_not_removed(folder: Path) -> None:
    with checkpoints_in(folder):
        saved = checkpoint_dir() / "epoch"
        saved.write_text("3")
        remove_checkpoints(folder)

        assert saved.read_text() == "3"


def test_whoever_comes_second_waits_for_the_first(folder: Path) -> None:
    entered = threading.Event()
    order: list[str] = []

    def second() -> None:
        with checkpoints_in(folder):
            entered.set()
            checkpoint_dir()
            order.append("second")

    with checkpoints_in(folder):
        checkpoint_dir()
        other = threading.Thread(target=second)
        other.start()
        entered.wait(60)
        order.append("first")
    other.join(60)

    assert order == ["first", "second"]


def test_whoever_waited_while_the_first_removed_the_folder_has_a_new_one_that_is_locked_too(
    folder: Path,
) -> None:
    with checkpoints_in(folder):
        (checkpoint_dir() / "epoch").write_text("3")
    lock = os.open(folder / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    found: list[list[Path]] = []
    has_it, may_go = threading.Event(), threading.Event()

    def second() -> None:
        with checkpoints_in(folder):
            found.append(list(checkpoint_dir().iterdir()))
            has_it.set()
            may_go.wait(60)

    other = threading.Thread(target=second)
    other.start()
    shutil.rmtree(folder / "files")  # as the first does when it has succeeded, while it holds the lock
    (folder / "lock").unlink()
    os.close(lock)
    has_it.wait(60)
    remove_checkpoints(folder)

    assert found == [[]]
    assert folder.exists()
    may_go.set()
    other.join(60)


def test_outside_of_a_stage_there_is_none() -> None:
    with pytest.raises(LinealError, match="where no stage runs") as refused:
        lineal.checkpoint_dir()

    assert refused.value.hint is not None


def test_in_a_pipelines_function_there_is_none() -> None:
    @stage
    def train() -> int:
        return 1

    @pipeline
    def flow() -> int:
        lineal.checkpoint_dir()
        return train()

    with pytest.raises(LinealError, match="where no stage runs"):
        flow.trace({})
