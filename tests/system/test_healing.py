"""Damage in the store: found when it matters, healed by what is on record, never passed on."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from depth import some_of
from support import Project

from lineal.api import open_project
from lineal.fingerprint import uninstall
from lineal_store import Digest, open_store

FLOW = """
from lineal import Directory, File, output, pipeline, stage


@stage
def numbers(source: File) -> list[int]:
    return [int(word) for word in source.open().read().split()]


@stage
def lengths(folder: Directory) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.files()}


@stage
def pack(numbers: list[int], lengths: dict[str, int]) -> Directory:
    folder = output("pack")
    folder.mkdir()
    (folder / "numbers.txt").write_text(repr(numbers))
    (folder / "lengths.txt").write_text(repr(lengths))
    return Directory(folder)


@stage
def report(pack: Directory, source: File, folder: Directory) -> bytes:
    packed = {path.name: path.read_text() for path in pack.files()}
    raw = {path.name: path.read_text() for path in folder.files()}
    return repr((packed, raw, source.open().read())).encode()


@pipeline
def healing() -> tuple[Directory, bytes]:
    source, folder = File("raw.txt"), Directory("parts")
    packed = pack(numbers(source), lengths(folder))
    return packed, report(packed, source, folder)
"""


def delete(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:-1])


def flip(path: Path) -> None:
    """One bit, with the old times: as a disk does it."""
    status, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.chmod(0o644)
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


Damage = Callable[[Path], None]
DAMAGES = pytest.mark.parametrize("damage", [delete, truncate, flip], ids=lambda damage: damage.__name__)


@pytest.fixture
def healthy(project: Project) -> Iterator[Project]:
    """A pipeline that has run; other runs of it may be made in this process."""
    project.write("healing.py", FLOW)
    project.write("raw.txt", "1 2 3\n")
    project.write("parts/a.txt", "aaa\n")
    project.write("parts/deep/b.txt", "bbbb\n")
    # As the runs below: only what a run makes is healed by it, and that is the record of its environment as well.
    assert project.json("run", "--executor", "inline").code == 0
    path = list(sys.path)
    yield project
    sys.path[:] = path
    sys.modules.pop("healing", None)
    uninstall()


def blobs(project: Project) -> dict[str, Path]:
    """Every blob that is not empty, by digest."""
    files = (path for path in (project.store / "blobs").glob("??/*") if path.stat().st_size)
    return {f"sha256:{path.parent.name}{path.name}": path for path in sorted(files)}


def run_here(project: Project, *force: str) -> dict[str, str | None]:
    """Run in this process, for the sake of time; what the pipeline returned."""
    run = open_project(project.root).run("healing.py", executor="inline", force=force)
    assert run["state"] == "succeeded", [stage["error"] for stage in run["stages"]]
    return dict(run["outputs"])


@DAMAGES
def test_whatever_blob_is_damaged_the_next_runs_succeed_with_the_right_bytes(
    healthy: Project, tmp_path: Path, damage: Damage
) -> None:
    expected = run_here(healthy)
    whole = tmp_path / "whole"
    shutil.copytree(healthy.store, whole)

    for digest in some_of(list(blobs(healthy)), 6):
        shutil.rmtree(healthy.store)
        shutil.copytree(whole, healthy.store)
        damage(blobs(healthy)[digest])

        assert run_here(healthy) == expected, digest
        if damage is not flip:  # a run of hits reads nothing, and so cannot see what only reading shows
            read_outputs(healthy, expected)
        assert run_here(healthy, "report") == expected, digest  # it reads what it takes in
        assert run_here(healthy, "*") == expected, digest
        read_outputs(healthy, expected)
        assert open_project(healthy.root).store_verify(read_data=True)["bad"] == [], digest


def read_outputs(project: Project, outputs: dict[str, str | None]) -> None:
    store = open_store(project.store, create=False)
    for digest in outputs.values():
        store.blobs.read(Digest.parse(str(digest)))


@DAMAGES
def test_workers_run_the_right_code_when_its_copy_is_damaged(healthy: Project, damage: Damage) -> None:
    code = (healthy.root / "healing.py").read_bytes()
    damage(blobs(healthy)[str(Digest.of(code))])

    run = healthy.json("run", "--force", "*")

    assert run.code == 0
    assert blobs(healthy)[str(Digest.of(code))].read_bytes() == code


def test_a_store_without_blobs_is_filled_again(healthy: Project) -> None:
    before = {digest: path.read_bytes() for digest, path in blobs(healthy).items()}
    shutil.rmtree(healthy.store / "blobs")

    run = healthy.json("run", "--executor", "inline")

    assert run.code == 0
    assert set(run.words("cache", "reason").values()) == {("miss", "lost")}
    assert before.keys() <= blobs(healthy).keys()


def test_action_results_that_are_deleted_or_damaged_are_made_again(healthy: Project) -> None:
    expected = healthy.json("run").document["outputs"]
    records = sorted((healthy.store / "actions").glob("??/*"))
    assert len(records) == 4

    for damage in (flip, truncate, delete):
        for record in records:
            damage(record)
        run = healthy.json("run")
        assert run.code == 0
        assert run.document["outputs"] == expected
        assert set(run.words("cache").values()) == {"miss"}
        assert healthy.json("run").words("cache") == dict.fromkeys(run.stages, "hit")
        records = [path for path in (healthy.store / "actions").glob("??/*") if path not in records]


def test_a_damaged_record_of_a_run_hides_only_itself(healthy: Project) -> None:
    runs = [healthy.json("run").document["run_id"] for _ in range(2)]
    (record,) = (healthy.store / "runs").rglob(runs[0])
    flip(record)

    listed = healthy.json("runs")
    shown = healthy.json("show", runs[0])

    assert listed.code == 0
    told = [run["run_id"] for run in listed.document["runs"]]
    assert runs[1] in told
    assert runs[0] not in told
    assert shown.code == 4
    assert runs[0] in shown.error["message"]
    assert healthy.json("run").code == 0
    assert [one["digest"] for one in healthy.json("store", "verify").document["bad"]] == [
        str(record.relative_to(healthy.store))
    ]


def test_verify_names_every_damage_and_says_what_a_run_would_heal(healthy: Project) -> None:
    run = healthy.json("run")
    digest = {name: stage["outputs"]["result"]["digest"] for name, stage in run.stages.items()}
    code = str(Digest.of((healthy.root / "healing.py").read_bytes()))
    raw = str(Digest.of(b"1 2 3\n"))
    assert healthy.json("store", "verify", "--read-data").document["bad"] == []

    delete(blobs(healthy)[digest["numbers"]])
    truncate(blobs(healthy)[digest["report"]])
    flip(blobs(healthy)[digest["lengths"]])
    delete(blobs(healthy)[code])
    delete(blobs(healthy)[raw])
    quick = healthy.json("store", "verify")
    thorough = healthy.json("store", "verify", "--read-data")
    text = healthy.command("store", "verify")

    assert (quick.code, thorough.code, text.code) == (4, 4, 4)
    found = {one["digest"]: (one["problem"], one["healable"]) for one in quick.document["bad"]}
    assert found.keys() == {digest["numbers"], digest["report"], code, raw}
    assert found[digest["numbers"]] == ("is missing", True)
    assert found[digest["report"]][1] is True
    assert found[code] == ("is missing", False)
    assert found[raw] == ("is missing", False)
    told = {one["digest"]: one["problem"] for one in thorough.document["bad"]}
    assert told.keys() == found.keys() | {digest["lengths"]}
    assert all(one.removeprefix("sha256:")[:12] in text.out for one in found)


def test_bytes_that_are_damaged_are_not_handed_out(healthy: Project) -> None:
    report = healthy.json("run").stages["report"]["outputs"]["result"]["digest"]
    flip(blobs(healthy)[report])

    got = healthy.json("get", "healing.report@latest", "-o", "report.bin")

    assert got.code == 4
    assert got.error["kind"] == "corrupt"
    assert got.error["hint"]
    assert not (healthy.root / "report.bin").exists()


MEDDLING = """
import hashlib
import hashlib
import os
from lineal import File, output, pipeline, stage


