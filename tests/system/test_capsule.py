"""`lineal capsule`: a model leaves with all that it came from in one file, and is rebuilt where there is nothing else."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from support import Project
from wheels import write_wheel

from lineal_store import Digest


@pytest.fixture
def elsewhere(tmp_path: Path) -> Project:
    """An empty folder of somebody else: no project, no store, nothing set."""
    other = Project(tmp_path / "elsewhere")
    other.root.mkdir()
    return other


def packed(project: Project, what: str = "flow.model@latest", name: str = "model.lineal.tar.zst") -> Path:
    path = project.root.parent / name
    created = project.command("capsule", "create", what, "-o", str(path))
    assert created.code == 0, created.err
    return path


def blobs_of(path: Path) -> list[Digest]:
    with pa.OSFile(str(path)) as raw, pa.CompressedInputStream(raw, "zstd") as stream:
        plain = io.BytesIO(stream.read())
    with tarfile.open(fileobj=plain) as archive:
        found = [name.split("/") for name in archive.getnames() if name.startswith("store/blobs/")]
    return [Digest(parts[-2] + parts[-1]) for parts in found]


def test_a_model_is_rebuilt_from_its_capsule_alone(flow: Project, elsewhere: Project, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    flow.variables["TMPDIR"] = elsewhere.variables["TMPDIR"] = str(temporary)
    path = packed(flow)
    for file in sorted(flow.root.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()

    ended = elsewhere.json("capsule", "run", str(path))

    document = ended.document
    assert (ended.code, document["verdict"], document["environment"]) == (0, "identical", "same"), ended.err
    assert document["executed"] == ["load", "train"]
    assert document["report"] is None
    assert list(elsewhere.root.iterdir()) == []
    assert list(temporary.iterdir()) == []


def test_the_same_model_makes_the_same_file_whatever_happened_since(flow: Project) -> None:
    first = packed(flow)
    flow.write("raw.txt", "9 9 9")
    flow.edit("helper.py", "number * factor", "number - factor")
    model = flow.json("trace", "flow.model@latest").document["digest"]
    flow.command("tag", "best", "flow.model@latest")
    flow.command("run")

    again = packed(flow, model, "again.lineal.tar.zst")

    assert again.read_bytes() == first.read_bytes()


def test_a_file_found_anywhere_can_be_packed_and_nothing_of_other_runs_goes_along(
    flow: Project, elsewhere: Project
) -> None:
    flow.command("get", "flow.model@latest", "-o", str(elsewhere.root / "found.dat"))
    flow.write("raw.txt", "4711 4712")
    flow.command("run", "factor=3")
    elsewhere.variables["LINEAL_STORE"] = str(flow.store)

    path = packed(elsewhere, "found.dat")

    assert Digest.of(b"1 2 3") in blobs_of(path)
    assert Digest.of(b"4711 4712") not in blobs_of(path)
    del elsewhere.variables["LINEAL_STORE"]
    listed = elsewhere.json("capsule", "run", str(path), "-n").document
    assert [source["url"] for source in listed["plan"]["sources"]] == ["raw.txt"]
    assert listed["verdict"] is None
    assert elsewhere.json("capsule", "run", str(path)).document["verdict"] == "identical"


def test_what_an_effect_deployed_is_packed_by_its_bytes(project: Project, elsewhere: Project) -> None:
    target = elsewhere.root / "model.bin"
    project.write(
        "flow.py",
        f"""
        from pathlib import Path

        from lineal import pipeline, stage


        @stage
        def train(factor: int) -> str:
            return "weights " * factor


        @stage(effect=True)
        def deploy(model: str) -> None:
            Path({str(target)!r}).write_text(model + "deployed")


        @pipeline
        def flow(factor: int = 2) -> str:
            model = train(factor)
            deploy(model)
            return model
        """,
    )
    assert project.command("run").code == 0
    elsewhere.variables["LINEAL_STORE"] = str(project.store)

    path = packed(elsewhere, str(target))
    del elsewhere.variables["LINEAL_STORE"]
    document = elsewhere.json("capsule", "run", str(path)).document

    assert (document["verdict"], document["executed"]) == ("identical", ["train"])


def test_declared_files_and_mapped_stages_go_along(project: Project, elsewhere: Project) -> None:
    project.write("table.csv", "2 3")
    project.write(
        "flow.py",
        """
        from pathlib import Path

        from lineal import pipeline, stage


        @stage(reads=["table.csv"])
        def factors() -> list[int]:
            return [int(word) for word in (Path(__file__).parent / "table.csv").read_text().split()]


        @stage
        def square(factor: int) -> int:
            return factor * factor


        @stage
        def total(squares: list[int]) -> int:
            return sum(squares)


        @pipeline
        def flow() -> int:
            return total(square.map(factors()))
        """,
    )
    assert project.command("run").code == 0
    path = packed(project, "flow@latest")
    project.write("table.csv", "9")

    document = elsewhere.json("capsule", "run", str(path)).document

    assert document["verdict"] == "identical", document
    assert document["executed"] == ["factors", "square[0]", "square[1]", "total"]


def test_a_whole_run_can_be_packed(flow: Project, elsewhere: Project) -> None:
    run_id = flow.json("runs").document["runs"][0]["run_id"]

    document = elsewhere.json("capsule", "run", str(packed(flow, run_id))).document

    assert (document["verdict"], document["name"]) == ("identical", f"run {run_id}")


def test_another_parameter_may_be_tried_on_it(flow: Project, elsewhere: Project) -> None:
    ended = elsewhere.json("capsule", "run", str(packed(flow)), "--with", "factor=3")

    assert (ended.code, ended.document["first_difference"]) == (4, "train")


def test_what_lacks_its_input_is_not_packed(flow: Project, tmp_path: Path) -> None:
    source = flow.json("trace", "flow.model@latest").document["nodes"]
    digest = next(node["digest"] for node in source if node["kind"] == "source").removeprefix("sha256:")
    (flow.store / "blobs" / digest[:2] / digest[2:]).unlink()

    ended = flow.json("capsule", "create", "flow.model@latest", "-o", "model.lineal.tar.zst")

    assert (ended.code, ended.error["kind"]) == (4, "missing")
    assert "raw.txt" in ended.error["message"]
    assert not (flow.root / "model.lineal.tar.zst").exists()


def test_a_damaged_capsule_is_refused_and_nothing_is_executed(flow: Project, elsewhere: Project) -> None:
    path = packed(flow)
    path.write_bytes(path.read_bytes()[:-100])

    ended = elsewhere.json("capsule", "run", str(path))

    assert (ended.code, ended.error["kind"]) == (4, "corrupt")
    assert "loading" not in ended.err


def test_what_is_no_capsule_is_said_to_be_none(elsewhere: Project) -> None:
    elsewhere.write("model.bin", "no capsule")

    assert elsewhere.json("capsule", "run", "model.bin").error["kind"] == "corrupt"
    assert elsewhere.json("capsule", "run", "gone").code == 2
    assert elsewhere.json("capsule", "run", ".").code == 2


# --- another environment -----------------------------------------------------------------------------


@pytest.fixture
def coloured(project: Project, tmp_path: Path) -> Project:
    """A project that has run with colours 1.0, of which there is 2.0 by now; both are wheels in a folder."""
    for version in ("1.0", "2.0"):
        wheel = write_wheel(tmp_path / "wheels", "colours", version)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(tmp_path / version / "site-packages")
    project.write(
        "flow.py",
        """
        import colours

        from lineal import pipeline, stage


        @stage
        def paint(name: str) -> str:
            return f"{name} by colours {colours.VERSION}"


        @pipeline
        def flow(name: str = "blue") -> str:
            return paint(name)
        """,
    )
    ended = project.command("run", PYTHONPATH=str(tmp_path / "1.0" / "site-packages"))
    assert ended.code == 0, ended.err
    return project


@pytest.fixture
def today(elsewhere: Project, tmp_path: Path) -> Project:
    """Somebody else, who has colours 2.0, and the folder of wheels in place of an index."""
    elsewhere.variables.update(
        {name: "" for name in os.environ if name.startswith(("UV_", "PIP_"))},
        PYTHONPATH=str(tmp_path / "2.0" / "site-packages"),
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        UV_CACHE_DIR=str(tmp_path / "uv"),
        UV_NO_CONFIG="1",
        PIP_CONFIG_FILE=os.devnull,
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(tmp_path / "wheels"),
    )
    return elsewhere


def test_a_package_that_nobody_has_any_more_is_named(
    coloured: Project, today: Project, tmp_path: Path
) -> None:
    (tmp_path / "wheels" / "colours-1.0-py3-none-any.whl").unlink()

    ended = today.json("capsule", "run", str(packed(coloured, "flow@latest")))

    assert (ended.code, ended.document["verdict"]) == (4, "not_reproducible")
    [missing] = ended.document["plan"]["missing"]
    assert missing["kind"] == "packages"
    assert "colours" in missing["problem"]
