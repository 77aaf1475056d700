"""What a memo rests on, and when that may be relied on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lineal.engine import memo
from lineal.engine.memo import (
    Grounds,
    Question,
    Unchanged,
    answer_again,
    foresee_again,
    identity_of,
    is_settled,
    keep_answer,
)
from lineal_store import open_store
from lineal_store.errors import StoreUnavailable

SECOND = 1_000_000_000
NOW = 1_790_000_000 * SECOND


def identity(changed_ns: int, modified_ns: int = 0) -> tuple[int, ...]:
    return 1, 2, 3, 4, modified_ns or changed_ns, changed_ns


@pytest.mark.parametrize(
    ("found", "settled"),
    [
        ((), True),
        (identity(NOW - SECOND + 1), True),
        (identity(NOW - 99_000_000), False),
        (identity(NOW - 101_000_000), True),
        (identity(NOW + 1), False),
        (identity(NOW - SECOND), False),  # whole seconds: it may be a file system that keeps no more
        (identity(NOW - 3 * SECOND), True),
        (identity(NOW - 3 * SECOND, NOW), False),
    ],
)
def test_what_changed_within_a_step_of_the_clock_is_not_settled(
    found: tuple[int, ...], settled: bool
) -> None:
    assert is_settled(found, NOW) == settled


def test_an_edit_that_restores_the_times_has_another_identity(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("a")
    before, status = identity_of(str(path)), path.stat()
    while True:  # until the kernel's clock has made a step
        path.write_text("b")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        if path.stat().st_ctime_ns != status.st_ctime_ns:
            break

    assert identity_of(str(path)) != before
    assert identity_of(str(tmp_path / "none")) == identity_of(str(path / "below")) == ()


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a memo of ``run flow``, which rests on its folder, a variable and a blob."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEPTH", "1")
    (tmp_path / "lineal.toml").touch()
    (tmp_path / ".lineal").mkdir()
    store = open_store(tmp_path / ".lineal" / "store")
    digest = store.blobs.put(b"a blob")
    blob = f"blobs/{digest.hex[:2]}/{digest.hex[2:]}"
    grounds = Grounds(
        {str(tmp_path): identity_of(str(tmp_path))}, {}, f"{store.url}/", {}, {blob: 6}, {"DEPTH": "1"}
    )
    question = Question.asked_here(["run", "flow"], str(tmp_path))
    document = {"state": "succeeded", "parameters": {"a": 1}}
    keep_answer(question, grounds, {"pipeline": "flow"}, document, stages=3, in_full=True)
    return tmp_path / ".lineal" / "store" / blob


def test_the_same_question_has_the_same_answer_and_another_run(kept: Path) -> None:
    first, second = answer_again(["run", "flow"]), answer_again(["run", "flow"])

    assert first is not None
    assert second is not None
    assert (first.pipeline, first.stages, first.run_id != second.run_id) == ("flow", 3, True)
    assert first.document is not None
    assert first.document["run_id"] == first.run_id
    assert set(open_store(".lineal/store").runs.newest_first()) == {first.run_id, second.run_id}


def test_what_would_run_is_known_from_the_run_and_leaves_none(kept: Path) -> None:
    assert foresee_again(["status", "flow", "--exit-code"]) == Unchanged("flow", {"a": 1}, 3)
    assert foresee_again(["status", "flow", "--params", "p.toml"]) is None
    assert foresee_again(["status", "flow", "a=1"]) is None
    assert not Path(".lineal/store/runs").exists()


def test_another_question_has_none(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer_again(["run", "flow", "a=1"]) is None
    monkeypatch.syspath_prepend("/elsewhere")
    assert answer_again(["run", "flow"]) is None


def test_what_is_not_as_it_was_takes_the_answer_away(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPTH", "2")
    assert answer_again(["run", "flow"]) is None
    monkeypatch.setenv("DEPTH", "1")
    assert answer_again(["run", "flow"]) is not None
    kept.chmod(0o644)
    kept.write_bytes(b"a blo")
    assert answer_again(["run", "flow"]) is None
    kept.write_bytes(b"a blob")
    assert answer_again(["run", "flow"]) is not None
    kept.unlink()
    kept.symlink_to(kept.parent)
    assert answer_again(["run", "flow"]) is None


def test_a_run_that_cannot_be_recorded_is_left_to_the_long_way(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreUnavailable("here", "the disk is full")

    monkeypatch.setattr("lineal_store.runs.Runs.finish", full)

    assert answer_again(["run", "flow"]) is None


@pytest.mark.parametrize("data", [b"", b"lineal", b"\0" * 100, memo._MAGIC, memo._MAGIC + b"x" * 40])
def test_whatever_lies_in_its_place_is_no_memo(kept: Path, data: bytes) -> None:
    for path in Path(".lineal/memos").iterdir():
        path.write_bytes(data)

    assert answer_again(["run", "flow"]) is None


def test_the_newest_memos_are_kept(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "_MOST_FILES", 2)
    grounds = Grounds({}, {}, "", {}, {}, {})
    for number in range(4):
        question = Question.asked_here(["run", str(number)], str(Path.cwd()))
        keep_answer(question, grounds, {}, {"parameters": {}}, stages=0, in_full=False)

    assert len(list(Path(".lineal/memos").iterdir())) == 2


def test_a_project_that_cannot_be_written_to_has_none(tmp_path: Path) -> None:
    (tmp_path / ".lineal").touch()

    question, document = Question((), "", (), str(tmp_path)), {"parameters": {}}
    keep_answer(question, Grounds({}, {}, "", {}, {}, {}), {}, document, stages=0, in_full=False)

    assert [path.name for path in tmp_path.iterdir()] == [".lineal"]
