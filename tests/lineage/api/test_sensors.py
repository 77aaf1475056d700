"""What schedules on events look at: data at a path, a ref, the runs of another pipeline."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lineal.api import open_project
from lineal.api.sensors import POLL_SECONDS, Data, Sensors, looker
from lineal.automation.schedule import Event


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lineal.toml").write_text('namespace = "dev"\nexecutor = "inline"')
    return tmp_path


def look(folder: Path, kind: Any, of: str) -> str:
    return looker(lambda: open_project(folder).configuration)(Event(kind, of))


# -- data -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["raw/*.csv", "raw", "raw/a.csv"])
def test_data_that_is_new_or_changed_or_gone_is_seen(folder: Path, pattern: str) -> None:
    seen = [look(folder, "path", pattern)]
    (folder / "raw").mkdir()
    file = folder / "raw" / "a.csv"
    file.write_text("1")
    seen.append(look(folder, "path", pattern))
    file.write_text("22")
    seen.append(look(folder, "path", pattern))
    os.utime(file, (1, 1))
    seen.append(look(folder, "path", pattern))
    file.unlink()
    seen.append(look(folder, "path", pattern))

    assert seen[0] == seen[4] == ""
    assert len(set(seen)) == 4


def test_another_file_and_another_name_are_seen_and_what_lies_beside_is_not(folder: Path) -> None:
    (folder / "raw").mkdir()
    (folder / "raw" / "a.csv").write_text("1")
    first = look(folder, "path", "raw/*.csv")
    assert look(folder, "path", "raw/*.csv") == first

    (folder / "raw" / "b.txt").write_text("1")
    assert look(folder, "path", "raw/*.csv") == first

    (folder / "raw" / "b.csv").write_text("1")
    assert look(folder, "path", "raw/*.csv") != first


def test_by_content_a_file_that_was_only_touched_is_the_same(folder: Path) -> None:
    (folder / "raw").mkdir()
    file = folder / "raw" / "a.csv"
    look = looker(lambda: open_project(folder).configuration)
    event = Event("path", "raw/*", by="content")
    assert look(event) == ""

    seen = []
    for text, at in (("1", 1), ("1", 2), ("2", 2), ("1", 3)):
        file.write_text(text)
        os.utime(file, (at, at))
        seen.append(look(event))

    assert seen[0] == seen[1] == seen[3]
    assert seen[2] not in ("", seen[0])


def test_content_is_read_only_where_the_listing_has_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.csv").write_text("1")
    look, event, read = (
        looker(lambda: open_project(folder).configuration),
        Event("path", "a.csv", by="content"),
        [],
    )
    monkeypatch.setattr(Data, "content", lambda data: str(read.append(data) or len(read)))

    assert [look(event) for _ in range(3)] == ["1", "1", "1"]
    (folder / "a.csv").write_text("22")
    assert look(event) == "2"


# -- what Lineal made -------------------------------------------------------------------------

PIPELINE = """
from lineal import pipeline, stage


@stage
def table(value: int) -> int:
    if value < 0:
        raise ValueError(value)
    return value


@pipeline
def features(value: int) -> int:
    return table(value)
"""


def test_the_success_of_another_pipeline_is_seen_each_time_and_its_failure_is_not(folder: Path) -> None:
    (folder / "flow_of_runs.py").write_text(PIPELINE)
    assert look(folder, "pipeline", "features") == ""

    seen = []
    for value in (1, 1, -1):
        open_project(folder).run("flow_of_runs.py", [f"value={value}"])
        seen.append(look(folder, "pipeline", "features"))

    assert len(set(seen)) == 2
    assert seen[1] == seen[2]


def test_a_ref_that_moves_is_seen(folder: Path) -> None:
    (folder / "flow_of_refs.py").write_text(PIPELINE)
    assert look(folder, "ref", "features.table@production") == ""

    seen = []
    for value in (1, 2):
        project = open_project(folder)
        project.run("flow_of_refs.py", [f"value={value}"])
        project.tag("production", "features.table@latest")
        seen.append(look(folder, "ref", "features.table@production"))

    assert all(text.startswith("sha256:") for text in seen)
    assert seen[0] != seen[1]


# -- from time to time ------------------------------------------------------------------------


class Places:
    """Places to be looked at, of which one does not answer."""

    def __init__(self) -> None:
        self.now, self.looked, self.problems = 0.0, list[str](), list[tuple[str, str]]()
        self.hangs = threading.Event()
        self.breaks = False
        self.sensors = Sensors(self.look, lambda *told: self.problems.append(told), lambda: self.now)

    def look(self, event: Event) -> str:
        self.looked.append(event.of)
        if event.of == "hangs":
            self.hangs.wait(60)
        if self.breaks:
            raise OSError("no route to host")
        return f"{event.of} {len(self.looked)}"

    def seen(self, name: str) -> str:
        """What is seen of it, as soon as that is there."""
        give_up = threading.Event()
        for _ in range(6000):
            if name in (seen := self.sensors.seen()):
                return seen[name]
            give_up.wait(0.01)
        raise AssertionError(f"{name} is never seen")


@pytest.fixture
def places() -> Iterator[Places]:
    places = Places()
    yield places
    places.hangs.set()
    places.sensors.close()


def test_a_place_that_does_not_answer_holds_up_no_other(places: Places) -> None:
    places.sensors.watch({"first": Event("path", "hangs"), "second": Event("path", "b")})

    assert places.seen("second").startswith("b")
    assert "first" not in places.sensors.seen()


def test_a_place_is_looked_at_again_after_a_while_and_not_before(places: Places) -> None:
    places.sensors.watch({"s": Event("path", "a")})
    assert places.seen("s") == "a 1"
    places.now += POLL_SECONDS - 1
    assert places.seen("s") == "a 1"
    assert places.looked == ["a"]

    places.now += 2
    while places.sensors.seen()["s"] == "a 1":
        places.hangs.wait(0.01)
    assert places.looked == ["a", "a"]


def test_what_cannot_be_looked_at_is_told_once_until_it_can(places: Places) -> None:
    places.breaks = True
    places.sensors.watch({"s": Event("path", "a")})
    for _ in range(3):
        places.sensors.seen()
        while len(places.looked) == 0 or places.sensors._looking:
            places.sensors.seen()
            places.hangs.wait(0.01)
        places.now += POLL_SECONDS + 1

    assert places.problems == [("s", "OSError: no route to host")]
    assert dict(places.sensors.seen()) == {}


def test_an_event_that_is_another_one_now_is_looked_at_anew(places: Places) -> None:
    places.sensors.watch({"s": Event("path", "a")})
    places.seen("s")

    places.sensors.watch({"s": Event("path", "b")})
    assert "s" not in places.sensors.seen()
    places.now += POLL_SECONDS + 1
    assert places.seen("s") == "b 2"
