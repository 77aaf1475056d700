"""A stage that is mapped over a list which is known only when the run has it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import Project

FAN = """
from datetime import date
from typing import NamedTuple

from journal import note
from lineal import Directory, File, Metrics, output, pipeline, stage, when


class Trained(NamedTuple):
    weights: dict[str, float]
    score: float


@stage
def days(number: int) -> list[date]:
    note("days")
    return [date(2024, 1, 1 + each) for each in range(number)]


@stage(retries=1, retry_delay=0)
def train(day: date, *, rate: float = 0.5) -> Trained:
    note(f"train {day.day}")
    if day.day == int(open(BAD).read()):
        raise ValueError("no data for that day")
    return Trained({"w": day.day * rate}, day.day / 10)


@stage
def rate(trained: Trained, more: float) -> float:
    note(f"rate {trained.score}")
    return trained.score + more


@stage
def best(scores: list[float], models: list[Trained]) -> Metrics:
    note("best")
    assert [model.score + 1 for model in models] == scores
    return {"best": max(scores, default=0.0), "models": len(models)}


@stage
def again(trained: Trained) -> float:
    return trained.weights["w"]


BAD = "bad.txt"


@pipeline
def fan(number: int = 3) -> tuple[Metrics, list[float]]:
    models = train.map(days(number))
    scores = rate.map(models, 1.0)
    with when(scores[0] >= 1.0):
        again(models[1])
    return best(scores, models), scores
