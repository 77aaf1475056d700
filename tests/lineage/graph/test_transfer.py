"""Closures go from store to store whole, in an order that never leaves anything named that is not there."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from msgspec.structs import replace as replaced

from lineal.errors import NotFound, StoreUnavailable
from lineal.graph import transfer as transfer_module
from lineal.graph.action import action_key
from lineal.graph.closure import BATCH_BLOBS, Roots, plan_transfer
from lineal.graph.records import (
    Action,
    ActionResult,
    Input,
    Origin,
    Output,
    RunRecord,
    StagePage,
    StageRecord,
    from_bytes,
    seal_record,
    to_bytes,
    unseal_record,
)
from lineal.graph.transfer import NotCopied, Report, check_writable, perform
from lineal_store import Digest, Place, Store, Tree, TreeEntry, Upload, open_store
from lineal_store.backends.memory import MemoryBackend
from lineal_store.blobs import name_of
from lineal_store.errors import BlobMissing, CorruptRecord, DigestMismatch
from lineal_store.sealed import seal, unseal

RUN = "20261122-173120-4f9ac2"
OTHER_RUN = "20261123-090000-aaaaaa"
NOW = datetime(2026, 11, 22, 18, tzinfo=UTC)
GIB = 1 << 30


class World:
    """A store, and how things come to be in it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.keys: dict[str, str] = {}

    def blob(self, text: str) -> str:
        return str(self.store.blobs.put(text.encode()))

    def tree(self, files: Mapping[str, str]) -> str:
        """A directory of files with these contents."""
        entries = []
        for path, text in sorted(files.items()):
            data = text.encode("latin-1")
            entries.append(TreeEntry(path, 0o644, self.store.blobs.put(data), len(data)))
        return str(self.store.blobs.put(Tree(tuple(entries)).encode()))

    def made(
        self,
        stage: str,
        outputs: Mapping[str, str | Mapping[str, str] | Output],
        *,
        out_of: Sequence[str] = (),
        sources: Sequence[str] = (),
        attempt: int = 1,
        **changed: Any,
    ) -> str:
        """``stage`` made outputs (texts, or directories of them) of earlier stages' ``result`` and of outside texts."""
        inputs, origins = {}, {}
        for maker in out_of:
            made = unseal_record(
                self.store.actions.find([self.keys[maker]])[self.keys[maker]].data, ActionResult
            )
            taken = made.outputs["result"]
            inputs[maker] = Input(digest=taken.digest, type=taken.type)
            origins[maker] = Origin(action_key=self.keys[maker], output="result")
        for source in sources:
            inputs[source] = Input(digest=self.blob(source), type="file")
            origins[source] = Origin(url=source)
        action = Action(stage=stage, fingerprint="f" * 32, inputs=inputs)
        result = ActionResult(
            action=action,
            outputs={name: self._output(value) for name, value in outputs.items()},
            origins=origins,
            manifest=self.blob(f"manifest of {stage}"),
            code_tree=self.tree({"flow.py": "the code", "lib/more.py": "more code"}),
            environment=self.blob("environment"),
            seed=1,
            run_id=RUN,
            stage_id=stage,
            attempt=attempt,
            started_at="2026-11-22T17:31:20+00:00",
            seconds=1.0,
            log=self.blob(f"log of {stage}"),
        )
        self.keys[stage] = action_key(action)
        self.file(self.keys[stage], seal_record(replaced(result, **changed)))
        return self.keys[stage]

    def _output(self, value: str | Mapping[str, str] | Output) -> Output:
        if isinstance(value, Output):
            return value
        if isinstance(value, str):
            return Output(digest=self.blob(value), type="json", size_bytes=len(value))
        digest = self.tree(value)
        return Output(
            digest=digest, type="directory", size_bytes=len(self.store.blobs.read(Digest.parse(digest)))
        )

    def file(self, key: str, data: bytes) -> None:
        self.store.actions.publish([(key, data)])

    def retire(self, stage: str, reason: str = "forced") -> None:
        key = self.keys[stage]
        generation = self.store.actions.generation(key)
        self.store.actions.retire(key, generation, reason, by="ann", at=NOW)

    def ran(self, run_id: str, *stages: str, failed: Sequence[str] = (), paged: bool = False) -> None:
        """A run of these stages has finished."""
        records = []
        for stage in stages:
            key = self.keys[stage]
            result = unseal_record(self.store.actions.find([key])[key].data, ActionResult)
            log = self.blob(f"log of {stage} in {run_id}")
            records.append(
                StageRecord(
                    id=stage,
                    name=stage,
                    state="succeeded",
                    action_key=key,
                    outputs=result.outputs,
                    logs=[log],
                )
            )
        records += [
            StageRecord(id=stage, name=stage, state="failed", action_key="0" * 32) for stage in failed
        ]
        pages = [self.store.blobs.put(to_bytes(StagePage(stages=[one]))) for one in records] if paged else []
        begun = RunRecord(
            run_id=run_id,
            pipeline="flow",
            target="flow.py:flow",
            state="running",
            namespace="tests",
            code_tree=self.tree({"flow.py": "the code", "run.py": f"of {run_id}"}),
            environment=self.blob("environment"),
            who="ann",
            host="here",
            process=1,
            lineal="0",
            started_at="2026-11-22T17:31:20+00:00",
        )
        finished = replaced(
            begun,
            state="succeeded",
            stages=[] if paged else records,
            pages=[str(page) for page in pages],
            outputs={stage: self.output(stage) for stage in stages[-1:]},
            finished_at="2026-11-22T17:31:22+00:00",
        )
        self.store.runs.begin(run_id, seal_record(begun))
        self.store.runs.finish(run_id, seal_record(finished))

    def output(self, stage: str, name: str = "result") -> str:
        key = self.keys[stage]
        return unseal_record(self.store.actions.find([key])[key].data, ActionResult).outputs[name].digest

    def tag(self, name: str, digest: str | None, run_id: str | None = RUN, at: str = "then") -> None:
        entry = {"digest": digest, "run_id": run_id, "deployed": False, "at": at, "who": "ann"}
        self.store.refs.append(f"tags/{name}", seal(entry))