@stage
def make() -> File:
    path = output("large.bin")
    path.write_bytes(bytes(range(256)) * 8192)
    return File(path)


@stage
def meddle(large: File) -> int:
    path = os.path.realpath(large)
    before = os.stat(path)
    os.chmod(path, 0o644)
    with open(path, "r+b") as stream:
        stream.seek(1_000_000)
        stream.write(b"wrong")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return before.st_size


@stage
def use(large: File, size: int) -> str:
    content = large.open("rb").read()
    return f"{len(content) - size} {hashlib.sha256(content).hexdigest()}"


@pipeline
def meddling() -> str:
    large = make()
    return use(large, meddle(large))
"""


@pytest.mark.parametrize("executor", ["process", "inline"])
def test_what_is_done_to_a_large_result_in_the_same_run_is_found_by_the_next_who_takes_it(
    project: Project, executor: str
) -> None:
    project.write("meddling.py", MEDDLING)
    right = hashlib.sha256(bytes(range(256)) * 8192).hexdigest()

    run = project.json("run", "--executor", executor)

    assert run.code == 0
    made = run.stages["make"]["outputs"]["result"]["digest"]
    assert (made, run.stages["make"]["attempts"]) == (f"sha256:{right}", 2)
    got = project.command("get", run.document["outputs"]["result"], "-o", "used.json")
    assert got.code == 0
    assert (project.root / "used.json").read_text() == f'"0 {right}"'
