"""Stages on a Dask cluster, with a store in S3 that its workers read and write themselves."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import dask_clusters
import psutil
import pytest
from dask_clusters import Cluster
from s3_servers import Server
from support import Ended, Project
from waiting import is_running, wait_until

FLOW = """
    import os
    import subprocess
    import sys
    import time
    from pathlib import Path

    from lineal import File, pipeline, stage

    from steps import double


    @stage
    def numbers(source: File) -> list[int]:
        print("reading", os.environ.get("MODE", "no mode"))
        return [int(line) for line in source.path.read_text().split()]


    @stage
    def part(values: list[int], place: int) -> int:
        return double(values[place])


    @stage
    def total(parts: list[int]) -> int:
        return sum(parts)


    @pipeline
    def fan(source: File) -> int:
        values = numbers(source)
        return total([part(values, place) for place in range(4)])


    @stage
    def breaks() -> int:
        raise RuntimeError("no such luck")


    @pipeline
    def failing() -> int:
        return breaks()


    def hang(folder: str) -> None:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        leave(Path(folder, "pids"), f"{os.getpid()} {child.pid}")
        time.sleep(600)


    def leave(path: Path, text: str) -> None:
        path.with_suffix(".part").write_text(text)
        path.with_suffix(".part").rename(path)


    @stage(timeout=1)
    def slow(folder: str) -> int:
        hang(folder)


    @pipeline
    def late(folder: str) -> int:
        return slow(folder)


    @stage
    def patient(folder: str) -> int:
        hang(folder)


    @pipeline
    def waiting(folder: str) -> int:
        return patient(folder)


    @stage(retries=1, retry_delay=0)
    def survives(folder: str) -> int:
        if not Path(folder, "pids").exists():
            hang(folder)
        return 7


    @pipeline
    def repeated(folder: str) -> int:
        return survives(folder)


    @stage(resources={"gpu": 3})
    def greedy() -> int:
        return 1


    @pipeline
    def too_much() -> int:
        return greedy()
"""


@pytest.fixture(scope="module")
def cluster(s3_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("dask")
    with dask_clusters.cluster(folder, **s3_server.environment) as cluster:
        for _ in range(2):
            cluster.add_worker(threads=2, resources="gpu=1")
        cluster.wait_for_workers(2)
        yield cluster


@pytest.fixture
def flow(project: Project, bucket: str, cluster: Cluster, tmp_path: Path) -> Project:
    project.write("lineal.toml", f'store = "s3://{bucket}/flow"\nexecutor = "{cluster.address}"\n')
    project.write("flow.py", FLOW)
    project.write("steps.py", "def double(value):\n    return 2 * value\n")
    project.write("numbers.txt", "1 2 3 4")
    return project


def run(flow: Project, pipeline: str, *arguments: str) -> Ended:
    return flow.json("run", f"flow.py:{pipeline}", *arguments)


def test_a_chain_that_fans_out_and_in_is_run_by_workers_and_is_a_hit_at_home(flow: Project) -> None:
    first = run(flow, "fan", "source=numbers.txt")

    assert first.code == 0, first.err
    assert set(first.words("state").values()) == {"succeeded"}
    assert flow.command("get", "fan@latest", "-o", "total.json").code == 0
    assert (flow.root / "total.json").read_text() == "20"
    assert "reading no mode" in first.err

    again = run(flow, "fan", "source=numbers.txt", "--executor", "process")
    assert set(again.words("cache").values()) == {"hit"}


def test_a_failure_is_told_with_the_users_own_frames(flow: Project) -> None:
    ended = flow.command("run", "flow.py:failing")

    assert ended.code == 1
    assert "RuntimeError: no such luck" in ended.out
    assert "in breaks" in ended.out


def test_a_timeout_ends_all_that_the_stage_started(flow: Project, tmp_path: Path) -> None:
    ended = run(flow, "late", f"folder={tmp_path}")

    assert ended.stages["slow"]["error"]["kind"] == "timeout"
    assert not any(is_running(pid) for pid in pids(tmp_path))


def test_a_stage_whose_worker_is_killed_is_repeated_on_another(
    flow: Project, cluster: Cluster, tmp_path: Path
) -> None:
    cluster.add_worker(threads=2, resources="gpu=1")  # for those that come after
    process = flow.start("run", "flow.py:repeated", f"folder={tmp_path}", "--json")
    worker, child = pids(tmp_path)
    parents = {parent.pid for parent in psutil.Process(worker).parents()}
    (killed,) = [one for one in cluster.workers if one.pid in parents]

    killed.kill()
    ended = flow.ended(process)

    assert ended.code == 0, ended.err
    assert ended.stages["survives"]["attempts"] == 2
    wait_until(lambda: not is_running(worker) and not is_running(child))


def test_ctrl_c_ends_the_run_and_what_it_started(flow: Project, tmp_path: Path) -> None:
    process = flow.start("run", "flow.py:waiting", f"folder={tmp_path}", "--json")
    started = pids(tmp_path)

    process.send_signal(signal.SIGINT)
    ended = flow.ended(process)

    assert ended.code == 130
    assert not any(is_running(pid) for pid in started)


def test_a_run_that_is_cancelled_from_elsewhere_ends_with_what_it_started(
    flow: Project, tmp_path: Path
) -> None:
    process = flow.start("run", "flow.py:waiting", f"folder={tmp_path}", "--json")
    started = pids(tmp_path)
    (run,) = flow.json("runs", "--state", "running").document["runs"]

    cancelled = flow.json("cancel", run["run_id"])
    ended = flow.ended(process)

    assert (cancelled.code, cancelled.document["state"]) == (0, "cancelled")
    assert ended.code == 130
    assert not any(is_running(pid) for pid in started)


def test_an_engine_that_is_killed_leaves_nothing_running_for_long(flow: Project, tmp_path: Path) -> None:
    process = flow.start("run", "flow.py:waiting", f"folder={tmp_path}", "--json")
    started = pids(tmp_path)

    process.kill()
    flow.ended(process)

    wait_until(lambda: not any(is_running(pid) for pid in started))


def test_a_resource_that_no_worker_has_is_told_at_once(flow: Project) -> None:
    error = run(flow, "too_much").stages["greedy"]["error"]

    assert error["type"] == "NoSuchWorker"
    assert "gpu 3" in error["message"]
    assert '--resources "gpu=3"' in error["hint"]


def test_a_store_that_workers_do_not_see_is_told(flow: Project, cluster: Cluster, tmp_path: Path) -> None:
    flow.write("lineal.toml", f'store = "memory://here"\nexecutor = "{cluster.address}"\n')

    ended = run(flow, "failing")

    assert ended.code == 2
    assert "worker" in ended.error["message"]
    assert "s3://" in ended.error["hint"]


def test_a_scheduler_that_is_not_there_is_told(flow: Project) -> None:
    ended = run(flow, "failing", "--executor", "dask://127.0.0.1:1")

    assert (ended.code, ended.error["kind"]) == (2, "dask")
    assert "dask scheduler" in ended.error["hint"]


def test_an_address_that_is_none_is_told(flow: Project) -> None:
    assert "dask://host:8786" in run(flow, "failing", "--executor", "dask://nowhere").error["hint"]


def pids(folder: Path) -> list[int]:
    """The processes of a stage that hangs, as it tells them."""
    file = folder / "pids"
    wait_until(file.exists)
    return [int(pid) for pid in file.read_text().split()]