def empty_store(name: str = "destination") -> Store:
    return Store(MemoryBackend(name))


def objects(store: Store) -> dict[str, bytes]:
    return {info.name: store.backend.read(info.name) for info in store.backend.list("")}


def copied(source: Store, destination: Store, roots: Roots | None = None) -> Report:
    return perform(plan_transfer(source, roots), source, destination)


def whole(store: Store) -> bool:
    """Whether everything that a good record in ``store`` names is there, read without the code under test."""
    held = {info.name: info.size_bytes for info in store.backend.list("blobs/")}

    def has(digest: str, size: int | None = None, kind: str = "file") -> bool:
        found = held.get(name_of(Digest.parse(digest)))
        if found is None or size not in (None, found):
            return False
        if kind != "directory":
            return True
        entries = Tree.decode(store.blobs.read(Digest.parse(digest))).entries
        return all(has(str(entry.digest), entry.size_bytes) for entry in entries)

    store.actions.refresh()
    keys = {info.name[8:].replace("/", "").partition(".")[0] for info in store.backend.list("actions/")}
    for filed in store.actions.list():
        result = unseal_record(filed.data, ActionResult)
        made = [origin.action_key for origin in result.origins.values() if origin.action_key]
        if not (
            all(has(one.digest, one.size_bytes, one.type) for one in result.outputs.values())
            and has(result.code_tree, kind="directory")
            and has(result.manifest)
            and has(result.environment)
            and set(made) <= keys
            and all(
                has(taken.digest, kind=taken.type)
                for port, taken in result.action.inputs.items()
                if result.origins[port].action_key
            )
        ):
            return False
    run_names = [info.name for info in store.backend.list("runs/")]
    for name in run_names:
        run = unseal_record(store.backend.read(name), RunRecord)
        if not all(has(page) for page in run.pages):
            return False
        stages = list(run.stages)
        for page in run.pages:
            stages += from_bytes(store.blobs.read(Digest.parse(page)), StagePage).stages
        named = {stage.action_key for stage in stages if stage.state == "succeeded"}
        begun = name.endswith(".begun") or f"{name}.begun" in run_names
        if not (named <= keys and begun and has(run.code_tree, kind="directory") and has(run.environment)):
            return False
    for name in store.refs.names("tags/"):
        for data in store.refs.log(name):
            entry: Any = unseal(data)
            if entry["digest"] is not None and not has(entry["digest"]):
                return False
            if entry["run_id"] is not None and store.runs.find(entry["run_id"]) is None:
                return False
    return True


@pytest.fixture
def world() -> World:
    """Two runs of a pipeline of every shape: directories, one with a directory's bytes in it, a past, names, pages."""
    world = World(empty_store("source"))
    inner = Tree((TreeEntry("x", 0o644, world.store.blobs.put(b"inside"), 6),)).encode().decode("latin-1")
    world.made("ingest", {"result": "the table"}, sources=["raw.csv"])
    world.made("split", {"result": {"x": "inside"}}, out_of=["ingest"])
    world.made("pack", {"result": {"inner.tree": inner, "b/y": "more"}}, out_of=["split", "ingest"])
    world.made("train", {"result": "first model"}, out_of=["split"])
    world.retire("train")
    world.made("train", {"result": "second model", "metrics": "{}"}, out_of=["split"], attempt=2)
    world.made("test", {"result": "0.9"}, out_of=["train"])
    world.made("unrelated", {"result": "something"}, sources=["other.csv"])
    world.ran(RUN, "ingest", "split", "pack", "train", "test", failed=["report"])
    world.ran(OTHER_RUN, "unrelated", paged=True)
    world.tag("baseline", world.output("train"))
    world.tag("card", world.output("test"))
    world.tag("other", world.output("unrelated"), OTHER_RUN)
    assert whole(world.store)
    return world


