"""``lineal why``: every miss explained, every hit accounted for, today and for any run of the past."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from support import Ended, Project

FLOW = """
from typing import Annotated

import pyarrow as pa
from lineal import Directory, File, Schema, field, pipeline, stage, when

from features.text import normalise


class Flights(Schema):
    carrier: str
    dep_delay: Annotated[float, field(ge=-100)]


@stage(env=["THREADS", "API_TOKEN"])
def ingest(source: File, more: Directory) -> pa.Table:
    header, *rows = [line.split(",") for line in source.open().read().decode().split()]
    delays = pa.array([float(row[1]) for row in rows]).cast("float64")
    return pa.table({"carrier": [row[0] for row in rows], "dep_delay": delays})


@stage
def featurize(flights: pa.Table, limit: int = 3) -> Annotated[pa.Table, Flights]:
    return flights.set_column(0, "carrier", [normalise(flights["carrier"].to_pylist())])


@stage
def train(table: pa.Table, rate: float, grid: dict[str, int]) -> dict[str, float]:
    if rate < 0:
        raise ValueError("the rate is negative\\nand that is no rate")
    return {"auc": sum(table["dep_delay"].to_pylist()) * rate}


@stage(effect=True)
def deploy(metrics: dict[str, float], to: str) -> str:
    return to


@stage(cache=False)
def notify(metrics: dict[str, float]) -> int:
    return 1


@stage
def after(count: int) -> int:
    return count


@pipeline
def flights(rate: float = 0.1, depth: int = 3, to: str = "production") -> dict[str, float]:
    metrics = train(featurize(ingest(File("raw.csv"), Directory("more"))), rate, {"depth": depth})
    deploy(metrics, to)
    with when(metrics["auc"] > 1000):
        count = notify(metrics)
    after(count)
    return metrics
"""

TEXT = """
LIMIT = 2


def normalise(codes):
    return [clean_carrier(code) for code in codes]


def clean_carrier(code):
    return code.strip()[:LIMIT]


def unrelated():
    return 1
"""


@pytest.fixture(scope="module")
def that_ran(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("why") / "project"
    root.mkdir()
    project = Project(root)
    project.write("lineal.toml", "")
    project.write("flow.py", FLOW)
    project.write("features/__init__.py", "")
    project.write("features/text.py", TEXT)
    project.write("raw.csv", "carrier,dep_delay\nAA,1\nUA,2\n")
    project.write("more/a.txt", "a\n")
    project.write("more/b.txt", "b\n")
    ended = project.json("run")
    assert ended.code == 0, ended.err
    return project


@pytest.fixture
def flow(that_ran: Project, tmp_path: Path) -> Project:
    return that_ran.copied(tmp_path / "project")


def why(project: Project, *arguments: str, **variables: str) -> dict[str, dict[str, Any]]:
    ended = project.json("why", *arguments, **variables)
    assert ended.code == 0, ended.err
    return {stage["stage"]: stage for stage in ended.document["stages"]}


def titles(stage: dict[str, Any], kind: str | None = None) -> list[str]:
    return [change["title"] for change in stage["changes"] if kind in (None, change["kind"])]


def text(ended: Ended) -> str:
    assert ended.code == 0, ended.err
    return ended.out


def run_id(project: Project) -> str:
    """The newest run's."""
    return max(path.name for path in (project.store / "runs").rglob("2*-*") if path.is_file()).removesuffix(
        ".begun"
    )


def result_of(project: Project, stage: str) -> tuple[str, str]:
    """The code tree and the manifest of the newest result of a stage, as paths in the store."""
    from lineal.graph.records import ActionResult, unseal_record
    from lineal_store import open_store

    filed = open_store(project.store, create=False).actions.list()
    results = [unseal_record(each.data, ActionResult) for each in filed]
    result = max((one for one in results if one.stage_id == stage), key=lambda one: one.started_at)
    return result.code_tree, result.manifest


def lose(project: Project, digest: str) -> None:
    hexadecimal = digest.removeprefix("sha256:")
    (project.store / "blobs" / hexadecimal[:2] / hexadecimal[2:]).unlink()


# -- code -------------------------------------------------------------------------------------


def test_the_unit_that_changed_is_named_with_its_callers_and_its_diff(flow: Project) -> None:
    flow.edit("features/text.py", "code.strip()", "code.strip().upper()")

    featurize = why(flow)["featurize"]
    shown = text(flow.command("why", "featurize"))

    (change,) = featurize["changes"]
    assert (featurize["cache"], featurize["reason"], featurize["nearest"] is not None) == (
        "miss",
        "code",
        True,
    )
    assert (change["kind"], change["name"]) == ("code", "features.text:clean_carrier")
    assert (change["file"], change["line"]) == ("features/text.py", 9)
    assert "-    return code.strip()[:LIMIT]\n+    return code.strip().upper()[:LIMIT]\n" in change["diff"]
    assert (
        "`clean_carrier()` in features/text.py, called by `featurize` through `normalise`, changed:\n"
        in shown
    )
    assert "+    return code.strip().upper()[:LIMIT]" in shown