"""


@pytest.fixture
def fan(project: Project) -> Project:
    project.keep_journal()
    project.write("fan.py", FAN)
    project.write("bad.txt", "0")
    project.variables |= {"LINEAL_EXECUTOR": "inline"}
    return project


def output_of(project: Project, digest: str) -> object:
    return json.loads(project.value(digest))


def test_each_item_is_a_stage_and_the_results_are_passed_on_whole_and_in_order(fan: Project) -> None:
    ended = fan.json("run")

    assert ended.code == 0, ended.err
    ids = ["days", *(f"{name}[{place}]" for name in ("train", "rate") for place in range(3)), "again", "best"]
    assert list(ended.stages) == ids
    assert set(ended.words("state").values()) == {"succeeded"}
    assert {stage["name"] for stage in ended.document["stages"]} == {"days", "train", "rate", "again", "best"}
    assert output_of(fan, ended.document["outputs"]["0"]) == {"best": 1.3, "models": 3}
    assert output_of(fan, ended.stages["again"]["outputs"]["result"]["digest"]) == 1.0


def test_what_is_mapped_over_the_results_of_another_begins_with_the_first_of_them(fan: Project) -> None:
    fan.json("run")

    noted = fan.journal()
    assert noted.index("rate 0.1") < noted.index("best")
    assert sorted(noted) == sorted(
        ["days", "train 1", "train 2", "train 3", "rate 0.1", "rate 0.2", "rate 0.3", "best"]
    )


def test_a_second_run_finds_everything_done_and_a_longer_list_runs_what_is_new_in_it(fan: Project) -> None:
    fan.json("run")
    fan.journal()

    assert set(fan.json("run").words("cache").values()) == {"hit"}
    assert fan.journal() == []
    longer = fan.json("run", "number=4")
    assert sorted(fan.journal()) == ["best", "days", "rate 0.4", "train 4"]
    assert longer.words("cache")["train[2]"] == "hit"


def test_until_the_list_is_there_a_mapped_stage_is_one_and_unknown(fan: Project) -> None:
    before = fan.json("status")

    assert before.words("cache") == {
        "days": "miss",
        "train": "unknown",
        "rate": "unknown",
        "again": "unknown",
        "best": "unknown",
    }


def test_status_of_a_known_list_tells_item_by_item(fan: Project) -> None:
    fan.json("run")
    fan.edit("fan.py", "day.day * rate", "day.day * rate + 0")

    told = fan.json("status").words("cache")

    assert {name: cache for name, cache in told.items() if name.startswith("train")} == {
        "train[0]": "miss",
        "train[1]": "miss",
        "train[2]": "miss",
    }
    assert told["rate[0]"] == "unknown"


def test_an_item_that_fails_stops_what_depends_on_it_and_is_tried_again_alone(fan: Project) -> None:
    fan.write("bad.txt", "2")
    failed = fan.json("run")

    assert failed.code == 1
    assert failed.words("state") == {
        "days": "succeeded",
        "train[0]": "succeeded",
        "train[1]": "failed",
        "train[2]": "succeeded",
        "rate[0]": "succeeded",
        "rate[1]": "upstream_failed",
        "rate[2]": "succeeded",
        "again": "upstream_failed",
        "best": "upstream_failed",
    }
    assert failed.stages["train[1]"]["attempts"] == 2
    fan.journal()
    fan.write("bad.txt", "0")
    assert fan.json("run").code == 0
    assert sorted(fan.journal()) == ["best", "rate 0.2", "train 2"]


def test_an_empty_list_maps_to_an_empty_list(fan: Project) -> None:
    fan.edit("fan.py", "with when(scores[0] >= 1.0):\n        again(models[1])", "pass")

    ended = fan.json("run", "number=0")

    assert ended.code == 0, ended.err
    assert ended.words("state") == dict.fromkeys(["days", "train", "rate", "best"], "succeeded")
    assert output_of(fan, ended.document["outputs"]["0"]) == {"best": 0.0, "models": 0}


def test_an_item_that_is_not_there_fails_what_asks_for_it_with_how_many_there_are(fan: Project) -> None:
    ended = fan.json("run", "number=1")

    assert ended.stages["again"]["error"]["kind"] == "contract"
    assert "train" in ended.stages["again"]["error"]["message"]
    assert "1 item" in ended.stages["again"]["error"]["hint"]


def test_force_names_one_item_or_all(fan: Project) -> None:
    fan.json("run")
    fan.journal()

    fan.json("run", "--force", "train[1]")
    assert fan.journal() == ["train 2"]
    fan.json("run", "--force", "train")
    assert sorted(fan.journal()) == ["train 1", "train 2", "train 3"]


def test_who_forces_an_item_that_the_list_does_not_have_is_told(fan: Project) -> None:
    fan.json("run")

    told = fan.json("run", "--force", "train[9]").document["warnings"]

    assert [text for text in told if "--force" in text] == [
        "--force train[9] names nothing: train has 3 items"
    ]


def test_trace_leads_from_the_end_through_list_and_items_to_the_list_that_was_mapped_over(
    fan: Project,
) -> None:
    fan.json("run")

    traced = fan.json("trace", "fan.best@latest").document

    names = {node["name"] for node in traced["nodes"] if node["kind"] == "action"}
    assert names == {"best", "rate", "train", "days"} | {
        f"{name}[{place}]" for name in ("rate", "train") for place in range(3)
    }
    item = next(node for node in traced["nodes"] if node["name"] == "train[1]")
    assert item["parameters"] == {"day": "2024-01-02", "rate": 0.5}
    days = next(node for node in traced["nodes"] if node["name"] == "days" and node["kind"] == "artifact")
    assert [item["id"], days["id"]] in traced["edges"]


def test_impact_of_the_list_reaches_what_was_made_of_its_items(fan: Project) -> None:
    ended = fan.json("run")

    found = fan.json("impact", ended.stages["days"]["outputs"]["result"]["digest"]).document

    assert {"train[0]", "rate[2]", "best"} <= {node["name"] for node in found["nodes"]}


def test_the_list_is_an_artifact_with_an_address(fan: Project) -> None:
    ended = fan.json("run")

    assert fan.json("show", "fan.rate@latest").document["preview"]["names"] == [
        f"0000000{place}.result.json" for place in range(3)
    ]
    assert fan.json("show", "fan.rate@latest").document["digest"] == ended.document["outputs"]["1"]
    got = fan.json("get", "fan.train@latest", "-o", "models")
    assert got.code == 0, got.err
    assert json.loads((fan.root / "models/00000001.weights.json").read_text()) == {"w": 1.0}
    assert fan.json("show", "fan.train[2].score@latest").document["preview"]["value"] == 0.3


def test_runs_and_reports_tell_of_items_and_not_of_the_list(fan: Project) -> None:
    ended = fan.json("run")

    (run,) = fan.json("runs").document["runs"]
    assert run["counts"] == {"succeeded": 9}
    shown = fan.json("show", ended.document["run_id"]).document
    assert len(shown["stages"]) == 9
    assert fan.json("store", "verify").document["bad"] == []


def test_why_of_a_mapped_stage_explains_its_items(fan: Project) -> None:
    fan.json("run")
    fan.edit("fan.py", "rate: float = 0.5", "rate: float = 0.25")

    told = fan.json("why", "fan.py", "train").document["stages"]

    assert [one["stage"] for one in told] == ["train[0]", "train[1]", "train[2]"]
    assert {change["name"] for one in told for change in one["changes"]} >= {"rate"}
    past = fan.json("why", fan.json("run").document["run_id"], "train").document["stages"]
    assert [one["stage"] for one in past] == ["train[0]", "train[1]", "train[2]"]


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_list_whose_bytes_were_lost_is_put_together_again(fan: Project, *, is_damaged: bool) -> None:
    ended = fan.json("run")
    listed = fan.json("show", "fan.train@latest").document["digest"].removeprefix("sha256:")
    held = fan.store / "blobs" / listed[:2] / listed[2:]
    size = held.stat().st_size
    held.unlink()
    if is_damaged:
        held.write_bytes(b"x" * size)
    fan.edit("fan.py", 'note("best")', 'note("best!")')

    healed = fan.json("run")

    assert healed.code == 0, healed.err
    assert healed.document["outputs"] == ended.document["outputs"]


def test_an_item_whose_bytes_were_lost_is_made_again_alone(fan: Project) -> None:
    ended = fan.json("run")
    fan.journal()
    weights = ended.stages["train[1]"]["outputs"]["weights"]["digest"].removeprefix("sha256:")
    (fan.store / "blobs" / weights[:2] / weights[2:]).unlink()
    fan.edit("fan.py", 'note("best")', 'note("best!")')

    healed = fan.json("run")

    assert healed.code == 0, healed.err
    assert sorted(fan.journal()) == ["best!", "train 2"]


def test_files_and_folders_can_be_mapped_over_and_returned(project: Project) -> None:
    project.write("a.csv", "1")
    project.write("b.csv", "2")
    project.write(
        "flow.py",
        """
        from lineal import Directory, File, output, pipeline, stage


        @stage
        def double(source: File) -> File:
            target = output("doubled.csv")
            target.write_text(source.path.read_text() * 2)
            return File(target)


        @stage
        def unpack(source: File) -> Directory:
            folder = output("unpacked")
            folder.mkdir()
            if source.path.read_text() != "11":
                (folder / "part.txt").write_text(source.path.read_text())
            return Directory(folder)


        @stage
        def join(files: list[File], folders: list[Directory]) -> str:
            names = [[path.name for path in folder.path.iterdir()] for folder in folders]
            return f"{[one.path.read_text() for one in files]} {files[0].path.suffix} {names}"


        @pipeline
        def flow() -> str:
            files = double.map([File("a.csv"), File("b.csv")])
            return join(files, unpack.map(files))
        """,
    )

    ended = project.json("run")

    assert ended.code == 0, ended.err
    joined = json.loads(project.value(ended.document["outputs"]["result"]))
    assert joined == "['11', '22'] .csv [[], ['part.txt']]"


def test_what_is_no_list_fails_the_mapped_stage_and_says_so(project: Project) -> None:
    project.write(
        "flow.py",
        """
        from lineal import pipeline, stage


        @stage
        def load():
            return {"a": 1}


        @stage
        def score(item: int) -> int:
            return item


        @pipeline
        def flow():
            return score.map(load())
        """,
    )

    ended = project.json("run", LINEAL_EXECUTOR="inline")

    assert ended.code == 1
    assert ended.words("state") == {"load": "succeeded", "score": "failed"}
    assert ended.stages["score"]["error"]["message"] == "score is mapped over item, which is a dict"


def test_an_item_of_the_wrong_type_fails_alone(project: Project) -> None:
    project.write(
        "flow.py",
        """
        from lineal import pipeline, stage


        @stage
        def load() -> list[int | str]:
            return [1, "two"]


        @stage
        def score(item: int) -> int:
            return item


        @pipeline
        def flow():
            return score.map(load())
        """,
    )

    ended = project.json("run", LINEAL_EXECUTOR="inline")

    assert ended.words("state") == {"load": "succeeded", "score[0]": "succeeded", "score[1]": "failed"}
    assert "takes item as int, not str" in ended.stages["score[1]"]["error"]["message"]


def test_a_thousand_items_run_and_are_found_again(project: Project) -> None:
    project.write(
        "flow.py",
        """
        from lineal import pipeline, stage


        @stage
        def numbers(count: int) -> list[int]:
            return list(range(count))


        @stage
        def square(number: int) -> int:
            return number * number


        @stage
        def total(squares: list[int]) -> int:
            return sum(squares)


        @pipeline
        def flow(count: int = 1000) -> int:
            return total(square.map(numbers(count)))
        """,
    )

    first = project.json("run", LINEAL_EXECUTOR="inline")
    again = project.json("run", LINEAL_EXECUTOR="inline")

    assert first.code == 0, first.err
    assert json.loads(project.value(first.document["outputs"]["result"])) == 332_833_500
    assert set(again.words("cache").values()) == {"hit"}
    assert len(again.stages) == 1002


def test_a_mapped_effect_runs_once_for_each_item_however_the_list_is_ordered(project: Project) -> None:
    project.keep_journal()
    project.write(
        "flow.py",
        """
        from journal import note
        from lineal import pipeline, stage


        @stage(effect=True)
        def deploy(target: str) -> str:
            note(target)
            return target


        @pipeline
        def flow(targets: list[str] = ["a", "b"]):
            deploy.map(targets)
        """,
    )
    project.json("run", LINEAL_EXECUTOR="inline")
    assert project.journal() == ["a", "b"]

    turned = project.json("run", 'targets=["b", "a"]', LINEAL_EXECUTOR="inline")

    assert project.journal() == []
    assert turned.words("cache") == {"deploy[0]": "hit", "deploy[1]": "hit"}


PAIRS = """
from typing import NamedTuple