# --- closures --------------------------------------------------------------------------------------


def test_everything_arrives_as_it_was(world: World) -> None:
    destination = empty_store()

    report = copied(world.store, destination)

    assert objects(destination) == objects(world.store)
    assert (report.actions, report.runs, report.refs, report.already_there) == (6, 2, 3, 0)
    blobs = [len(data) for name, data in objects(destination).items() if name.startswith("blobs/")]
    assert (report.blobs, report.bytes) == (len(blobs), sum(blobs))
    assert (report.warnings, report.left) == ((), ())


def test_what_is_there_is_not_sent_again(world: World) -> None:
    destination = empty_store()
    first = copied(world.store, destination)
    before = objects(destination)

    second = copied(world.store, destination)

    assert (second.blobs, second.bytes, second.actions, second.runs, second.refs) == (0, 0, 0, 0, 0)
    assert (
        second.already_there == first.blobs - 1 + first.actions + first.runs + first.refs
    )  # a page is the run's
    assert objects(destination) == before


def test_a_run_brings_what_it_stands_on_and_its_names_and_nothing_else(world: World) -> None:
    destination = empty_store()

    report = copied(world.store, destination, Roots(runs=(RUN,)))

    assert whole(destination)
    assert (report.actions, report.runs, report.refs) == (5, 1, 2)
    assert destination.runs.find(OTHER_RUN) is None
    assert list(destination.refs.names()) == ["tags/baseline", "tags/card"]
    assert not destination.actions.find([world.keys["unrelated"]])
    logs = [Digest.of(f"log of {stage} in {RUN}".encode()) for stage in ("ingest", "test")]
    assert len(destination.blobs.sizes(logs)) == 2


def test_the_stages_of_a_long_run_are_on_pages(world: World) -> None:
    destination = empty_store()

    copied(world.store, destination, Roots(runs=(OTHER_RUN,)))

    assert whole(destination)
    assert destination.actions.find([world.keys["unrelated"]])
    assert destination.runs.find(OTHER_RUN) == world.store.runs.find(OTHER_RUN)


def test_an_artifact_brings_its_ancestors_and_no_descendant(world: World) -> None:
    destination = empty_store()

    report = copied(world.store, destination, Roots(artifacts=(world.output("train"),)))

    assert whole(destination)
    found = destination.actions.find(world.keys.values())
    assert {stage for stage, key in world.keys.items() if key in found} == {"ingest", "split", "train"}
    assert (report.runs, report.refs) == (0, 0)


def test_results_of_other_pipelines_come_along(world: World) -> None:
    world.made("serve", {"result": "served"}, out_of=["train"])
    world.ran("20261124-090000-bbbbbb", "serve")
    destination = empty_store()

    copied(world.store, destination, Roots(runs=("20261124-090000-bbbbbb",)))

    assert whole(destination)
    assert destination.actions.find([world.keys["ingest"]])


def test_a_source_that_is_only_taken_is_an_artifact_too(world: World) -> None:
    destination = empty_store()

    report = copied(world.store, destination, Roots(artifacts=(str(Digest.of(b"raw.csv")),)))

    assert (report.blobs, report.actions) == (1, 0)


def test_bytes_that_no_record_names_can_be_copied_alone(world: World) -> None:
    destination = empty_store()

    report = copied(world.store, destination, Roots(artifacts=(world.blob("a stranger"),)))

    assert (report.blobs, report.actions) == (1, 0)


def test_a_file_in_a_directory_leads_to_what_made_the_directory(world: World) -> None:
    destination = empty_store()

    copied(world.store, destination, Roots(artifacts=(str(Digest.of(b"more")),)))

    assert whole(destination)
    assert destination.actions.find([world.keys["pack"]])


def test_bytes_that_the_store_knows_nothing_of_are_not_found(world: World) -> None:
    with pytest.raises(NotFound, match="knows nothing of sha256:"):
        plan_transfer(world.store, Roots(artifacts=(str(Digest.of(b"elsewhere")),)))
    with pytest.raises(NotFound, match="has no run 20301122"):
        plan_transfer(world.store, Roots(runs=("20301122-173120-4f9ac2",)))


def test_unfinished_runs_are_for_those_who_name_them(world: World) -> None:
    begun = world.store.runs.find(RUN)
    assert begun is not None and begun.begun is not None
    unfinished = "20261125-090000-cccccc"
    record = replaced(unseal_record(begun.begun, RunRecord), run_id=unfinished)
    world.store.runs.begin(unfinished, seal_record(record))
    destination = empty_store()

    assert copied(world.store, destination).runs == 2
    assert copied(world.store, destination, Roots(runs=(unfinished,))).runs == 1
    assert whole(destination)