def test_what_only_moved_is_no_difference(flow: Project) -> None:
    flow.edit("features/text.py", "LIMIT = 2", "# a comment\n\n\n\nLIMIT = 3")

    assert titles(why(flow)["featurize"]) == [
        "`LIMIT` in features/text.py, used by `featurize` through `normalise` and `clean_carrier`, changed"
    ]


def test_without_the_earlier_source_the_difference_is_still_told(flow: Project) -> None:
    flow.edit("features/text.py", "code.strip()", "code")
    tree, manifest = result_of(flow, "featurize")

    lose(flow, tree)
    (change,) = why(flow)["featurize"]["changes"]
    assert change["title"].endswith("changed")
    assert change["diff"] is None

    lose(flow, manifest)
    (change,) = why(flow)["featurize"]["changes"]
    assert (change["name"], change["title"]) == ("fingerprint", "the code changed")
    assert "would run: code changed" in text(flow.command("why", "featurize"))


def test_code_outside_the_project_is_named_though_no_copy_of_it_is_kept(flow: Project) -> None:
    outside = flow.root.parent / "outside"
    outside.mkdir()
    (outside / "ours.py").write_text("def shorten(code):\n    return code[:2]\n")
    flow.edit("features/text.py", "return code.strip()[:LIMIT]", "return ours.shorten(code)")
    flow.edit("features/text.py", "LIMIT = 2", "import ours")
    assert flow.json("run", PYTHONPATH=str(outside)).code == 0
    (outside / "ours.py").write_text("def shorten(code):\n    return code[:3]\n")

    (change,) = why(flow, PYTHONPATH=str(outside))["featurize"]["changes"]

    assert (change["name"], change["diff"]) == ("ours:shorten", None)
    assert change["details"] == ["its earlier source is not in the store"]


# -- inputs, parameters, environment ----------------------------------------------------------


def test_of_a_source_the_first_value_that_differs_is_told(flow: Project) -> None:
    flow.write("raw.csv", "carrier,dep_delay\nAA,1\nUA,2.5\n")
    flow.write("more/a.txt", "changed\n")
    flow.write("more/c.txt", "new\n")

    assert titles(why(flow)["ingest"]) == [
        "input `more`, read from more, changed: a.txt changed, c.txt is new",
        "input `source`, read from raw.csv, changed: line 3, `dep_delay`: 2 → 2.5, 28 B → 30 B",
    ]


def test_of_a_source_with_another_header_the_columns_are_told(flow: Project) -> None:
    flow.write("raw.csv", "carrier,dep_delay,origin\nAA,1,JFK\nUA,2,JFK\n")

    assert "column `origin` is new" in titles(why(flow)["ingest"])[0]


def test_of_a_table_columns_types_and_rows_are_told(flow: Project) -> None:
    flow.edit("flow.py", '.cast("float64")', '.cast("int32")')
    flow.write("raw.csv", "carrier,dep_delay\nAA,1\nUA,2\nDL,3\n")
    flow.edit("flow.py", "dep_delay: Annotated[float, field(ge=-100)]", "dep_delay: int")
    assert flow.json("run").code == 0

    told = why(flow, run_id(flow))["featurize"]

    assert any(
        "input `flights`, made by `ingest`, changed: column `dep_delay`: double → int32, rows 2 → 3" in title
        for title in titles(told, "input")
    )
    assert "rows 2 → 3" in text(flow.command("why", run_id(flow), "featurize"))


def test_a_contract_is_told_by_its_field(flow: Project) -> None:
    flow.edit("flow.py", "field(ge=-100)", "field(ge=-50)")

    schema = next(change for change in why(flow)["featurize"]["changes"] if change["kind"] == "schema")

    assert schema["title"] == "the contract `Flights` of the result changed"
    assert schema["details"] == [
        "`dep_delay`: Annotated[float, field(ge=-100)] → Annotated[float, field(ge=-50)]"
    ]


def test_parameters_are_told_as_they_are_written(flow: Project) -> None:
    train = why(flow, "train", "rate=0.2", "depth=4")["train"]

    assert titles(train) == ['parameter grid["depth"]: 3 → 4', "parameter rate: 0.1 → 0.2"]
    assert [(one["before"], one["after"]) for one in train["changes"]] == [
        ({"depth": 3}, {"depth": 4}),
        (0.1, 0.2),
    ]
    assert "parameter rate: 0.1 → 0.2" in text(flow.command("why", "train", "rate=0.2"))


