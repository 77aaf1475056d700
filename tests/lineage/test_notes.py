"""Notes: whole or not at all, and nothing left beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lineal.notes import write_note


def test_a_note_takes_the_place_of_the_last_one_and_its_folder_is_made(tmp_path: Path) -> None:
    note = tmp_path / "deep" / "folder" / "note"

    write_note(note, b"first")
    write_note(note, b"second")

    assert note.read_bytes() == b"second"
    assert note.stat().st_mode & 0o777 == 0o600
    assert os.listdir(note.parent) == ["note"]


def test_a_note_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "note").mkdir()

    with pytest.raises(OSError):
        write_note(tmp_path / "note", b"data")

    assert os.listdir(tmp_path) == ["note"]