def test_a_result_whose_run_died_can_be_tagged_and_copied(world: World) -> None:
    begun = world.store.runs.find(RUN)
    assert begun is not None and begun.begun is not None
    died = "20261125-090000-cccccc"
    world.store.runs.begin(died, seal_record(replaced(unseal_record(begun.begun, RunRecord), run_id=died)))
    world.tag("rescued", world.output("train"), died)
    destination = empty_store()

    report = copied(world.store, destination)

    assert report.refs == 4
    assert whole(destination)


def test_bytes_that_come_back_where_they_started_are_copied_too() -> None:
    world = World(empty_store("source"))
    world.made("decode", {"result": "plain"}, sources=["coded"])
    world.made("encode", {"result": "coded"}, out_of=["decode"])
    world.retire("decode")
    inputs = {"coded": Input(digest=world.output("encode"), type="file")}
    assert action_key(Action(stage="decode", fingerprint="f" * 32, inputs=inputs)) == world.keys["decode"]
    origin = Origin(action_key=world.keys["encode"], output="result")
    world.made("decode", {"result": "plain"}, sources=["coded"], origins={"coded": origin})
    destination = empty_store()

    report = copied(world.store, destination)

    assert report.left == ()
    assert objects(destination) == objects(world.store)


def test_five_hundred_generations_need_no_recursion() -> None:
    world = World(empty_store("source"))
    world.made("s0", {"result": "v0"}, sources=["raw"])
    for number in range(1, 500):
        world.made(f"s{number}", {"result": f"v{number}"}, out_of=[f"s{number - 1}"])
    destination = empty_store()

    assert copied(world.store, destination, Roots(artifacts=(world.output("s499"),))).actions == 500
    assert whole(destination)


# --- order -----------------------------------------------------------------------------------------


class Fragile(MemoryBackend):
    """Writes the objects of a batch one by one, in the order or against it, and breaks when told to."""

    def __init__(self, *, backwards: bool, after_each: Callable[[], None] = lambda: None) -> None:
        super().__init__("fragile")
        self._backwards, self._after_each = backwards, after_each
        self.left = GIB
        self.written: list[str] = []

    def create(self, uploads: Sequence[Upload]) -> Sequence[bool]:
        made = {}
        for place in sorted(range(len(uploads)), reverse=self._backwards):
            if self.left == 0:
                raise StoreUnavailable(self.url, "the connection broke", None, True)
            made[place] = super().create([uploads[place]])[0]
            if made[place]:
                self.left -= 1
                self.written.append(uploads[place].name)
                self._after_each()
        return [made[place] for place in range(len(uploads))]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("roots", [None, Roots(runs=(RUN,)), Roots(tags=("other",))])
def test_at_no_moment_anything_names_what_is_not_there(
    world: World, roots: Roots | None, backwards: bool
) -> None:
    moments = []
    backend = Fragile(backwards=backwards, after_each=lambda: moments.append(whole(Store(backend))))

    copied(world.store, Store(backend), roots)

    assert len(moments) > 10
    assert all(moments)


@pytest.mark.parametrize("backwards", [False, True])
def test_a_retired_result_never_passes_for_a_good_one(world: World, backwards: bool) -> None:
    key = world.keys["train"]
    offered: set[bytes] = set()

    def look() -> None:
        found = Store(backend).actions.find([key])
        offered.update(filed.data for filed in found.values())

    backend = Fragile(backwards=backwards, after_each=look)
    copied(world.store, Store(backend))

    assert offered == {world.store.actions.find([key])[key].data}


@pytest.mark.parametrize("backwards", [False, True])
def test_after_a_crash_at_any_write_the_same_command_goes_on(world: World, backwards: bool) -> None:
    complete = Fragile(backwards=backwards)
    copied(world.store, Store(complete))
    total = len(complete.written)

    for count in range(total):
        backend = Fragile(backwards=backwards)
        backend.left = count
        with pytest.raises(StoreUnavailable):
            copied(world.store, Store(backend))
        assert whole(Store(backend)), f"after {count} writes"
        before = len(backend.written)
        backend.left = GIB

        report = copied(world.store, Store(backend))

        assert objects(Store(backend)) == objects(Store(complete)), f"after {count} writes"
        assert len(backend.written) - before == total - count, "nothing is written twice"
        assert report.left == ()


def test_runs_begin_before_they_finish_and_names_come_last(world: World) -> None:
    backend = Fragile(backwards=False)

    copied(world.store, Store(backend), Roots(runs=(RUN,)))

    kinds = [name.partition("/")[0] for name in backend.written if "retired" not in name]
    assert kinds == sorted(kinds, key=["blobs", "actions", "runs", "refs"].index)
    assert [name.endswith(".begun") for name in backend.written if name.startswith("runs/")] == [True, False]