def test_declared_variables_are_told_and_secrets_are_not(flow: Project) -> None:
    told = flow.json("why", "ingest", THREADS="2", API_TOKEN="hush")

    stages = told.document["stages"]
    assert titles(stages[0]) == [
        "environment variable API_TOKEN is set now: ***",
        "environment variable THREADS is set now: 2",
    ]
    assert [(one["name"], one["after"]) for one in stages[0]["changes"]] == [
        ("API_TOKEN", "***"),
        ("THREADS", "2"),
    ]
    assert "hush" not in told.out


def test_versions_of_distributions_are_told(flow: Project) -> None:
    site = flow.root.parent / "site"
    for version in ("1.0", "1.1"):
        shutil.rmtree(site, ignore_errors=True)
        info = site / f"acme-{version}.dist-info"
        info.mkdir(parents=True)
        (site / "acme.py").write_text("def f(): return 1\n")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme\nVersion: {version}\n")
        (info / "RECORD").write_text(f"acme.py,,\nacme-{version}.dist-info/METADATA,,\n")
        if version == "1.0":
            flow.edit("features/text.py", "LIMIT = 2", "import acme\nLIMIT = 1 + acme.f()")
            assert flow.json("run", PYTHONPATH=str(site)).code == 0

    featurize = why(flow, PYTHONPATH=str(site))["featurize"]

    assert featurize["reason"] == "environment"
    assert [(one["kind"], one["name"], one["before"], one["after"]) for one in featurize["changes"]] == [
        ("environment", "acme", "1.0", "1.1")
    ]
    assert "acme 1.0 → 1.1" in text(flow.command("why", "featurize", PYTHONPATH=str(site)))


# -- what is no miss --------------------------------------------------------------------------


def test_a_hit_tells_what_it_matches(flow: Project) -> None:
    stage = why(flow, "train")["train"]
    shown = text(flow.command("why", "train"))

    assert (stage["cache"], stage["changes"]) == ("hit", [])
    assert stage["nearest"] == stage["compared_with"]["action_key"]
    assert stage["compared_with"]["run_id"] == run_id(flow)
    assert shown.startswith("train is a hit: made ")
    assert f"by run {run_id(flow)}" in shown
    assert stage["nearest"][:17] in shown
    assert "rate=0.1" in shown
    assert len(shown.splitlines()) <= 2


def test_where_everything_is_a_hit_nothing_is_listed(flow: Project) -> None:
    ended = flow.json("why")

    assert (ended.document["stages"], ended.document["unchanged"]) == ([], 4)
    assert text(flow.command("why")) == "nothing would run: 4 stages unchanged\n"


def test_what_waits_names_what_decides_and_what_of_its_own_changed(flow: Project) -> None:
    flow.edit("features/text.py", "code.strip()", "code")
    flow.edit("flow.py", "* rate}", "* rate * 2}")

    told = why(flow)
    shown = text(flow.command("why", "train"))

    assert (told["train"]["cache"], told["train"]["reason"]) == ("unknown", "upstream")
    assert told["train"]["decided_by"] == [{"stage": "featurize", "cache": "miss", "reason": "code"}]
    assert titles(told["train"]) == ["`train()` in flow.py, the stage itself, changed"]
    assert told["deploy"]["changes"] == []
    assert shown.startswith("train may run: `featurize` decides, which has to run first (code changed)\n")
    assert "it runs only if train['auc'] > 1000" in text(flow.command("why", "notify"))


def test_what_is_skipped_says_for_which_condition(flow: Project) -> None:
    told = {name: text(flow.command("why", name)) for name in ("notify", "after")}

    assert told["notify"] == "notify is skipped: its condition is false\n  not so: train['auc'] > 1000\n"
    assert told["after"] == (
        "after is skipped: what it needs was skipped\n  `notify`, whose result it needs, is skipped\n"
    )
    assert "what it needs was skipped" in text(flow.command("status", "rate=0.1", "to=x"))


def test_an_effect_that_has_to_take_place_again_says_why(flow: Project) -> None:
    assert flow.json("run", "rate=0.2").code == 0

    shown = text(flow.command("why", "deploy"))
    status = text(flow.command("status"))

    assert shown.startswith("deploy would run: no earlier result counts\n")
    assert f"run {run_id(flow)} put something else into effect since" in shown
    assert "never cached" not in shown + status


def test_a_result_that_was_lost_says_which_bytes(flow: Project) -> None:
    lose(flow, str(flow.json("status").stages["train"]["outputs"]["result"]["digest"]))

    stage = why(flow)["train"]

    assert (stage["cache"], stage["reason"]) == ("miss", "lost")
    assert stage["notes"][0].startswith("its output `result` (sha256:")
    assert stage["notes"][0].endswith("is not in the store any more")