from lineal import pipeline, stage, when


class Pair(NamedTuple):
    low: int
    high: int


@stage
def pair(number: int) -> Pair:
    return Pair(number, number + 10)


@stage
def around(number: int) -> list[int]:
    return [number - 1, number, number]


@stage
def square(number: int) -> int:
    return number * number


@stage
def show(pair: Pair | None = None) -> str:
    return repr(pair)


@stage
def show_number(number: float) -> str:
    return repr(number)


@pipeline
def flow(wanted: bool = False):
    RETURNED
"""


def test_an_item_that_is_a_list_can_be_mapped_over(project: Project) -> None:
    project.write(
        "flow.py", PAIRS.replace("RETURNED", "return square.map(around.map([1, 5])[-1]), square.map([2, 3])")
    )

    ended = project.json("run", LINEAL_EXECUTOR="inline")

    assert ended.code == 0, ended.err
    squares = [f"square[{place}]" for place in range(3)]
    assert [project.value(ended.stages[one]["outputs"]["result"]["digest"]) for one in squares] == [
        b"16",
        b"25",
        b"25",
    ]


def test_status_tells_that_equal_items_would_run(project: Project) -> None:
    project.write("flow.py", PAIRS.replace("RETURNED", "return square.map([2, 2, 3])"))

    told = project.json("status").words("cache")

    assert told == {"square[0]": "miss", "square[1]": "miss", "square[2]": "miss"}


def test_one_item_of_a_skipped_list_is_skipped_too(project: Project) -> None:
    project.write(
        "flow.py",
        PAIRS.replace(
            "RETURNED",
            "with when(square(int(wanted)) > 0):\n        pairs = pair.map([1])\n    return show(pairs[0])",
        ),
    )

    ended = project.json("run", LINEAL_EXECUTOR="inline")

    assert ended.code == 0, ended.err
    assert ended.words("state") == {"square": "succeeded", "pair": "skipped", "show": "succeeded"}
    assert project.value(ended.document["outputs"]["result"]) == b'"None"'


def test_an_output_that_an_item_does_not_have_fails_what_asks_for_it(project: Project) -> None:
    project.write("flow.py", PAIRS.replace("RETURNED", "return show_number(pair.map([1])[0][-3])"))

    ended = project.json("run", LINEAL_EXECUTOR="inline")

    assert ended.words("state") == {"pair[0]": "succeeded", "show_number": "failed"}
    assert ended.stages["show_number"]["error"]["hint"] == "It has low, high."


def test_a_list_of_constants_is_found_again_without_importing_the_project(project: Project) -> None:
    project.keep_journal()
    pairs = PAIRS.replace("RETURNED", "return square.map([2, 3])")
    project.write("flow.py", f"from journal import note\n{pairs}\nnote('imported')\n")
    project.json("run", LINEAL_EXECUTOR="inline")
    project.journal()

    again = project.json("run", LINEAL_EXECUTOR="inline")

    assert again.words("cache") == {"square[0]": "hit", "square[1]": "hit"}
    assert project.journal() == []


def test_trace_of_a_list_leads_to_what_was_in_it_and_not_to_what_its_items_were_later(
    project: Project,
) -> None:
    project.write("flow.py", PAIRS.replace("RETURNED", "return square.map([2, 3])"))
    project.edit("flow.py", "number * number", "number + len(open('grows.txt').read())")
    project.write("grows.txt", "..")
    first = project.json("run", LINEAL_EXECUTOR="inline")
    project.write("grows.txt", "...")
    later = project.json("run", "--force", "square[1]", LINEAL_EXECUTOR="inline")

    traced = [
        project.json("trace", one.document["outputs"]["result"]).document["nodes"] for one in (first, later)
    ]

    made = [one.stages["square[1]"]["outputs"]["result"]["digest"] for one in (first, later)]
    assert made[0] != made[1]
    assert [[digest in {node["id"] for node in nodes} for digest in made] for nodes in traced] == [
        [True, False],
        [False, True],
    ]


LOADED = """
from lineal import Directory, output
from flow import *