# --- tags ------------------------------------------------------------------------------------------


def newest(store: Store, tag: str) -> Any:
    entry = store.refs.newest(f"tags/{tag}")
    return unseal(entry[1]) if entry is not None else None


def test_a_tag_that_moved_moves_there_too_and_it_is_said(world: World) -> None:
    destination = empty_store()
    copied(world.store, destination)
    world.tag("baseline", world.output("test"))

    report = copied(world.store, destination, Roots(tags=("baseline",)))

    assert report.refs == 1
    assert newest(destination, "baseline")["digest"] == world.output("test")
    assert len(destination.refs.log("tags/baseline")) == 2
    [warning] = report.warnings
    assert world.output("train") in warning and world.output("test") in warning


def test_a_tag_that_has_moved_on_there_is_not_moved_back(world: World) -> None:
    destination = empty_store()
    copied(world.store, destination)
    World(destination).tag("baseline", world.output("test"), at="later")

    report = copied(world.store, destination)

    assert (report.refs, report.warnings) == (0, ())
    assert newest(destination, "baseline")["digest"] == world.output("test")


def test_the_deletion_of_a_tag_goes_along_where_there_is_something_to_delete(world: World) -> None:
    destination, fresh = empty_store(), empty_store("fresh")
    copied(world.store, destination)
    world.tag("baseline", None, None)

    assert copied(world.store, destination).refs == 1
    assert newest(destination, "baseline")["digest"] is None
    assert copied(world.store, fresh).refs == 2
    assert newest(fresh, "baseline") is None


def test_a_tag_brings_the_run_and_the_bytes_that_it_names(world: World) -> None:
    destination = empty_store()

    report = copied(world.store, destination, Roots(tags=("other",)))

    assert whole(destination)
    assert (report.actions, report.runs, report.refs) == (1, 1, 1)


# --- histories -------------------------------------------------------------------------------------


def history(store: Store, key: str) -> list[tuple[int, bytes, str | None]]:
    return [
        (filed.generation, filed.data, retirement and f"{retirement.reason} {retirement.by} {retirement.at}")
        for filed, retirement in store.actions.history(key)
    ]


def test_what_was_retired_is_so_there_too_with_its_reason(world: World) -> None:
    destination = empty_store()

    copied(world.store, destination)

    key = world.keys["train"]
    assert history(destination, key) == history(world.store, key)
    assert history(destination, key)[0][2] == f"forced ann {NOW}"


def test_a_result_that_was_retired_and_never_replaced_is_no_hit_there_either(world: World) -> None:
    world.retire("unrelated", "corrupt")
    destination = empty_store()

    copied(world.store, destination)

    key = world.keys["unrelated"]
    assert destination.actions.find([key]) == {}
    assert history(destination, key) == history(world.store, key)


def test_what_a_retired_result_made_may_be_lost(world: World) -> None:
    world.store.backend.delete([name_of(Digest.of(b"first model"))])
    destination = empty_store()

    report = copied(world.store, destination)

    assert (report.left, report.warnings) == ((), ())
    assert history(destination, world.keys["train"]) == history(world.store, world.keys["train"])


def test_a_result_of_its_own_stays_and_it_is_said(world: World) -> None:
    there = World(empty_store())
    there.made("ingest", {"result": "another table"}, sources=["raw.csv"])
    there.made("unrelated", {"result": "something"}, sources=["other.csv"], attempt=7)
    before = history(there.store, there.keys["ingest"])

    report = copied(world.store, there.store)

    assert history(there.store, there.keys["ingest"]) == before
    [warning] = report.warnings  # equal bytes, made twice, are no news
    assert warning.startswith(f"ingest (xxh3:{there.keys['ingest']}) is not deterministic")
    assert whole(there.store)


def test_where_a_result_was_replaced_since_the_one_there_stays(world: World) -> None:
    destination = empty_store()
    copied(world.store, destination)
    world.retire("unrelated")
    world.made("unrelated", {"result": "something else"}, sources=["other.csv"])
    before = history(destination, world.keys["unrelated"])

    report = copied(world.store, destination)

    assert history(destination, world.keys["unrelated"]) == before
    assert [text.partition(" is not ")[2][:13] for text in report.warnings] == ["deterministic"]


def test_that_a_good_result_there_is_retired_here_is_said(world: World) -> None:
    destination = empty_store()
    copied(world.store, destination)
    world.retire("unrelated", "quarantined")

    [warning] = copied(world.store, destination).warnings

    assert "quarantined by ann" in warning
    assert "still good" in warning


