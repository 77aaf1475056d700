"""From one person's store to the team's, and from there to a colleague's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from s3_servers import Server
from support import Ended, Project

FLOW = """
    from pathlib import Path
    from typing import NamedTuple

    from lineal import Directory, File, Metrics, output, pipeline, stage


    class Trained(NamedTuple):
        model: File
        metrics: Metrics


    @stage
    def read(source: File) -> list[int]:
        print("reading")
        return [int(line) for line in source.path.read_text().split()]


    @stage
    def split(numbers: list[int]) -> Directory:
        folder = output("parts")
        folder.mkdir()
        (folder / "even.txt").write_text(" ".join(str(n) for n in numbers if n % 2 == 0))
        (folder / "odd.txt").write_text(" ".join(str(n) for n in numbers if n % 2))
        return Directory(folder)


    @stage
    def train(parts: Directory, rate: float = 0.5) -> Trained:
        path = output("model.bin")
        path.write_bytes((parts.path / "odd.txt").read_bytes() + str(rate).encode())
        return Trained(File(path), {"rate": rate})


    @pipeline
    def flow(rate: float = 0.5, source: str = "raw.txt") -> Trained:
        return train(split(read(File(source))), rate)
"""


@pytest.fixture(scope="module")
def ann_at_first(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("ann") / "project")
    project.write("lineal.toml", "")
    project.write("flow.py", FLOW)
    project.write("raw.txt", "1 2 3")
    assert project.command("run").code == 0
    assert project.command("tag", "baseline", "flow.train.model@latest").code == 0
    return project


@pytest.fixture
def ann(ann_at_first: Project, tmp_path: Path) -> Project:
    """A project that has run, with a tag."""
    return ann_at_first.copied(tmp_path / "project")


@pytest.fixture
def bob(ann: Project, tmp_path: Path) -> Project:
    """The same code elsewhere, with no store."""
    folder = tmp_path / "bob" / "work"
    folder.mkdir(parents=True)
    for name in ("flow.py", "raw.txt"):
        shutil.copy(ann.root / name, folder)
    bob = Project(folder)
    bob.write("lineal.toml", "")
    return bob


def team(project: Project) -> Path:
    return project.root.parent / "team"


def push(project: Project, *what: str) -> Ended:
    """To the team's store, which the first one makes."""
    return project.json("store", "push", *what, "--to", str(team(project)))


def run_id(project: Project) -> str:
    return str(project.json("runs").document["runs"][0]["run_id"])


def test_a_colleague_who_pulls_gets_hits_traces_runs_and_names(ann: Project, bob: Project) -> None:
    pushed = push(ann, run_id(ann))
    assert pushed.code == 0, pushed.err
    assert (pushed.document["from"], pushed.document["to"]) == (str(ann.store), str(team(ann)))
    counts = [pushed.document[name] for name in ("actions", "runs", "refs", "already_there")]
    assert counts == [3, 1, 1, 0]

    pulled = bob.json("store", "pull", "--from", str(team(ann)))
    assert pulled.code == 0, pulled.err
    assert {**pulled.document, "from": "", "to": ""} == {**pushed.document, "from": "", "to": ""}

    ran = bob.json("run")
    assert set(ran.words("cache").values()) == {"hit"}
    model = ran.stages["train"]["outputs"]["model"]["digest"]
    assert bob.json("runs").document["runs"][1]["run_id"] == run_id(ann)
    assert "reading" in bob.command("logs", run_id(ann), "read").out
    [ref] = bob.json("refs").document["refs"]
    assert (ref["name"], ref["digest"]) == ("baseline", model)
    assert bob.json("get", "flow.train.model@baseline", "-o", "found.bin").document["digest"] == model
    assert bob.json("store", "verify", "--read-data").document["bad"] == []

    traced = bob.json("trace", "found.bin").document
    assert {node["name"] for node in traced["nodes"] if node["kind"] == "action"} == {
        "read",
        "split",
        "train",
    }
    assert [node["url"] for node in traced["nodes"] if node["kind"] == "source"] == ["raw.txt"]


def test_a_bare_file_is_enough_to_ask_for(ann: Project, bob: Project) -> None:
    assert push(ann).code == 0
    model = ann.json("get", "flow.train.model@latest", "-o", str(bob.root / "found.bin"))
    assert model.code == 0

    pulled = bob.json("store", "pull", "found.bin", "--from", str(team(ann)))

    assert [pulled.document[name] for name in ("actions", "runs", "refs")] == [3, 0, 0]
    assert bob.json("trace", "found.bin").document["found"]


def test_an_address_brings_the_run_and_the_tag_that_it_goes_by(ann: Project, bob: Project) -> None:
    assert ann.command("run", "rate=0.25").code == 0
    assert ann.command("tag", "other", "flow.train.model@latest").code == 0
    assert push(ann).code == 0

    pulled = bob.json("store", "pull", "flow.read@tag:baseline", "--from", str(team(ann)))

    assert [pulled.document[name] for name in ("actions", "runs", "refs")] == [3, 1, 1]
    assert [ref["name"] for ref in bob.json("refs").document["refs"]] == ["baseline"]


def test_a_pipeline_with_several_outputs_is_asked_for_as_a_whole(ann: Project, bob: Project) -> None:
    assert bob.json("store", "pull", "flow@latest", "--from", str(ann.store)).document["runs"] == 1
    assert set(bob.json("run").words("cache").values()) == {"hit"}


def test_what_is_there_already_is_said_and_not_sent(ann: Project) -> None:
    ann.write("lineal.toml", f'upstream = ["{team(ann)}"]')
    first = ann.command("store", "push")
    second = ann.command("store", "push")

    assert first.out.startswith(f"pushed to {team(ann)}: ")
    assert "3 results, 1 run, 1 name" in first.out
    assert second.out.startswith(f"nothing to be pushed to {team(ann)}: ")
    assert second.err == ""


