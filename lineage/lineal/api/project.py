"""The public verbs, assembled: everything the command line does, as functions that return documents."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from lineal.api.config import Configuration, load_configuration
from lineal.api.given import Given
from lineal.api.lookups import Lookups
from lineal.api.nearest import did_you_mean
from lineal.api.targets import Target, import_folders, load_module, pick_pipeline, put_first, resolve
from lineal.api.tracing import is_traced
from lineal.errors import LinealError, NotFound, StoreUnavailable, UsageError
from lineal.events import Listener, ignore
from lineal.executors.early import Early
from lineal.fingerprint import loader
from lineal.fingerprint.sources import Sources
from lineal_store import Store, open_store

if TYPE_CHECKING:
    from datetime import datetime

    from lineal.api.addresses import Addresses, Found
    from lineal.engine.memo import Typed
    from lineal.engine.session import RunRequest
    from lineal.graph.records import RunRecord
    from lineal.graph.transfer import Progress
    from lineal.stages import Graph, Node, Pipeline, Stage

Document = dict[str, Any]
T = TypeVar("T")


def open_project(
    start: Path | None = None, *, profile: str | None = None, overrides: Mapping[str, object] | None = None
) -> Project:
    """The project around ``start`` (the current folder by default), with its configuration read. Opens no store yet."""
    return Project(load_configuration(start or Path.cwd(), profile=profile, overrides=overrides))


class Project:
    """A configured project. Verbs raise `lineal.errors.LinealError`; a failed run is a document like any other."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.root = configuration.root

    @cached_property
    def store(self) -> Store:
        """The store, made if it is a local one that is not there yet."""
        _keep_out_of_git(self.root / ".lineal")
        return open_store(self.configuration.place)

    @cached_property
    def _store_as_it_is(self) -> Store:
        """The store for questions: a project that has not run yet has an empty one, and asking makes none."""
        try:
            return open_store(self.configuration.place, create=False)
        except StoreUnavailable:
            by_default = self.configuration.origins.get("store") == "default"
            if by_default and not os.path.lexists(self.configuration.store):
                return open_store(self.configuration.place._replace(url="memory://nothing-yet"))
            raise

    # -- running ------------------------------------------------------------------------------

    def run(
        self,
        target: str | None,
        assignments: Sequence[str] = (),
        *,
        params_file: Path | None = None,
        dry_run: bool = False,
        force: Sequence[str] = (),
        why: str | None = None,
        only: Sequence[str] = (),
        until: Sequence[str] = (),
        fail_fast: bool = False,
        check_determinism: str | None = None,
        jobs: int | None = None,
        timeout: str | None = None,
        executor: str | None = None,
        listener: Listener | None = None,
        typed: Typed | None = None,
        data: Mapping[str, Any] | None = None,
        logical_date: datetime | None = None,
        trigger: str = "",
    ) -> Document:
        """Run what is invalid, or with ``dry_run`` say what would run. ``timeout`` is a duration, ``"2h"``.

        ``data`` are parameters as JSON says them, which assignments and the file override; ``logical_date`` fills the parameter that takes
        it, if the pipeline has one; ``trigger`` says what has started the run, where that was no person.

        ``why`` is recorded with results that ``force`` supersedes. ``check_determinism`` is the share of hits to execute again and
        compare, ``"10%"``. ``typed`` is the command line that asks for this, where
        the answer may be kept for it (`lineal.engine.memo`).
        """
        executor = _known_executor(executor or self.configuration.executor)
        if why is not None and not force:
            raise UsageError("--why is given, and nothing is forced", "It says why --force STAGE is used.")
        timeout_seconds = None if timeout is None else _timeout(timeout)
        check_share = 0.0 if check_determinism is None else _share("--check-determinism", check_determinism)
        if check_share and dry_run:
            raise UsageError(
                "--check-determinism executes stages, and --dry-run none", "Leave one of them away."
            )

        def act(request: RunRequest) -> RunRecord:
            request = replace(
                request,
                force=force,
                why=why or "",
                only=only,
                until=until,
                fail_fast=fail_fast,
                check_share=check_share,
                jobs=jobs,
                timeout_seconds=timeout_seconds,
                executor=executor,
                trigger=trigger,
                listener=listener or ignore,
                early=early,
            )
            if not dry_run:
                return self.execute(request)
            from lineal.engine.session import preview_run

            preview = preview_run(request)
            if preview.state != "queued":
                return preview
            from lineal.api.advice import advised

            return advised(preview, request)

        given = Given(assignments, params_file, data or {}, logical_date)
        early = Early() if executor == "process" and not dry_run else None
        with closing(early) if early is not None else nullcontext():
            record = self._with_graph(
                target,
                given,
                act,
                asking=dry_run,
                executes=bool(force or check_share) and not dry_run,
                kept=None
                if typed is None or dry_run or params_file or check_share
                else Lookups.made(typed, target, self.root),
                early=early,
            )
        from lineal.views.runs import run_document

        return run_document(record, record.stages)

    def rerun(
        self,
        run_id: str,
        *,
        listener: Listener | None = None,
        jobs: int | None = None,
        executor: str | None = None,
    ) -> Document:
        """Run the pipeline of an earlier run again, with its parameters and today's code."""
        from lineal.views.runs import run_document

        run = self._addresses.get_run(run_id)
        request = replace(
            self.request_again(run_id, run.target, run.parameters),
            jobs=jobs,
            executor=_known_executor(executor or self.configuration.executor),
            listener=listener or ignore,
        )
        record = self.execute(request)
        return run_document(record, record.stages)

    def request_again(
        self, run_id: str, target: str, recorded: Mapping[str, Any], assignments: Sequence[str] = ()
    ) -> RunRequest:
        """What the run recorded as its target and parameters, to be run with the code that is here; ``assignments``, NAME=VALUE,
        stand in place of what was recorded. `UsageError` where that lacks a secret.
        """
        from lineal.api.parameters import Declared, parse_assignments
        from lineal.artifacts import Secret
        from lineal.artifacts.annotations import required
        from lineal.artifacts.values import decode_value, import_by_name

        place, pipeline, sources = self._load(target, self.root)
        ports = pipeline.signature.inputs
        declared = {port.name: Declared(port.annotation, has_default=True) for port in ports.values()}
        known = {name: decode_value(value, resolve=import_by_name) for name, value in recorded.items()}
        known = {
            name: _outside(value, ports[name].annotation) if name in ports else value
            for name, value in known.items()
        }
        known.update(parse_assignments(assignments, None, declared))
        secret = [
            name
            for name, port in ports.items()
            if required(port.annotation)[0] is Secret and isinstance(known.get(name), str)
        ]
        if secret:
            raise UsageError(
                f"run {run_id} was given {' and '.join(secret)}, and secrets are not kept",
                "`lineal run` takes them anew.",
            )
        return self._request_of(place, pipeline.trace(known), sources, self.store)

    def cancel(self, run_id: str) -> Document:
        """Have a run stop that goes on anywhere with this store, and wait for that; ``state`` says what became of it."""
        from lineal.api.cancel import cancel_run

        run = self._addresses.get_run(run_id)
        return cancel_run(self.store, run)

    def execute(self, request: RunRequest) -> RunRecord:
        """Run it, and have those told of it whom the configuration names, and the collector of traces."""
        if is_traced():
            from lineal.api.otel import execute_traced

            return execute_traced(request, self._execute)
        return self._execute(request)

    def _execute(self, request: RunRequest) -> RunRecord:
        from lineal.engine.session import execute_run

        if not self.configuration.alerts:
            return execute_run(request)
        from lineal.api.alerts import execute_told

        return execute_told(request, self.configuration.alerts, self.configuration.page or "")

    def status(
        self, target: str | None, assignments: Sequence[str] = (), *, params_file: Path | None = None
    ) -> Document:
        """What a run would do."""
        if self.configuration.alerts:
            from lineal.api.alerts import deliver_waiting

            deliver_waiting(self.root)
        return self.run(target, assignments, params_file=params_file, dry_run=True)

    def why(self, target: str | None, stage: str | None = None, assignments: Sequence[str] = ()) -> Document:
        """Why stages would run: all that are no hits, or those that ``stage`` names. Of a run, by its id: why they did."""
        from lineal.api.why import explain_past_run
        from lineal.engine.session import explain_run, select
        from lineal.graph.checked import is_run_id
        from lineal.views.why_now import explain_preview

        if target is not None and is_run_id(target):
            run = self._addresses.get_run(target)
            return explain_past_run(self.configuration, self._store_as_it_is, run, stage, assignments)

        def act(request: RunRequest) -> Document:
            record, answers = explain_run(request)
            wanted = select(request.graph, [stage], "stage", items=True) if stage is not None else None
            return explain_preview(request, record, answers, wanted)

        return self._with_graph(target, Given(assignments), act, asking=True)

    # -- code ---------------------------------------------------------------------------------

    def fingerprint(self, target: str | None) -> Document:
        """What the code hash of a function covers. Of a target without a name, the pipeline's own."""
        from lineal.engine.plan import open_spots
        from lineal.fingerprint import Fingerprinter
        from lineal.stages import Pipeline, Stage

        place = resolve(target, self.configuration)
        sources = self._import_recorded(place)
        module = load_module(place, self.root)
        found: Any = vars(module).get(place.name) if place.name else pick_pipeline(module, None)
        if found is None:
            found = self._stage_of(module, str(place.name))
        if not isinstance(found, (Stage, Pipeline)) and not callable(found):
            raise UsageError(f"{place.name} is no function", "Name a function, a stage or a pipeline.")
        reads = found.settings.reads if isinstance(found, Stage) else ()
        depends_on = found.settings.depends_on if isinstance(found, Stage) else ()
        declared = found.settings.env if isinstance(found, Stage) else ()
        owner = found.__module__ if found.__module__ != "__main__" else place.module
        result = Fingerprinter(sources).stage(owner, found.__qualname__, reads=reads, depends_on=depends_on)
        return {
            "hex": result.hex,
            "covers": [
                {"unit": unit.unit, "file": unit.file, "line": unit.line, "hash": unit.hash}
                for unit in result.covers
            ],
            "blind_spots": [
                {"kind": spot.kind, "detail": spot.detail, "file": spot.file, "line": spot.line}
                for spot in open_spots(result, declared)
            ],
            "distributions": dict(result.distributions),
        }

    def _stage_of(self, module: ModuleType, name: str) -> Stage[..., Any]:
        """The stage that the module's only pipeline calls under that name or id, as far as its defaults allow to know."""
        from lineal.stages import Pipeline, Stage

        own = {
            key: value for key, value in vars(module).items() if not key.startswith("_") and callable(value)
        }
        nodes: Mapping[str, Node] = {}
        pipelines = [value for value in own.values() if isinstance(value, Pipeline)]
        if len(pipelines) == 1 and all(port.has_default for port in pipelines[0].signature.inputs.values()):
            nodes = pipelines[0].trace({}).nodes
        for node in nodes.values():
            if name in (node.id, node.stage.name) and isinstance(node.stage, Stage):
                return node.stage
        raise NotFound(
            f"{module.__file__ or module.__name__} has no function or stage {name}{did_you_mean(name, {*own, *nodes})}",
            "Stages that a pipeline names by options(name=…) are known only where all its parameters have defaults.",
        )

    def dag(self, target: str | None, assignments: Sequence[str] = ()) -> Document:
        """The graph of a pipeline."""
        from lineal.stages.wiring import Source, leaves

        place, pipeline, _ = self._load(target, None)
        graph = pipeline.trace(Given(assignments).values(pipeline))
        sources = [
            leaf.value.url
            for node in graph.nodes.values()
            for binding in node.inputs.values()
            for leaf in leaves(binding)
            if isinstance(leaf, Source)
        ]
        return {
            "pipeline": graph.pipeline,
            "target": str(place),
            "nodes": [
                {
                    "id": node.id,
                    "stage": node.stage.name,
                    "effect": node.options.effect,
                    "conditional": bool(node.conditions),
                    "conditions": [str(condition) for condition in node.conditions],
                    "outputs": list(node.stage.signature.outputs.ports),
                }
                for node in graph.nodes.values()
            ],
            "edges": [[node_id, parent] for node_id in graph.nodes for parent in graph.parents(node_id)],
            "sources": list(dict.fromkeys(sources)),
        }

    # -- history ------------------------------------------------------------------------------

    def runs(
        self, *, state: str | None = None, since: str | None = None, limit: int | None = None
    ) -> Document:
        """Runs, newest first, all or ``limit`` of them; ``since`` is an ISO time in UTC."""
        from datetime import UTC, datetime

        from lineal.graph.history import read_runs
        from lineal.graph.standing import standings
        from lineal.views.runs import run_summary

        store = self._store_as_it_is
        newest = takewhile(lambda run: since is None or run.started_at >= since, read_runs(store))
        fitting = (run for run in standings(store, newest, datetime.now(UTC)) if state in (None, run.state))
        return {"runs": [run_summary(store, run) for run in islice(fitting, limit)]}

    def logs(self, run_id: str, stage: str | None = None) -> Document:
        """What a run's stages wrote."""
        from lineal.graph.history import read_stages
        from lineal.views.runs import logs_document

        run = self._addresses.get_run(run_id)
        stages = read_stages(self._store_as_it_is, run)
        if stage is not None:
            wanted = [one for one in stages if stage in (one.id, one.name) or fnmatchcase(one.id, stage)]
            if not wanted:
                raise NotFound(
                    f"run {run_id} has no stage {stage}",
                    f"It has {', '.join(one.id for one in stages[:20])}.",
                )
            stages = wanted
        return logs_document(self._store_as_it_is, run, stages)

    # -- lineage ------------------------------------------------------------------------------

    def trace(self, what: str) -> Document:
        """The ancestors of bytes, down to the raw inputs."""
        return self._family(what, descendants=False)

    def impact(self, what: str) -> Document:
        """What was made from these bytes."""
        return self._family(what, descendants=True)

    def _family(self, what: str, *, descendants: bool) -> Document:
        from lineal.views.lineage import family_document, unknown_document

        digest, lineage = str(self._artifact(what).digest), self._addresses.lineage
        if not lineage.knows(digest):
            return unknown_document(digest)
        family = lineage.descendants(digest) if descendants else lineage.ancestors(digest)
        return family_document(self._store_as_it_is, lineage, family)

    def reproduce(
        self,
        what: str,
        *,
        until: Sequence[str] = (),
        changes: Sequence[str] = (),
        current_environment: bool = False,
        rtol: float | None = None,
        atol: float | None = None,
        trust: bool = False,
        keep: bool = False,
        dry_run: bool = False,
        told: Callable[[Document], None] = lambda planned: None,
    ) -> Document:
        """Rebuild what a past run made in a clean place, and compare; with ``dry_run`` say what would be done.

        ``told`` is given the plan before anything is executed. ``changes`` are parameters, NAME=VALUE, that are to be others than they
        were; ``rtol`` and ``atol`` how far numbers may be apart. With ``trust`` pickles of the store are loaded to be compared so.
        """
        from lineal.api.reproduce import Wish, reproduce_document

        wish = Wish(until, changes, current_environment, rtol, atol, trust, keep)
        found = self._addresses.resolve(what)
        store, lineage = self._store_as_it_is, self._addresses.lineage
        document = reproduce_document(store, lineage, found, wish, dry_run=dry_run, told=told)
        if self.configuration.alerts and document["verdict"] is not None and wish.is_faithful:
            from datetime import UTC, datetime

            from lineal.api.alerts_standing import tell_reproduction

            with suppress(OSError):  # an outbox that cannot be written to costs nobody a verdict
                tell_reproduction(self.configuration, self._addresses, document, datetime.now(UTC))
        return document

    def capsule_create(self, what: str, output: Path, *, progress: Progress | None = None) -> Document:
        """Pack what a model came from into the file ``output``, which `lineal.api.capsule.run_capsule` rebuilds it from."""
        from lineal.api.capsule import create_document

        found = self._addresses.resolve(what)
        store, lineage = self._store_as_it_is, self._addresses.lineage
        return create_document(store, lineage, found, output, progress=progress)

    def get(self, what: str, output: Path | None = None) -> Document:
        """Write the exact bytes out of the store; a directory becomes a folder."""
        from lineal.api.export import write_out

        found = self._artifact(what)
        assert found.digest is not None
        return write_out(self._store_as_it_is, self._addresses.lineage, found, output)

    def show(self, what: str) -> Document:
        """A safe preview of an artifact, or a run's detail. Nothing is unpickled."""
        from datetime import UTC, datetime

        from lineal.graph.standing import standing_of
        from lineal.views.artifacts import artifact_detail
        from lineal.views.runs import run_detail

        found = self._addresses.resolve(what)
        if found.digest is None and found.run is not None:
            store = self._store_as_it_is
            return run_detail(store, standing_of(store, found.run, datetime.now(UTC)))
        assert found.digest is not None
        return artifact_detail(self._store_as_it_is, self._addresses.lineage, str(found.digest))

    def _artifact(self, what: str) -> Found:
        found = self._addresses.resolve(what)
        if found.digest is None and found.run is not None:
            found = self._addresses.of_run(found.run, what)
        return found

    # -- names --------------------------------------------------------------------------------

    def tag(
        self, name: str, what: str | None = None, *, deployed: bool = False, delete: bool = False
    ) -> Document:
        """Give bytes a name, or take the name away; the name's history stays."""
        from datetime import UTC, datetime

        from lineal.engine.provenance import user_name
        from lineal_store.sealed import seal

        tags = dict(self._addresses.tags())
        digest: str | None = None
        run_id: str | None = None
        if delete:
            if name not in tags:
                raise NotFound(f"there is no tag {name}", "`lineal refs` lists them.")
        elif what is None:
            raise UsageError(f"what is {name} to name?", "Give a WHAT after the name.")
        elif name == "latest":
            raise UsageError(
                "latest is not yours to give: it is the newest succeeded run", "Take another name."
            )
        else:
            found = self._artifact(what)
            digest = str(found.digest)
            maker = self._addresses.lineage.find_maker(digest)
            run_id = found.run.run_id if found.run else maker.result.run_id if maker else None
            if run_id is None:
                raise NotFound(f"{what} is not in the store's lineage", "Only what a run made can be tagged.")
        at = datetime.now(UTC).isoformat()
        entry = {"digest": digest, "run_id": run_id, "deployed": deployed, "at": at, "who": user_name()}
        self.store.refs.append(f"tags/{name}", seal(entry))
        return {"name": name, **entry}

    def digest_of(self, what: str) -> str:
        """What an address stands for now; empty where nothing answers to it."""
        try:
            return str(self._addresses.resolve(what).digest)
        except NotFound:
            return ""

    def newest_run(self, pipeline: str) -> str:
        """The id of the newest run of that pipeline that has succeeded in this namespace; empty where there is none."""
        try:
            run = self._addresses.find_run(f"{pipeline}@latest")
        except NotFound:
            return ""
        return run.run_id if run is not None else ""

    def refs(self) -> Document:
        """All names, with what they stand for."""
        return {"refs": [{"name": name, **entry} for name, entry in self._addresses.tags()]}

    # -- the store ----------------------------------------------------------------------------

    def store_stats(self) -> Document:
        """How much the store holds."""
        store = self._store_as_it_is
        blobs = bytes_ = 0
        for blob in store.blobs.list():
            blobs, bytes_ = blobs + 1, bytes_ + blob.size_bytes
        return {
            "url": self.configuration.store,
            "blobs": blobs,
            "bytes": bytes_,
            "actions": sum(1 for _ in store.actions.list()),
            "runs": sum(1 for _ in store.runs.newest_first()),
            "refs": len(dict(self._addresses.tags())),
        }

    def store_verify(self, read_data: bool = False) -> Document:
        """Check that everything that records name is there; with ``read_data``, that it is what it is called."""
        from lineal.views.verify import verify_document

        return verify_document(self._store_as_it_is, read_data=read_data)

    def store_push(
        self, what: Sequence[str] = (), to: str | None = None, *, progress: Progress | None = None
    ) -> Document:
        """Copy runs, artifacts and tags, or everything, with all that belongs to them into another store."""
        from lineal.api.transfer import copy_between, other_place

        place, source = other_place(self.configuration, to, "--to"), self._store_as_it_is
        return copy_between(source, lambda: open_store(place), what, self.configuration.namespace, progress)

    def store_pull(
        self, what: Sequence[str] = (), source: str | None = None, *, progress: Progress | None = None
    ) -> Document:
        """Copy them from another store, ``source``, into this one."""
        from lineal.api.transfer import copy_between, other_place

        other = open_store(other_place(self.configuration, source, "--from"), create=False)
        return copy_between(other, lambda: self.store, what, self.configuration.namespace, progress)

    def doctor(self) -> Document:
        """What is fine and what is not: installation, configuration, store, rights, clock, disks. Runs no user code."""
        from lineal.api.doctor import doctor_document

        return doctor_document(self.configuration)

    def alerts_test(self, to: Sequence[str] = ()) -> Document:
        """Send a message to every alert of the configuration, or to the addresses ``to``, and wait for it."""
        from lineal.api.alerts_trial import alerts_trial_document

        return alerts_trial_document(self.configuration, to)

    # -- automation ---------------------------------------------------------------------------

    def schedule_list(self) -> Document:
        """The schedules of the configuration, each with its next tick."""
        from datetime import UTC, datetime

        from lineal.api.schedules import schedules_document

        return schedules_document(self.configuration, datetime.now(UTC))

    def schedule_pause(self, name: str) -> Document:
        """Fire nothing of that schedule until it is resumed."""
        from datetime import UTC, datetime

        from lineal.api.schedules import pause
        from lineal.engine.provenance import user_name

        return pause(self.configuration, name, by=user_name(), now=datetime.now(UTC))

    def schedule_resume(self, name: str) -> Document:
        """Fire that schedule again."""
        from datetime import UTC, datetime

        from lineal.api.schedules import resume

        return resume(self.configuration, name, now=datetime.now(UTC))

    def schedule_simulate(
        self,
        name: str | None = None,
        *,
        since: str | None = None,
        until: str | None = None,
        takes: str | None = None,
        absence: str | None = None,
    ) -> Document:
        """What the schedules, or one of them, will do and what not; see `lineal.api.schedules.simulation_document`."""
        from datetime import UTC, datetime

        from lineal.api.schedules import simulation_document

        now = datetime.now(UTC).replace(microsecond=0)
        return simulation_document(
            self.configuration, name, since=since, until=until, takes=takes, absence=absence, now=now
        )

    def tell_stale(self) -> None:
        """Tell the alerts that want to know it of what has grown too old, and of what is fresh again."""
        from datetime import UTC, datetime

        from lineal.api.alerts_standing import tell_stale

        if any("stale" in alert.get("on", ()) for alert in self.configuration.alerts):
            tell_stale(self.configuration, self._addresses, datetime.now(UTC))

    # -- parts --------------------------------------------------------------------------------

    @property
    def _has_no_results(self) -> bool:
        """Whether whatever is run has to be executed: the store is a folder that is not there yet."""
        store = self.configuration.store
        return not self.configuration.upstream and "://" not in store and not os.path.lexists(store)

    @cached_property
    def _addresses(self) -> Addresses:
        from lineal.api.addresses import Addresses

        return Addresses(self._store_as_it_is, self.configuration.namespace)

    def _with_graph(
        self,
        target: str | None,
        given: Given,
        act: Callable[[RunRequest], T],
        *,
        asking: bool,
        executes: bool = False,
        kept: Lookups | None = None,
        early: Early | None = None,
    ) -> T:
        """Do ``act`` with the graph of a pipeline: the one that is kept, where it will do, else one that is traced now.

        ``executes`` says that stages will be executed for sure, which takes the project's code. ``early`` is started where that is known.
        """
        place = resolve(target, self.configuration)
        if early is not None and (executes or self._has_no_results):
            early.start(str(self.root))  # before all that is imported from here on
        from lineal.api.graphs import CodeNeeded, GraphCache, Surroundings
        from lineal.engine.session import Code

        put_first(place, self.root)
        sources = Sources.capture(self.root, import_roots=import_folders(place, self.root))
        code = Code.of(sources, self.root)
        cache = GraphCache(self.root, place, code, given)
        graph = cache.find()
        if graph is not None and not executes:
            store = self._store_as_it_is if asking else self.store
            request = self._request_of(replace(place, name=graph.pipeline), graph, sources, store)
            answers = kept.asking(place, cache.links) if kept is not None else None
            try:
                return act(replace(request, code=code, is_cached=True, asking=answers))
            except StoreUnavailable:
                raise
            except (CodeNeeded, LinealError):
                pass  # with the code it is answered, or said again

        before = Surroundings.now()
        loader.install(sources.files, self.root)
        pipeline = pick_pipeline(load_module(place, self.root), place.name)
        graph = pipeline.trace(given.values(pipeline))
        cache.settle(graph, before)
        if before.changed_search():
            code = Code.of(sources, self.root)
        # only now: who mistypes a target or a parameter has no store made
        store = self._store_as_it_is if asking else self.store
        cache.keep()
        request = self._request_of(replace(place, name=pipeline.name), graph, sources, store)
        notes = [f"graph traced anew: {cache.why}"] if cache.why is not None else []
        answers = kept.asking(place, cache.links) if kept is not None else None
        return act(replace(request, code=code, notes=notes, asking=answers))

    def _request_of(self, place: Target, graph: Graph, sources: Sources, store: Store) -> RunRequest:
        from lineal.engine.session import RunRequest

        return RunRequest(
            graph=graph,
            target=self._recorded_target(place),
            module=place.module,
            sources=sources,
            store=store,
            namespace=self.configuration.namespace,
            root=self.root,
            import_roots=tuple(str(folder) for folder in import_folders(place, self.root)),
            limits=self.configuration.limits,
            strict=self.configuration.strict,
        )

    def _load(self, target: str | None, folder: Path | None) -> tuple[Target, Pipeline[..., object], Sources]:
        """Import the target's module from source bytes that were read once, and pick its pipeline."""
        place = resolve(target, self.configuration, folder=folder)
        sources = self._import_recorded(place)
        pipeline = pick_pipeline(load_module(place, self.root), place.name)
        return replace(place, name=pipeline.name), pipeline, sources

    def pipeline(self, target: str | None) -> Pipeline[..., object]:
        """The pipeline that ``target`` means, with the project's code imported."""
        return self._load(target, None)[1]

    def _import_recorded(self, place: Target) -> Sources:
        """From now on the project's modules are imported from the bytes that will be fingerprinted and recorded."""
        sources = Sources.capture(self.root, import_roots=import_folders(place, self.root))
        loader.install(sources.files, self.root)
        return sources

    def _recorded_target(self, place: Target) -> str:
        if place.file is not None and place.file.is_relative_to(self.root):
            return f"{place.file.relative_to(self.root).as_posix()}:{place.name}"
        return str(place)