@pytest.mark.parametrize(
    ("reason", "offered"), [("quarantined", False), ("forced", False), ("expired", False), ("lost", True)]
)
def test_a_result_that_was_retired_there_comes_back_only_if_its_bytes_were_the_reason(
    world: World, reason: str, offered: bool
) -> None:
    destination = empty_store()
    copied(world.store, destination)
    key = world.keys["unrelated"]
    destination.actions.retire(key, 0, reason, by="bob", at=NOW)

    report = copied(world.store, destination)

    assert (key in destination.actions.find([key])) is offered
    assert any(
        f"stays retired in memory://destination: {reason} by bob" in text for text in report.warnings
    ) is (not offered)


def test_a_past_of_its_own_is_left_as_it_is(world: World) -> None:
    there = World(empty_store())
    there.made("train", {"result": "their model"})
    there.keys["train"] = world.keys["train"]
    there.file(world.keys["train"], b"garbage")
    there.retire("train", "corrupt")

    copied(world.store, there.store)

    assert [(number, data[:7]) for number, data, _ in history(there.store, world.keys["train"])] == [
        (0, b"garbage"),
        (1, seal("")[:4] + history(there.store, world.keys["train"])[1][1][4:7]),
    ]


# --- loss ------------------------------------------------------------------------------------------


def test_sources_that_were_not_kept_and_lost_logs_are_no_loss(world: World) -> None:
    world.store.backend.delete([name_of(Digest.of(text)) for text in (b"raw.csv", b"log of train")])
    destination = empty_store()

    report = copied(world.store, destination)

    assert (report.actions, report.left, report.warnings) == (6, (), ())


def test_what_names_a_lost_blob_is_left_with_all_that_stands_on_it(world: World) -> None:
    world.store.backend.delete([name_of(Digest.of(b"second model"))])
    destination = empty_store()

    report = copied(world.store, destination)

    assert whole(destination)
    assert {one.what.partition(" (")[0] for one in report.left} == {
        "train", "test", f"run {RUN}", "tag baseline", "tag card"
    }  # fmt: skip
    assert {type(one.because) for one in report.left} == {BlobMissing}
    assert (report.actions, report.runs, report.refs) == (4, 1, 1)


def test_what_is_lost_here_and_kept_there_is_no_loss(world: World) -> None:
    destination = empty_store()
    copied(world.store, destination, Roots(artifacts=(world.output("train"),)))
    lost = [name_of(Digest.of(text)) for text in (b"second model", b"the table", b"environment")]
    world.store.backend.delete(lost)
    key = world.keys["ingest"]
    world.store.backend.delete([f"actions/{key[:2]}/{key[2:]}.0"])

    report = copied(world.store, destination)

    assert report.left == ()
    assert whole(destination)
    assert (report.runs, report.refs) == (2, 3)


def test_the_error_names_the_reasons_and_survives_pickling(world: World) -> None:
    world.store.backend.delete([name_of(Digest.of(b"second model"))])
    left = copied(world.store, empty_store(), Roots(runs=(RUN,))).left

    error = NotCopied.of("memory://source", left)

    assert str(error).startswith(
        f"the store memory://source holds no blob {Digest.of(b'second model')}; therefore"
    )
    assert f"run {RUN}" in str(error)
    assert (error.exit_code, error.hint) == (4, BlobMissing.hint)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_result_that_a_run_names_and_the_store_lacks_is_told(world: World) -> None:
    key = world.keys["unrelated"]
    world.store.backend.delete([f"actions/{key[:2]}/{key[2:]}.0"])

    report = copied(world.store, empty_store(), Roots(runs=(OTHER_RUN,)))

    assert [one.what for one in report.left] == [f"run {OTHER_RUN}", "tag other"]
    assert key in str(report.left[0].because)


# --- damage and malice -----------------------------------------------------------------------------


def spoil(store: Store, name: str, data: bytes) -> None:
    store.backend.create([Upload(name, data, replace=True)])


def other_key(world: World) -> str:
    """A good record under a key that is not its own."""
    wrong = "ab" * 16
    key = world.keys["unrelated"]
    spoil(world.store, f"actions/ab/{wrong[2:]}.0", world.store.actions.find([key])[key].data)
    return "is the result of another action"


def garbage_record(world: World) -> str:
    key = world.keys["unrelated"]
    spoil(world.store, f"actions/{key[:2]}/{key[2:]}.0", b"garbage")
    return "does not start as a sealed record does"


def other_bytes(world: World) -> str:
    spoil(world.store, name_of(Digest.of(b"something")), b"SOMETHING")
    return f"filed under {Digest.of(b'something')}"


def tree_without_child(world: World) -> str:
    world.made("wide", {"result": {"kept": "kept", "gone": "gone for ever"}}, sources=["other.csv"])
    world.store.backend.delete([name_of(Digest.of(b"gone for ever"))])
    return f"holds no blob {Digest.of(b'gone for ever')}"


def tree_that_is_none(world: World) -> str:
    output = Output(digest=world.blob("no tree"), type="directory", size_bytes=7)
    world.made("wide", {"result": output}, sources=["other.csv"])
    return "is damaged"