def test_a_stage_that_never_ran_has_nothing_to_be_compared_with(flow: Project) -> None:
    flow.edit(
        "flow.py",
        "    deploy(metrics, to)\n",
        "    deploy(metrics, to)\n    after.options(name='other')(1)\n",
    )

    stage = why(flow)["other"]

    assert (stage["reason"], stage["nearest"], stage["changes"]) == ("new", None, [])


def test_a_source_that_is_missing_is_told_as_the_reason(flow: Project) -> None:
    (flow.root / "raw.csv").unlink()

    told = why(flow)
    shown = text(flow.command("why"))

    assert told["ingest"]["state"] == "failed"
    assert "ingest cannot run: it failed: SourceUnavailable: cannot read raw.csv: no such file" in shown
    assert "`ingest` failed" in shown


def test_an_unknown_stage_is_a_usage_error(flow: Project) -> None:
    ended = flow.json("why", "trian")

    assert ended.code == 2
    assert "Did you mean train?" in str(ended.error["hint"])


# -- runs of the past -------------------------------------------------------------------------


def test_a_run_of_the_past_is_explained_by_what_was_there_before_it(flow: Project) -> None:
    flow.edit("features/text.py", "code.strip()", "code.strip().upper()")
    flow.write("raw.csv", "carrier,dep_delay\naa,1\nua,2\n")
    assert flow.json("run", "rate=0.3").code == 0
    then = run_id(flow)
    flow.edit("features/text.py", "LIMIT = 2", "LIMIT = 1")
    assert flow.json("run", "rate=0.4").code == 0

    told = why(flow, then)
    shown = text(flow.command("why", then, "featurize"))

    assert titles(told["ingest"])[0].startswith(
        "input `source`, read from raw.csv, changed: line 2, `carrier`: AA → aa"
    )
    assert told["featurize"]["reason"] == "code"
    assert "clean_carrier" in titles(told["featurize"])[0]
    assert "+    return code.strip().upper()[:LIMIT]" in told["featurize"]["changes"][0]["diff"]
    assert titles(told["train"], "parameter") == ["parameter rate: 0.1 → 0.3"]
    assert shown.startswith("featurize ran: code changed\n")
    assert "LIMIT = 1" not in shown


def test_a_failed_stage_of_the_past_is_explained_as_far_as_it_is_on_record(flow: Project) -> None:
    flow.edit("features/text.py", "code.strip()", "'x' + code")
    flow.edit("flow.py", "if rate < 0:", "if rate <= 0:")
    assert flow.json("run", "rate=-1").code == 1
    failed = run_id(flow)

    told = why(flow, failed)
    shown = text(flow.command("why", failed))

    assert told["train"]["state"] == "failed"
    assert titles(told["train"], "code") == ["`train()` in flow.py, the stage itself, changed"]
    assert titles(told["train"], "parameter") == ["the run's parameter rate: 0.1 → -1.0"]
    assert "column `carrier`: 2 of 2 values differ, first in row 0: AA → xA" in str(told["train"]["changes"])
    assert "train ran: code changed; it failed: ValueError: the rate is negative …" in shown
    assert "did not run: `train` failed" in shown
    now = why(flow, "train", "rate=-1")["train"]
    assert now["failed_before"]["run_id"] == failed
    assert f"the same failed {now['failed_before']['at'][:4]}" in text(
        flow.command("why", "train", "rate=-1")
    )


def test_a_hit_of_the_past_tells_what_it_matched(flow: Project) -> None:
    first = run_id(flow)
    assert flow.json("run").code == 0

    stage = why(flow, run_id(flow), "train")["train"]

    assert (stage["cache"], stage["compared_with"]["run_id"]) == ("hit", first)
    assert text(flow.command("why", run_id(flow))).startswith("notify was skipped")


def test_a_run_or_a_stage_that_there_is_not_is_told(flow: Project) -> None:
    nowhere = flow.json("why", "20200101-000000-abcdef")
    stage = flow.json("why", run_id(flow), "trian")
    parameters = flow.json("why", run_id(flow), "rate=1")

    assert (nowhere.code, nowhere.error["message"]) == (1, "there is no run 20200101-000000-abcdef")
    assert (stage.code, stage.error["message"]) == (
        1,
        f"run {run_id(flow)} has no stage trian; did you mean train?",
    )
    assert (parameters.code, parameters.error["kind"]) == (2, "usage")


def test_asking_changes_nothing_in_the_store(flow: Project) -> None:
    flow.edit("features/text.py", "code.strip()", "code")
    flow.write("raw.csv", "carrier,dep_delay\nAA,9\n")
    before = sorted(str(path) for path in flow.store.rglob("*"))

    why(flow)
    why(flow, run_id(flow))

    assert sorted(str(path) for path in flow.store.rglob("*")) == before