def _keep_out_of_git(folder: Path) -> None:
    """Make Lineal's own folder in a project, so that no commit takes it in by mistake."""
    with suppress(OSError):  # where the project cannot be written to, whoever needs the folder says so
        folder.mkdir()
        (folder / ".gitignore").write_text("*\n")


def _known_executor(name: str) -> str:
    if name.startswith("dask://"):
        import re
        from importlib.util import find_spec

        if re.fullmatch(r"dask://[\w.\-\[\]:]+:\d+", name) is None:
            raise UsageError(f"{name} is no address of a Dask scheduler", "Write dask://host:8786.")
        if find_spec("distributed") is None:
            raise UsageError("Dask is not installed here", "Install it with: pip install 'lineal[dask]'")
    elif name not in ("process", "inline"):
        raise UsageError(f"there is no executor {name}", "Use process, inline or dask://host:8786.")
    return name


def _share(option: str, text: str) -> float:
    """A share of something, ``10%`` or ``0.1``, as a number above 0 and at most 1."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UsageError(f"{option}={text} is no share", "Give a part of the whole: 10%, or 0.1.")
    return share


def _timeout(text: str) -> float:
    from lineal.stages import parse_duration

    try:
        seconds = parse_duration(float(text) if text.replace(".", "", 1).isdecimal() else text)
    except ValueError:
        seconds = 0.0
    if seconds == 0.0:
        raise UsageError(
            f"--timeout {text} is no time", "Give seconds, or a number with its unit: 90s, 30m, 2h, 1d."
        )
    return seconds


def _outside(value: object, annotation: object) -> object:
    """A recorded address as the File or Directory that the parameter takes."""
    from lineal.artifacts import Directory, File
    from lineal.artifacts.annotations import union_members

    kinds = union_members(annotation)
    if isinstance(value, str) and str not in kinds:
        return next((kind(value) for kind in (File, Directory) if kind in kinds), value)
    return value