def false_size(world: World) -> str:
    output = Output(digest=world.blob("twelve bytes"), type="json", size_bytes=13)
    world.made("wide", {"result": output}, sources=["other.csv"])
    return "has 13 bytes, and it has 12"


def false_size_in_a_tree(world: World) -> str:
    entry = TreeEntry("a", 0o644, world.store.blobs.put(b"five!"), 6)
    tree = Tree((entry,)).encode()
    output = Output(digest=str(world.store.blobs.put(tree)), type="directory", size_bytes=len(tree))
    world.made("wide", {"result": output}, sources=["other.csv"])
    return "has 6 bytes, and it has 5"


def digest_that_is_none(world: World) -> str:
    world.made("wide", {}, manifest="sha256:../../etc/passwd")
    return "is not 64 lowercase hex digits"


def input_from_nowhere(world: World) -> str:
    world.made("wide", {}, sources=["other.csv"], origins={})
    return "does not say where its input other.csv came from"


def ancestor_that_is_no_key(world: World) -> str:
    world.made("wide", {}, sources=["other.csv"], origins={"other.csv": Origin(action_key="../../x")})
    return "is no action key"


def ancestor_that_is_not_there(world: World) -> str:
    world.made("wide", {}, sources=["other.csv"], origins={"other.csv": Origin(action_key="cd" * 16)})
    return f"no object named xxh3:{'cd' * 16}"


def run_under_another_id(world: World) -> str:
    record = world.store.runs.find(RUN)
    assert record is not None and record.finished is not None
    spoil(world.store, "runs/2026/11/24/20261124-000000-dddddd", record.finished)
    return f"is the record of another run, '{RUN}'"


def run_under_no_id(world: World) -> str:
    spoil(world.store, "runs/2026/11/24/evil", b"garbage")
    return "no run is named so"


def garbage_run(world: World) -> str:
    spoil(world.store, "runs/2026/11/24/20261124-000000-dddddd", b"garbage")
    return "does not start as a sealed record does"


def garbage_tag(world: World) -> str:
    world.store.refs.append("tags/evil", seal({"digest": 7}))
    return "is no entry of a tag"


def tag_of_no_run(world: World) -> str:
    world.tag("evil", world.output("train"), "20301122-173120-4f9ac2")
    return "no object named run 20301122-173120-4f9ac2"


def garbage_retirement(world: World) -> str:
    key = world.keys["train"]
    spoil(world.store, f"refs/retired/{key}.0", b"garbage")
    return "does not start as a sealed record does"