@stage
def fill(number: int) -> Directory:
    folder = output("folder")
    folder.mkdir()
    (folder / "part.txt").touch()
    return Directory(folder)


@pipeline
def folders() -> tuple[list[Pair], list[Directory]]:
    return pair.map([1]), fill.map([1])


if __name__ == "__main__":
    run = folders.run()
    print(run.load("0"))
    try:
        run.load("1")
    except Exception as error:
        print(type(error).__name__, error.hint)
"""


def test_a_list_is_loaded_and_one_of_folders_says_how_to_get_it(project: Project) -> None:
    project.write("flow.py", PAIRS.replace("RETURNED", "return 1"))
    project.write("loaded.py", LOADED)

    ran = subprocess.run(
        [sys.executable, "loaded.py"],
        check=True,
        cwd=project.root,
        env=project.environment({"LINEAL_EXECUTOR": "inline"}),
        capture_output=True,
        text=True,
    )

    loaded, refused = ran.stdout.splitlines()
    assert loaded == "[Pair(low=1, high=11)]"
    assert refused.startswith("NotFound `lineal get sha256:")


def test_a_folder_that_is_lost_upstream_is_made_again_before_it_is_listed(
    project: Project, tmp_path: Path
) -> None:
    project.write("flow.py", PAIRS.replace("RETURNED", "return 1"))
    project.write("loaded.py", LOADED)
    made = project.json("run", "loaded.py:folders", LINEAL_EXECUTOR="inline")
    assert project.json("store", "push", "--to", str(tmp_path / "team")).code == 0
    lost = made.stages["fill[0]"]["outputs"]["result"]["digest"].removeprefix("sha256:")
    (tmp_path / "team" / "blobs" / lost[:2] / lost[2:]).unlink()
    project.variables |= {"LINEAL_STORE": str(tmp_path / "own"), "LINEAL_UPSTREAM": str(tmp_path / "team")}

    healed = project.json("run", "loaded.py:folders", LINEAL_EXECUTOR="inline")

    assert healed.code == 0, healed.err
    assert healed.words("cache") == {"pair[0]": "hit", "fill[0]": "miss"}
    assert healed.document["outputs"] == made.document["outputs"]
