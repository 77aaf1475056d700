from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dask_clusters
import pytest
from dask_clusters import Cluster
from msgspec.structs import replace as replace_fields

from lineal.executors.dask import DaskExecutor, DaskUnavailable, Patience
from lineal.executors.protocol import Setup
from lineal.executors.testing import IsolatedExecutorTests, Make, Workbench
from lineal_store import Store


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with dask_clusters.cluster(tmp_path_factory.mktemp("dask")) as cluster:
        cluster.add_worker(threads=os.cpu_count() or 1, resources="token=2")
        cluster.wait_for_workers(1)
        yield cluster


class TestDaskExecutor(IsolatedExecutorTests):
    @pytest.fixture
    def make_executor(self, cluster: Cluster) -> Make:
        return lambda setup, store, slots: DaskExecutor(cluster.address, setup, store, slots)

    def test_code_comes_out_of_the_store_and_not_from_the_disk(self, bench: Workbench) -> None:
        bench.root.rename(bench.root.with_name("elsewhere"))

        assert bench.bytes_of(bench.attempt("add", a=1, b=2)) == b"3"

    def test_no_variable_is_sent_but_those_that_stages_declare(
        self, cluster: Cluster, tmp_path: Path
    ) -> None:
        bench = Workbench(
            tmp_path,
            lambda setup, store, slots: DaskExecutor(
                cluster.address,
                replace_fields(setup, variables={**setup.variables, "MODE": "fast", "TOKEN": "hunter2"}),
                store,
                slots,
                declared=["MODE", "NOWHERE"],
            ),
        )
        try:
            job = bench.executor._job
            assert job.setup.variables == {"MODE": "fast", "PYTHONHASHSEED": "0"}
            assert job.unset == ("NOWHERE",)
            assert b"hunter2" not in pickle.dumps(job)
            assert bench.bytes_of(bench.attempt("variables", names=["MODE", "TOKEN"])) == b'["fast",null]'
        finally:
            bench.executor.close()

    def test_an_attempt_is_for_one_process_alone(self, bench: Workbench) -> None:
        (address, site), *_ = bench.executor._sites.items()
        successor = replace(site, fitness=replace(site.fitness, process="another"))
        bench.executor._sites[address] = successor

        failure = bench.attempt("add", a=1, b=1).failure

        assert failure is not None
        assert (failure.kind, failure.type) == ("killed", "NotBegun")

    def test_a_resource_that_no_worker_has_fails_at_once_and_for_good(self, bench: Workbench) -> None:
        outcome = bench.outcome(bench.submit("add", a=1, b=1, resources={"token": 5}))

        assert outcome.failure is not None
        assert (outcome.failure.type, outcome.repeatable) == ("NoSuchWorker", False)
        assert bench.bytes_of(bench.attempt("add", a=1, b=1, resources={"token": 2})) == b"2"

    def test_attempts_that_want_the_same_resource_take_turns(self, bench: Workbench) -> None:
        ids = [bench.submit("add", a=number, b=0, resources={"token": 2}) for number in range(3)]

        assert [bench.bytes_of(bench.outcome(attempt_id)) for attempt_id in ids] == [b"0", b"1", b"2"]

    def test_a_scheduler_that_falls_silent_is_not_waited_for_for_ever(self, tmp_path: Path) -> None:
        with dask_clusters.cluster(tmp_path / "own") as own:
            own.add_worker(threads=1)
            own.wait_for_workers(1)
            bench = Workbench(
                tmp_path,
                lambda setup, store, slots: DaskExecutor(
                    own.address, setup, store, slots, patience=Patience(silence=1, close=1)
                ),
            )
            attempt_id = bench.submit("sleep", seconds=600.0)
            own.suspend()
            try:
                outcome = bench.outcome(attempt_id)
                bench.executor.close()
            finally:
                own.resume()

        assert outcome.failure is not None
        assert (outcome.failure.type, outcome.repeatable) == ("WorkerLost", True)

    def test_an_attempt_waits_for_a_worker_in_place_of_the_last_one(self, tmp_path: Path) -> None:
        with dask_clusters.cluster(tmp_path / "own") as own:
            worker = own.add_worker(threads=1)
            own.wait_for_workers(1)
            bench = Workbench(
                tmp_path,
                lambda setup, store, slots: DaskExecutor(own.address, setup, store, slots),
            )
            running = bench.submit("sleep", seconds=600.0)
            waiting = bench.submit("add", a=1, b=1)
            worker.kill()

            failure = bench.outcome(running).failure
            own.add_worker(threads=1)

            assert bench.bytes_of(bench.outcome(waiting)) == b"2"
            assert failure is not None
            assert (failure.kind, failure.type) == ("killed", "WorkerLost")
            bench.executor.close()

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"distributions": {"pyarrow": "0.1"}}, "pyarrow"),
            ({"store": "elsewhere"}, "does not reach the store"),
        ],
    )
    def test_a_worker_that_would_give_other_results_is_not_used(
        self, cluster: Cluster, tmp_path: Path, change: dict[str, object], told: str
    ) -> None:
        def make(setup: Setup, store: Store, slots: int) -> DaskExecutor:
            if "store" in change:
                setup = replace_fields(setup, store=setup.store._replace(url=str(tmp_path / "elsewhere")))
            return DaskExecutor(
                cluster.address, setup, store, slots, distributions=change.get("distributions", {})
            )

        with pytest.raises(DaskUnavailable, match=told):
            Workbench(tmp_path, make)