def test_a_run_that_goes_on_elsewhere_comes_back(ann: Project, bob: Project) -> None:
    assert push(ann).code == 0
    for project in (ann, bob):
        project.write("lineal.toml", f'upstream = ["{team(ann)}"]')
    assert bob.command("store", "pull").code == 0
    assert bob.command("run", "rate=0.75").code == 0
    assert bob.command("store", "push", "flow.train.model@latest").code == 0

    pulled = ann.json("store", "pull")

    assert [pulled.document[name] for name in ("actions", "runs")] == [1, 1]
    assert set(ann.json("run", "rate=0.75").words("cache").values()) == {"hit"}


def test_a_bucket_is_a_store_like_any_other(ann: Project, bob: Project, bucket: str) -> None:
    url = f"s3://{bucket}/team"
    pushed = ann.json("store", "push", "--to", url)
    assert pushed.code == 0, pushed.out

    pulled = bob.json("store", "pull", "flow.train.model@latest", "--from", url)

    assert pulled.code == 0, pulled.out
    assert [pulled.document[name] for name in ("actions", "runs", "refs")] == [3, 1, 1]
    assert set(bob.json("run").words("cache").values()) == {"hit"}
    assert ann.json("store", "push", "--to", url).document["blobs"] == 0


def test_who_may_only_read_a_bucket_can_pull_and_not_push(
    ann: Project, bob: Project, bucket: str, s3_server: Server
) -> None:
    url = f"s3://{bucket}/team"
    assert ann.json("store", "push", "--to", url).code == 0
    assert s3_server.read_only_environment is not None
    bob.variables |= s3_server.read_only_environment

    assert bob.json("store", "pull", "--from", url).code == 0
    refused = bob.json("store", "push", "--to", url)

    assert (refused.code, refused.error["kind"]) == (5, "store")
    assert refused.error["hint"]


# --- refusals --------------------------------------------------------------------------------------


def test_without_another_store_the_error_says_what_to_write(ann: Project, bob: Project) -> None:
    for verb, option in (("push", "--to"), ("pull", "--from")):
        refused = bob.json("store", verb)
        assert refused.code == 2
        assert option in refused.error["hint"] and "upstream = [" in refused.error["hint"]

        ann.write("lineal.toml", 'upstream = ["one", "two"]')
        refused = ann.json("store", verb)
        assert refused.code == 2
        assert str(ann.root / "one") in refused.error["message"] and option in refused.error["hint"]
    assert not bob.store.exists()


def test_the_same_store_on_both_ends_is_refused(ann: Project, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(ann.store)
    for url in (str(ann.store), str(tmp_path / "link"), f"file://{ann.store}"):
        refused = ann.json("store", "push", "--to", url)
        assert (refused.code, refused.error["kind"]) == (2, "usage")
        assert "same store" in refused.error["message"]
        assert ann.json("store", "pull", "--from", url).code == 2


def test_a_store_that_is_not_there_is_not_made_by_asking_it(bob: Project, tmp_path: Path) -> None:
    refused = bob.json("store", "pull", "--from", str(tmp_path / "nowhere"))

    assert (refused.code, refused.error["kind"]) == (5, "store")
    assert refused.error["hint"]
    assert not (tmp_path / "nowhere").exists()
    assert not bob.store.exists()


def test_a_folder_that_is_no_store_is_not_written_to(ann: Project, tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")

    refused = ann.json("store", "push", "--to", str(folder))

    assert refused.code == 5
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_what_nobody_knows_is_not_found(ann: Project, bob: Project, tmp_path: Path) -> None:
    for what in ("20300101-000000-abcdef", "sha256:0123456789", "flow@2013-01-01"):
        assert push(ann, what).code == 1
    assert push(ann, "what is this").code == 2
    assert not team(ann).exists(), "nothing is made for nothing"
    assert push(ann).code == 0
    assert push(ann, str(bob.root / "raw.txt")).code == 0
    assert push(ann, str(bob.root / "flow.py")).code == 0, "code is known by its digest"
    assert push(ann, str(bob.write("strange.txt", "never seen"))).code == 1


def test_a_lost_output_is_an_error_and_the_rest_is_copied(ann: Project, bob: Project) -> None:
    model = ann.json("run").stages["train"]["outputs"]["model"]["digest"].removeprefix("sha256:")
    (ann.store / "blobs" / model[:2] / model[2:]).unlink()

    refused = push(ann)

    assert (refused.code, refused.error["type"]) == (4, "NotCopied")
    assert model in refused.error["message"] and "train" in refused.error["message"]
    assert "Run the pipeline again" in refused.error["hint"]
    assert bob.json("store", "pull", "--from", str(team(ann))).document["actions"] == 2
    assert bob.json("store", "verify", "--read-data").document["bad"] == []

    assert ann.command("run").code == 0
    assert push(ann).code == 0


def test_damaged_bytes_do_not_travel(ann: Project, bob: Project) -> None:
    assert push(ann).code == 0
    model = ann.json("run").stages["train"]["outputs"]["model"]["digest"].removeprefix("sha256:")
    path = team(ann) / "blobs" / model[:2] / model[2:]
    path.chmod(0o644)
    path.write_bytes(b"x" * path.stat().st_size)

    refused = bob.json("store", "pull", "--from", str(team(ann)))

    assert (refused.code, refused.error["kind"]) == (4, "corrupt")
    assert bob.json("store", "verify", "--read-data").document["bad"] == []
    assert not (bob.store / "blobs" / model[:2] / model[2:]).exists()
    assert bob.json("run").words("cache") == {"read": "hit", "split": "hit", "train": "miss"}