DAMAGES = [
    other_key, garbage_record, other_bytes, tree_without_child, tree_that_is_none, false_size,
    false_size_in_a_tree, digest_that_is_none, input_from_nowhere, ancestor_that_is_no_key,
    ancestor_that_is_not_there, run_under_another_id, run_under_no_id, garbage_run, garbage_tag, tag_of_no_run,
    garbage_retirement,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_nothing_damaged_arrives_and_what_is_fine_does(world: World, damage: Callable[[World], str]) -> None:
    problem = damage(world)
    spoiled = objects(world.store)
    destination = empty_store()

    report = copied(world.store, destination)

    assert report.left
    assert any(problem in str(one.because) for one in report.left)
    assert NotCopied.of(world.store.url, report.left).hint
    assert whole(destination)
    arrived = objects(destination)
    assert all(spoiled[name] == data for name, data in arrived.items())
    assert all(
        Digest.of(data) == Digest(name[6:].replace("/", ""))
        for name, data in arrived.items()
        if name[:6] == "blobs/"
    )
    assert b"garbage" not in arrived.values()
    assert world.keys["ingest"] in destination.actions.find(world.keys.values())


def test_damage_that_nothing_stands_on_is_only_said(world: World) -> None:
    spoil(world.store, name_of(Digest.of(b"log of train")), b"lies")
    destination = empty_store()

    report = copied(world.store, destination)

    assert report.left == ()
    [warning] = report.warnings
    assert warning.startswith(f"{Digest.of(b'log of train')} was not copied")


def test_a_record_that_changes_while_it_is_copied_is_left(world: World) -> None:
    planned = plan_transfer(world.store)
    garbage_record(world)
    destination = empty_store()

    report = perform(planned, world.store, destination)

    assert {type(one.because) for one in report.left} == {CorruptRecord}
    assert whole(destination)
    assert any("it changed while it was copied" in str(one.because) for one in report.left)


def test_a_store_that_does_not_keep_what_it_is_given_is_found_out(world: World) -> None:
    class Forgetful(MemoryBackend):
        def create(self, uploads: Sequence[Upload]) -> Sequence[bool]:
            kept = [upload for upload in uploads if upload.name != name_of(Digest.of(b"second model"))]
            super().create(kept)
            return [True] * len(uploads)

    with pytest.raises(StoreUnavailable, match="it kept 0"):
        copied(world.store, Store(Forgetful()))


# --- size ------------------------------------------------------------------------------------------


class Counting(MemoryBackend):
    """Notes how many blobs are read at once."""

    def __init__(self) -> None:
        super().__init__("source")
        self.at_once: list[int] = []
        self.whole: list[str] = []
        self.streamed: list[str] = []

    def read(self, name: str) -> bytes:
        self.whole.append(name)
        return super().read(name)

    def read_many(self, names: Any) -> dict[str, bytes]:
        names = list(names)
        self.at_once.append(len(names))
        self.whole += names
        return super().read_many(names)

    def open(self, name: str) -> BinaryIO:
        self.streamed.append(name)
        return MemoryBackend.open(self, name)


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(transfer_module, "IN_MEMORY_BYTES", 1000)
    yield


def test_small_blobs_are_read_in_batches() -> None:
    backend = Counting()
    world = World(Store(backend))
    world.made("wide", {f"o{number}": f"value {number}" for number in range(3 * BATCH_BLOBS)})
    destination = empty_store()
    backend.at_once.clear()

    copied(world.store, destination)

    assert max(backend.at_once) == BATCH_BLOBS
    assert whole(destination)


@pytest.mark.usefixtures("small_limit")
def test_large_blobs_are_streamed_through_files(tmp_path: Path) -> None:
    world = World(open_store(tmp_path / "source"))
    world.made("big", {"result": "x" * 1001, "small": "y" * 1000})
    destination = open_store(tmp_path / "destination")
    read: list[str] = []
    ours = world.store.backend.read_many
    world.store.backend.read_many = lambda names: ours(read.append(n) or n for n in names)  # type: ignore[method-assign,func-returns-value]

    report = copied(world.store, destination)

    large = Digest.of(b"x" * 1001)
    assert report.left == ()
    assert destination.blobs.read(large) == b"x" * 1001
    assert name_of(large) not in read
    assert name_of(Digest.of(b"y" * 1000)) in read
    assert list(destination.backend.spool().iterdir()) == []


@pytest.mark.usefixtures("small_limit")
def test_damaged_large_blobs_do_not_arrive_either(tmp_path: Path) -> None:
    world = World(empty_store("source"))
    world.made("big", {"result": "x" * 1001})
    large = Digest.of(b"x" * 1001)
    spoil(world.store, name_of(large), b"z" * 1001)
    destination = open_store(tmp_path / "destination")

    [left] = copied(world.store, destination).left

    assert isinstance(left.because, DigestMismatch)
    assert destination.blobs.sizes([large, Digest.of(b"z" * 1001)]) == {}
    assert list(destination.backend.spool().iterdir()) == []


def test_progress_counts_bytes_to_the_end(world: World) -> None:
    told: list[tuple[int, int]] = []
    planned = plan_transfer(world.store)

    perform(planned, world.store, empty_store(), progress=lambda *both: told.append(both))

    assert told[0] == (0, planned.size_bytes)
    assert max(told) >= (planned.size_bytes, planned.size_bytes)
    assert told == sorted(told)


# --- stores ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_limit")
def test_what_lies_upstream_of_the_source_is_copied_as_well(tmp_path: Path) -> None:
    team = World(open_store(tmp_path / "team"))
    team.made("ingest", {"result": "the table" * 500}, sources=["raw.csv"])
    own = World(open_store(Place(str(tmp_path / "own"), upstream=(str(tmp_path / "team"),))))
    own.keys = team.keys
    key = team.keys["ingest"]
    own.file(key, team.store.actions.find([key])[key].data)  # as a run adopts it
    own.made("train", {"result": "model"}, sources=["raw.csv"])
    destination = open_store(tmp_path / "elsewhere")

    report = copied(own.store, destination)

    assert report.left == ()
    assert report.actions == 2
    assert whole(destination)


def test_between_local_stores_everything_is_as_it_was(tmp_path: Path, world: World) -> None:
    source, destination = open_store(tmp_path / "a"), open_store(tmp_path / "b")
    copied(world.store, source)

    copied(source, destination)

    ours, theirs = objects(source), objects(destination)
    del ours["lineal-store.json"], theirs["lineal-store.json"]
    assert theirs == ours


def test_a_store_that_cannot_be_written_is_found_out_at_once(tmp_path: Path) -> None:
    class ReadOnly(MemoryBackend):
        def create(self, uploads: Sequence[Upload]) -> Sequence[bool]:
            raise StoreUnavailable(self.url, "permission denied")

    store = open_store(tmp_path / "store")
    check_writable(store)
    assert list(objects(store)) == ["lineal-store.json"]

    backend = ReadOnly()
    MemoryBackend.create(backend, [Upload("lineal-store.json", b"{}")])
    with pytest.raises(StoreUnavailable, match="permission denied"):
        check_writable(Store(backend))
