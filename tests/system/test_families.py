"""Descent where it is not simple: through directories, copies, results made anew, failures and namespaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import Project

FLOW = """
from typing import NamedTuple

from lineal import Directory, File, Metrics, output, pipeline, stage


class Trained(NamedTuple):
    model: bytes
    metrics: Metrics


@stage
def ingest(source: File) -> list[int]:
    return [int(word) for word in source.open().read().split()]


@stage(name="fit")
def train(rows: list[int], rate: float) -> Trained:
    return Trained(repr((rows, rate)).encode(), {"auc": 0.5 + rate})


@stage
def bundle(model: bytes, notes: Directory) -> Directory:
    folder = output("bundle")
    folder.mkdir()
    (folder / "model.txt").write_bytes(b"bundled " + model)
    (folder / "notes.txt").write_text("".join(path.read_text() for path in notes.files()))
    return Directory(folder)


@stage(effect=True)
def deploy(model: bytes, target: str) -> int:
    with open(target, "wb") as file:
        file.write(model)
    return len(model)


@pipeline
def flow(target: str, rate: float = 0.1) -> Trained:
    trained = train(ingest(File("raw/numbers.txt")), rate)
    bundle(trained.model, Directory("notes"))
    deploy(trained.model, target)
    return trained
"""


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pipeline leaves its model, outside the project."""
    return tmp_path_factory.mktemp("production") / "model.bin"


@pytest.fixture(scope="module")
def flow_that_ran(tmp_path_factory: pytest.TempPathFactory, production: Path) -> Project:
    root = tmp_path_factory.mktemp("flow") / "project"
    root.mkdir()
    project = Project(root)
    project.write("lineal.toml", "")
    project.write("flow.py", FLOW)
    project.write("raw/numbers.txt", "1 2 3\n")
    project.write("notes/a.txt", "a note\n")
    run = project.json("run", f"target={production}")
    assert run.code == 0, run.err
    return project


@pytest.fixture
def deployed(flow_that_ran: Project, tmp_path: Path) -> Project:
    """A pipeline that has run once, and has left its model in ``production``."""
    return flow_that_ran.copied(tmp_path / "project")


def nodes(document: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {node["name"]: node for node in document["nodes"] if node["kind"] == kind}


def test_a_deployed_file_goes_by_the_name_of_what_it_is_a_copy_of(
    deployed: Project, production: Path
) -> None:
    traced = deployed.json("trace", str(production))

    assert set(nodes(traced.document, "action")) == {"fit", "ingest"}  # deploy has only copied the bytes
    (copy,) = nodes(traced.document, "artifact")["fit.model"]["copies"]
    assert (copy["path"], copy["stage"]) == (str(production), "deploy")


def test_a_file_out_of_a_directory_that_a_stage_made_is_traced(deployed: Project, tmp_path: Path) -> None:
    deployed.command("get", "flow.bundle@latest", "-o", str(tmp_path / "bundle"))

    traced = deployed.json("trace", str(tmp_path / "bundle" / "model.txt"))

    assert traced.code == 0
    assert set(nodes(traced.document, "action")) == {"bundle", "fit", "ingest"}
    assert {node["url"] for node in nodes(traced.document, "source").values()} == {"raw/numbers.txt", "notes"}
    assert "bundle/model.txt" in nodes(traced.document, "artifact")
    assert deployed.command("trace", str(tmp_path / "bundle" / "model.txt")).out.startswith(
        "bundle/model.txt"
    )


def test_a_file_in_a_directory_that_was_taken_in_leads_to_what_was_made_from_it(deployed: Project) -> None:
    impact = deployed.json("impact", "notes/a.txt")

    assert impact.code == 0
    assert set(nodes(impact.document, "action")) == {"bundle"}


def test_a_model_that_was_made_anew_leaves_the_older_one_traceable(project: Project) -> None:
    project.write(
        "flow.py",
        """
        import os

        from lineal import File, pipeline, stage


        @stage
        def train(source: File) -> bytes:
            return os.urandom(16)


        @stage
        def package(model: bytes) -> bytes:
            return b"package of " + model


        @pipeline
        def flow() -> tuple[bytes, bytes]:
            model = train(File("raw.txt"))
            return model, package(model)
        """,
    )
    project.write("raw.txt", "raw")
    first = project.json("run")
    again = project.json("run", "--force", "train")

    assert first.document["outputs"] != again.document["outputs"]
    for run in (first, again):
        digest = run.stages["package"]["outputs"]["result"]["digest"]
        found = nodes(project.json("trace", digest).document, "action")
        assert {name: node["run_id"] for name, node in found.items()} == {
            "train": run.document["run_id"],
            "package": run.document["run_id"],
        }


def test_a_failed_run_moves_no_latest_and_shows_what_failed_first(
    deployed: Project, production: Path
) -> None:
    before = deployed.json("show", "flow.fit.model@latest").document["digest"]
    deployed.edit("flow.py", "return len(model)", "return len(model) // 0")

    failed = deployed.json("run", f"target={production}", "rate=0.2")
    shown = deployed.json("show", failed.document["run_id"]).document

    assert failed.words("state")["fit"] == "succeeded"
    assert deployed.json("show", "flow.fit.model@latest").document["digest"] == before
    assert (shown["state"], shown["stages"][0]["id"]) == ("failed", "deploy")
    assert shown["parameters"] == {"target": str(production), "rate": 0.2}


def test_a_name_moves_with_what_it_is_given_to(deployed: Project, production: Path) -> None:
    first = deployed.json("tag", "production", "flow.fit.model@latest", "--deployed")
    runs = deployed.json("run", f"target={production}", "rate=0.25")
    second = deployed.json("tag", "production", "flow.fit.model@latest", "--deployed")

    assert first.document["digest"] != second.document["digest"] == runs.document["outputs"]["model"]
    (named,) = deployed.json("refs").document["refs"]
    assert (named["name"], named["digest"]) == ("production", second.document["digest"])
    assert deployed.json("tag", "latest", "flow.fit.model@latest").code == 2
    listed = deployed.json("runs", "--metrics", "--sort", "auc").document["runs"]
    assert [run["metrics"] for run in listed] == [{"auc": 0.75}, {"auc": 0.6}]


def test_a_secret_reaches_the_stage_and_nothing_else(project: Project) -> None:
    project.write(
        "flow.py",
        """
        from lineal import Secret, pipeline, stage


        @stage
        def log_in(password: Secret) -> int:
            return len(password.reveal())


        @pipeline
        def flow(password: Secret) -> int:
            return log_in(password)
        """,
    )

    run = project.json("run", "password=hunter2-hunter2")
    other = project.json("run", "password=another-one")
    shown = project.command("show", run.document["run_id"])

    assert project.value(run.document["outputs"]["result"]) == b"15"
    assert other.words("cache") == {"log_in": "hit"}
    assert "hunter2" not in run.out + run.err + shown.out
    again = project.json("rerun", run.document["run_id"])
    assert (again.code, again.error["hint"]) == (2, "`lineal run` takes them anew.")
    assert again.error["message"].endswith("was given password, and secrets are not kept")
    for path in (project.root / ".lineal").rglob("*"):
        assert not path.is_file() or b"hunter2" not in path.read_bytes(), path
