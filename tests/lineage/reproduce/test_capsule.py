"""A capsule whose archive is sound and whose content is not: told as such, before anything is executed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineal.api.capsule import run_capsule
from lineal.api.reproduce import Wish
from lineal.engine.beside import OUTSIDE
from lineal.errors import StoreUnavailable
from lineal.graph.closure import Roots, plan_transfer
from lineal.graph.records import Beside, Environment, RunRecord, seal_record, to_bytes
from lineal.reproduce.archive import CapsuleRefused, write_capsule
from lineal.reproduce.capsule import CapsuleIncomplete, create_capsule, open_capsule
from lineal.reproduce.plan import Missing, ReproductionPlan, _is_as_it_was
from lineal_store import Digest, Store, Tree, TreeEntry, open_store
from lineal_store.sealed import seal

RUN_ID = "20261122-173120-4f9ac2"
ABOUT = {"format": 1, "lineal": "0.1.0", "name": "a run", "digest": None, "run_id": RUN_ID}
HEADER = b'{"format": 1, "id": "an id"}'


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files, which is empty again at the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def capsule(tmp_path: Path, about: bytes, **files: bytes) -> Path:
    path = tmp_path / "model.lineal.tar.zst"
    inner = [(f"store/{name}", data) for name, data in files.items()]
    write_capsule(path, [("capsule.json", about), *sorted(inner)])
    return path


def about(**changes: object) -> bytes:
    return json.dumps({**ABOUT, **changes}).encode()


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"{}", about(format="1"), about(run_id=None), about(format=2), b"[" * 5000]
)
def test_a_document_that_cannot_be_read_is_refused(tmp_path: Path, text: bytes) -> None:
    path = capsule(tmp_path, text, **{"lineal-store.json": HEADER})

    with pytest.raises(CapsuleRefused), open_capsule(path):
        pass


@pytest.mark.parametrize("files", [{}, {"lineal-store.json": b"no header"}])
def test_what_is_no_store_is_told(tmp_path: Path, files: dict[str, bytes]) -> None:
    with pytest.raises(StoreUnavailable), open_capsule(capsule(tmp_path, about(), **files)):
        pass


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"runs/2026/11/22/" + RUN_ID: b"no record"},
        {"runs/2026/11/22/" + RUN_ID: seal({"run_id": "another"})},
        {"actions/ab/" + "cd" * 15 + ".0": b"no record"},
    ],
)
def test_records_that_are_damaged_or_missing_are_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    path = capsule(tmp_path, about(), **{"lineal-store.json": HEADER, **files})

    with pytest.raises(CapsuleRefused):
        run_capsule(path, Wish())


def _recorded(store: Store) -> RunRecord:
    """A run without a stage."""
    environment = Environment(
        python="3.11.7", implementation="CPython", build="", platform="", machine="", distributions={}
    )
    run = RunRecord(
        run_id=RUN_ID,
        pipeline="flow",
        target="flow.py:flow",
        state="succeeded",
        namespace="dev",
        code_tree=str(store.blobs.put(Tree(()).encode())),
        environment=str(store.blobs.put(to_bytes(environment))),
        who="ann",
        host="here",
        process=1,
        lineal="0.1.0",
        started_at="2026-11-22T17:31:20+00:00",
        finished_at="2026-11-22T17:31:21+00:00",
    )
    store.runs.begin(RUN_ID, seal_record(run))
    store.runs.finish(RUN_ID, seal_record(run))
    return run


def _plan(store: Store, *missing: Missing) -> ReproductionPlan:
    return ReproductionPlan(store, None, _recorded(store), None, (), (), {}, (), missing)


def test_what_is_packed_is_a_store_with_the_run_and_nothing_else(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    plan = _plan(store)
    store.blobs.put(b"unrelated")
    store.refs.append("tags/best", seal({"digest": None, "run_id": RUN_ID, "deployed": False}))

    create_capsule(plan, ABOUT, tmp_path / "model.lineal.tar.zst")

    with open_capsule(tmp_path / "model.lineal.tar.zst") as (found, inner):
        assert found.run_id == RUN_ID
        assert {str(blob.digest) for blob in inner.blobs.list()} == {plan.run.code_tree, plan.run.environment}
        assert inner.runs.find(RUN_ID) == store.runs.find(RUN_ID)
        assert list(inner.refs.names("tags/")) == []


def test_a_run_that_names_what_is_not_there_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    run = _recorded(store)
    files = {
        "lineal-store.json": HEADER,
        f"runs/2026/11/22/{RUN_ID}": seal_record(run),
        f"runs/2026/11/22/{RUN_ID}.begun": seal_record(run),
    }

    with pytest.raises(CapsuleRefused, match="of what it names"):
        run_capsule(capsule(tmp_path, about(), **files), Wish())


@pytest.mark.parametrize("path", ["/dev/zero", "/dev"])
def test_a_device_that_a_record_names_is_not_read(path: str) -> None:
    entry = TreeEntry(f"{OUTSIDE}{path}", 0o644, Digest.of(b""), 0)

    assert not _is_as_it_was(Beside(tree=str(Digest.of(b""))), entry)


def test_nothing_is_packed_that_could_not_be_rebuilt(tmp_path: Path) -> None:
    plan = _plan(open_store(tmp_path / "store"), Missing("input", "raw.csv", "it is gone"))

    with pytest.raises(CapsuleIncomplete, match=r"raw\.csv: it is gone"):
        create_capsule(plan, ABOUT, tmp_path / "model.lineal.tar.zst")

    assert not (tmp_path / "model.lineal.tar.zst").exists()


def test_tags_stay_behind_where_they_are_not_wanted(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    run = _recorded(store)
    entry = {"digest": run.code_tree, "run_id": RUN_ID, "deployed": False, "at": run.started_at, "who": "ann"}
    store.refs.append("tags/best", seal(entry))

    assert [tag.name for tag in plan_transfer(store, Roots((RUN_ID,))).tags] == ["best"]
    assert plan_transfer(store, Roots((RUN_ID,), with_tags=False)).tags == ()
    assert Digest.parse(run.code_tree) in [tree.digest for tree in plan_transfer(store).trees]
