"""One run from its graph to its record: plan, look up, execute what is invalid, write down what became of it."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field, to_builtins
from msgspec.structs import replace as replace_fields

from lineal.artifacts import Directory, File, Secret
from lineal.artifacts.values import encode_value
from lineal.engine.beside import keep_beside
from lineal.engine.cache import ActionCache, Answer
from lineal.engine.clock import Clock, SystemClock
from lineal.engine.environment import describe_environment, keep_environment
from lineal.engine.intake import Intake
from lineal.engine.limits import groups_of
from lineal.engine.plan import Plan, ancestors, plan_run
from lineal.engine.progress import RunContext, RunResult, StageProgress
from lineal.engine.provenance import (
    GitState,
    command_line,
    host_name,
    keep_code,
    mend_code,
    new_run_id,
    user_name,
)
from lineal.engine.retries import draw_of
from lineal.engine.runner import Runner
from lineal.engine.variables import worker_variables
from lineal.engine.versions import Versions
from lineal.engine.waits import Waits
from lineal.errors import LinealError, UsageError
from lineal.events import Event, ExecutionStarted, Listener, ignore
from lineal.executors.protocol import Executor, Setup
from lineal.executors.threads import bounds
from lineal.fingerprint import Distributions, Fingerprinter, SummaryCache
from lineal.fingerprint.sources import Sources
from lineal.graph.records import (
    PAGE_BYTES,
    PAGE_SIZE,
    STAGES_INLINE,
    Beside,
    Git,
    RunRecord,
    StagePage,
    StageRecord,
    seal_record,
    to_bytes,
)
from lineal.stages import Graph, Node, Stage
from lineal.stages.frozen import CodeNeeded, structure_of
from lineal.stages.names import nearest_hint
from lineal.stages.wiring import Result
from lineal.version import VERSION
from lineal_store import Digest, Store
from lineal_store.blobs import name_of

if TYPE_CHECKING:
    from lineal.engine.grounds import Asking
    from lineal.engine.observation import Judge
    from lineal.executors.early import Early
    from lineal_store.claims import Claims


_CLUSTER_SLOTS = (
    256  # attempts that a cluster is given at once; what it has no room for waits in the executor
)
_ITEM = re.compile(r"(.+)\[\d+\]")


class Code(Struct, frozen=True):
    """The project's code, and what is known of it; ``remembered`` is kept from one process to the next."""

    fingerprinter: Fingerprinter
    remembered: SummaryCache

    @classmethod
    def of(cls, sources: Sources, root: Path) -> Code:
        """``sources`` with what is installed on ``sys.path`` as it is now."""
        remembered = SummaryCache(root / ".lineal" / "fingerprints")
        return cls(Fingerprinter(sources, distributions=Distributions(), cache=remembered), remembered)


class RunRequest(Struct, frozen=True):
    """What to run, and how. ``force``, ``only`` and ``until`` hold stage names, ids or globs.

    ``module`` declares the pipeline: its importable name, also where it is what runs as ``__main__``. ``is_cached``
    says that the graph was read back, and none of the project's code imported: where that does not do, every verb
    ends in `CodeNeeded`, before it has told or recorded anything. ``notes`` come first among a preview's warnings.
    With ``strict`` results of stages that look at more than they declare are not cached. ``timeout_seconds``, else the pipeline's
    own, bounds the whole run. ``limits`` are sizes of concurrency groups. ``check_share`` of the hits, none to all (0 to 1), are
    executed again and compared. ``why`` is recorded with results that ``force`` supersedes, ``trigger`` with the run. ``asking`` is given where a run
    that finds everything done may be kept as the answer to the same question. ``early`` is where a process executor looks for its zygote; the
    caller closes it.
    """

    graph: Graph
    target: str
    module: str
    sources: Sources
    store: Store
    namespace: str
    root: Path
    import_roots: tuple[str, ...]
    executor: str = "process"
    limits: Mapping[str, int] = field(default_factory=dict)
    strict: bool = False
    jobs: int | None = None
    timeout_seconds: float | None = None
    force: Sequence[str] = ()
    why: str = ""
    trigger: str = ""
    only: Sequence[str] = ()
    until: Sequence[str] = ()
    fail_fast: bool = False
    check_share: float = 0.0
    clock: Clock = field(default_factory=SystemClock)
    listener: Listener = ignore
    code: Code | None = None
    is_cached: bool = False
    notes: Sequence[str] = ()
    asking: Asking | None = None
    early: Early | None = None


def preview_run(request: RunRequest) -> RunRecord:
    """What `execute_run` would do, as far as it can be known without running anything; writes no record."""
    return _Session(request).preview()


def explain_run(request: RunRequest) -> tuple[RunRecord, Mapping[str, Answer]]:
    """A preview, with what the action cache answered for each stage that could be asked for."""
    session = _Session(request)
    record = session.preview()
    return record, session.answers


def execute_run(request: RunRequest) -> RunRecord:
    """Run what is invalid, to the end, and leave the run's record in the store.

    A failed stage is part of the record, not an exception. `UsageError` where a selection names no
    stage, or needs stages that are not hits.
    """
    return _Session(request).execute()


class _Session:
    def __init__(self, request: RunRequest) -> None:
        self._request = request
        self._store = request.store
        self._clock = request.clock
        graph = request.graph
        self._forced = set(select(graph, request.force, "--force", items=True))
        self._selected = self._selection()
        for stage_id, node in graph.nodes.items():  # a group without a size is refused before all else
            groups_of(stage_id, node.options.limit, request.limits)
        self._local = request.root / ".lineal"
        self._versions = Versions()
        self._checkpoints = self._local / "checkpoints"
        code = self._code = request.code or Code.of(request.sources, request.root)
        self._distributions = code.fingerprinter.distributions
        default = _CLUSTER_SLOTS if request.executor.startswith("dask://") else os.cpu_count() or 1
        self._slots = 1 if request.executor == "inline" else request.jobs or default
        self._declared = sorted({name for node in graph.nodes.values() for name in node.options.env})
        self._variables = worker_variables(request.executor, self._slots, self._declared)
        self._plan: Plan = plan_run(
            graph,
            code.fingerprinter,
            module=request.module,
            only=self._selected,
            variables=self._variables,
        )
        if self._local.is_dir():  # asking makes no folder in a project that has not run yet
            code.remembered.save()
        self._started_at = self._clock.now()
        self._run_id = new_run_id(self._started_at)
        self._beside: Beside | None = None
        self._claims: Claims | None = None
        self.answers: Mapping[str, Answer] = {}
        self._untold: list[
            Event
        ] = []  # what happened so far, as long as it may have to be done again with the code

    def preview(self) -> RunRecord:
        self._check_only()
        context = self._preview_context()
        runner, _, _ = self._runner(context, None, dict, 1)
        result = runner.run()
        self._check_code(result)
        self.answers = runner.answers
        record = self._record(result, context, None)
        would_run = any(stage.cache in ("miss", "off", "unknown") for stage in record.stages)
        state = "queued" if would_run and record.state == "succeeded" else record.state
        warnings = [*self._request.notes, *record.warnings]
        return replace_fields(record, run_id="", state=state, finished_at=None, warnings=warnings)

    def execute(self) -> RunRecord:
        self._check_only()
        git = GitState(self._request.root)
        context = self._context(
            keep_code(self._store, self._request.sources),
            keep_environment(
                self._store,
                describe_environment(
                    self._distributions, self._declared, self._variables, remember=self._local / "contents"
                ),
            ),
        )

        read = self._code.fingerprinter.read
        self._beside = keep_beside(self._store, self._request.sources, read, self._in_place)

        def begin() -> Mapping[str, float]:
            if self._request.is_cached:
                if self._request.early is not None:  # which imports the project while this process does
                    self._request.early.prepare(self._setup())
                raise CodeNeeded("a stage has to be executed")
            mend_code(self._store, self._request.sources)
            self._claims_of().beat()  # first: a run that has begun and shows no sign of life is lost
            self._store.runs.begin(self._run_id, seal_record(self._blank(context)))
            return self._weigh()

        runner, cache, intake = self._runner(context, self._executor, begin, self._slots)
        try:
            result = runner.run()
            self._check_code(result)
            record = self._record(result, context, git)
            paged = self._paged(record)
            self._store.runs.finish(self._run_id, seal_record(paged))
        except CodeNeeded:
            git.wait()
            raise
        finally:
            if self._claims is not None:
                self._claims.close()
        for event in self._untold:
            self._request.listener(event)
        if any(stage.attempts for stage in result.stages.values()):
            self._store.trim_cache()
        with contextlib.suppress(OSError, ValueError, LinealError):  # a memo is a saving, not a duty
            self._keep_answer(result, record, paged, cache, intake)
        return record

    # -- parts --------------------------------------------------------------------------------

    def _claims_of(self) -> Claims:
        """What other runs see of this one, made when something is executed."""
        if self._claims is None:
            self._claims = self._store.claims(self._run_id)
        return self._claims

    def _weigh(self) -> Mapping[str, float]:
        """Tell that stages are about to be executed; for each the seconds until all is done that depends on it, where it matters."""
        request, graph = self._request, self._request.graph
        if request.listener is ignore and self._slots == 1:
            return {}
        from lineal.engine.priorities import critical_paths
        from lineal.graph.history import recent_seconds  # a run of hits does not look back

        planned = [stage_id for stage_id in graph.nodes if stage_id in self._plan.stages]
        names = {stage_id: graph.nodes[stage_id].stage.name for stage_id in planned}
        try:
            expected = recent_seconds(self._store, graph.pipeline, names)
        except LinealError:  # a convenience must not end a run
            expected = {}
        parents = {stage_id: self._plan.stages[stage_id].task.parents for stage_id in planned}
        request.listener(
            ExecutionStarted(
                self._clock.now(), self._run_id, request.executor, self._slots, parents, expected
            )
        )
        return critical_paths(parents, expected) if self._slots > 1 else {}

    def _check_code(self, result: RunResult) -> None:
        """What fails without the project's code is told by a run that has it."""
        if self._request.is_cached and result.state == "failed":
            raise CodeNeeded("a stage fails")

    def _selection(self) -> list[str] | None:
        graph, request = self._request.graph, self._request
        only = select(graph, request.only, "--only")
        until = select(graph, request.until, "--until")
        wanted = ancestors(graph, [*only, *until])
        return [stage_id for stage_id in graph.nodes if stage_id in wanted] if only or until else None

    def _check_only(self) -> None:
        """``--only`` executes nothing but what it names: the stages before them have to be hits."""
        if not self._request.only:
            return
        request = self._request
        allowed = set(select(request.graph, request.only, "--only"))
        runner, _, _ = self._runner(self._preview_context(), None, dict, 1)
        result = runner.run()
        until = select(request.graph, request.until, "--until")
        allowed |= {
            name for name in ancestors(request.graph, until) if _reaches(request.graph, name, allowed)
        }
        stale = [
            name
            for name, stage in result.stages.items()
            if stage.cache != "hit" and result.planned[name].call not in allowed and name not in result.items
        ]
        stale = [name for name in stale if result.stages[name].state != "skipped"]
        if stale:
            raise UsageError(
                f"--only needs the stages before it to be hits, and these are not: {', '.join(stale)}",
                "Run them first: leave --only away, or use --until.",
            )

    def _context(self, code_tree: Digest, environment: Digest) -> RunContext:
        return RunContext(
            self._run_id,
            code_tree,
            environment,
            user_name(),
            self._scratch(),
            self._checkpoints,
            self._request.why,
        )

    def _preview_context(self) -> RunContext:
        """Of a run that executes nothing: no folder is made for it."""
        nowhere = Digest.of(b"")
        return RunContext(
            self._run_id, nowhere, nowhere, user_name(), self._scratch_elsewhere(), self._checkpoints
        )

    def _scratch(self) -> Path:
        folder = self._local / "scratch" / self._run_id
        with contextlib.suppress(OSError):
            folder.parent.mkdir(parents=True, exist_ok=True)
            return folder
        return self._scratch_elsewhere()

    def _scratch_elsewhere(self) -> Path:
        import tempfile  # takes milliseconds, and an ordinary run needs none of it

        return Path(tempfile.gettempdir()) / f"lineal-{self._run_id}"

    def _runner(
        self,
        context: RunContext,
        executor_of: Callable[[], Executor] | None,
        begin: Callable[[], Mapping[str, float]],
        slots: int,
    ) -> tuple[Runner, ActionCache, Intake]:
        request = self._request
        cache = ActionCache(
            self._store,
            pipeline=request.graph.pipeline,
            namespace=request.namespace,
            run_id=self._run_id,
            forced=self._forced.__contains__,
            adopts=executor_of is not None,
            now=self._clock.now,
            strict=request.strict,
        )
        intake = Intake(self._store, request.root, self._local / "observed", keep=executor_of is not None)
        runner = Runner(
            self._plan,
            self._store,
            cache,
            intake,
            context,
            slots=slots,
            executor_of=executor_of,
            begin=begin,
            claims_of=self._claims_of,
            judge=self._judge,
            limits=request.limits,
            versions=self._versions,
            waits=Waits(self._local / "retries", self._clock),
            timeout_seconds=request.timeout_seconds or request.graph.timeout_seconds,
            fail_fast=request.fail_fast,
            doubts=self._is_doubted,
            clock=self._clock,
            listener=(self._untold.append if request.is_cached else request.listener)
            if executor_of
            else ignore,
        )
        return runner, cache, intake

    def _is_doubted(self, stage_id: str) -> bool:
        """Whether a hit is one of the share that is executed again: of another run other ones, unless it is all."""
        share = self._request.check_share
        return share > 0 and draw_of(self._run_id, stage_id, 0) < share

    def _judge(self) -> Judge:
        from lineal.engine.observation import Judge  # a run of hits judges nothing
        from lineal.fingerprint.summaries import Summaries

        return Judge(
            self._request.sources,
            Summaries(self._code.remembered),
            strict=self._request.strict,
            fingerprint=self._code.fingerprinter.stage,
        )

    def _executor(self) -> Executor:
        setup = self._setup()
        if self._request.executor == "inline":
            stages = {
                (stage.module, stage.node.stage.qualname): stage.node.stage
                for stage in self._plan.stages.values()
                if isinstance(stage.node.stage, Stage)
            }
            from lineal.executors.inline import InlineExecutor
            from lineal.executors.observe import Observer
            from lineal.executors.observe_places import Places
            from lineal.fingerprint.loader import installed

            observer = Observer(Places(setup.root, setup.in_place, setup.store), installed())
            return InlineExecutor(self._store, lambda module, qualname: stages[module, qualname], observer)
        if self._request.executor.startswith("dask://"):
            from lineal.executors.dask import DaskExecutor

            reached: dict[str, str] = {}
            for stage in self._plan.stages.values():
                reached.update(stage.fingerprint.distributions)
            return DaskExecutor(
                self._request.executor,
                setup,
                self._store,
                self._slots,
                declared=self._declared,
                distributions=reached,
            )
        from lineal.executors.process import ProcessExecutor  # a run of hits needs none of them

        return ProcessExecutor(setup, self._slots, early=self._request.early)

    def _setup(self) -> Setup:
        sources = self._request.sources
        modules = dict.fromkeys(
            [self._request.module, *(stage.module for stage in self._plan.stages.values())]
        )
        return Setup(
            self._store.place,
            {**sources.files, **sources.outside()},
            str(self._request.root),
            self._request.import_roots,
            tuple(modules),
            self._variables,
            self._main_module(),
            self._in_place(),
            tuple(bounds(self._slots, {*os.environ, *self._declared})),
        )

    def _in_place(self) -> tuple[str, ...]:
        """The folders outside the project whose modules are used in place, as far as a worker finds them.

        How this process was started put a folder on the search path that workers do not have.
        """
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        started = {str(Path.cwd()), str(Path(sys.argv[0] or "x").absolute().parent)}
        own = {
            *started.difference(str(Path(path).absolute()) for path in paths if path),
            *self._request.import_roots,
        }
        root = str(self._request.root)
        return tuple(
            folder
            for folder in self._distributions.used_in_place()
            if folder not in own and folder != root and not folder.startswith(root + os.sep)
        )

    def _main_module(self) -> str | None:
        """The importable name of a script's module, where stages of it are part of the plan."""
        in_main = any(stage.node.stage.module == "__main__" for stage in self._plan.stages.values())
        return self._request.module if in_main else None

    # -- records ------------------------------------------------------------------------------

    def _blank(self, context: RunContext) -> RunRecord:
        graph, request = self._request.graph, self._request
        return RunRecord(
            run_id=self._run_id,
            pipeline=graph.pipeline,
            target=request.target,
            state="running",
            namespace=request.namespace,
            parameters=recorded_parameters(graph),
            logical_date=graph.logical_date.isoformat() if graph.logical_date is not None else None,
            code_tree=str(context.code_tree),
            beside=self._beside,
            environment=str(context.environment),
            who=context.who,
            host=host_name(),
            process=os.getpid(),
            command=self._command(),
            trigger=request.trigger,
            lineal=VERSION,
            started_at=self._started_at.isoformat(),
        )

    def _command(self) -> list[str]:
        secrets = {
            name for name, value in self._request.graph.parameters.items() if isinstance(value, Secret)
        }
        return [
            f"{name}=***" if (name := word.partition("=")[0]) in secrets else word for word in command_line()
        ]

    def _record(self, result: RunResult, context: RunContext, git: GitState | None) -> RunRecord:
        finished_at = self._clock.now()
        return replace_fields(
            self._blank(context),
            state=result.state,
            stages=[
                self._stage_record(stage_id, node, result)
                for node in self._request.graph.nodes.values()
                for stage_id in (node.id, *result.items.get(node.id, ()))
            ],
            outputs=self._outputs(result),
            warnings=[*result.warnings, *self._forced_in_vain(result)],
            git=self._git(git, has_executed=any(stage.attempts for stage in result.stages.values())),
            finished_at=finished_at.isoformat(),
            seconds=(finished_at - self._started_at).total_seconds(),
        )

    def _forced_in_vain(self, result: RunResult) -> list[str]:
        """What to say of items that were forced and that their lists do not have; only now it is known how long those are."""
        return [
            f"--force {name} names nothing: {stage} has {len(result.items[stage])} items"
            for name in sorted(self._forced - result.stages.keys())
            if (stage := name.partition("[")[0]) in result.items
        ]

    def _git(self, state: GitState | None, *, has_executed: bool) -> Git | None:
        checkout = state.wait() if state is not None else None
        if state is None or checkout is None:
            return None
        changes = state.read_diff() if checkout.dirty and has_executed else None
        return Git(
            **checkout._asdict(), diff=None if changes is None else str(self._store.blobs.put(changes))
        )

    def _keep_answer(
        self, result: RunResult, record: RunRecord, paged: RunRecord, cache: ActionCache, intake: Intake
    ) -> None:
        """Keep what the next run will say, where that finds everything done and it can be told until when it does."""
        request = self._request
        if (
            request.asking is None
            or request.strict
            or request.force
            or request.check_share
            or request.only
            or request.until
        ):
            return
        has_executed = any(stage.attempts for stage in record.stages)
        if record.warnings and not has_executed:
            return
        from lineal.engine.grounds import find_grounds, unchanged_record
        from lineal.engine.memo import keep_answer

        at_ns = time.time_ns()
        again = Code.of(
            Sources.capture(request.root, import_roots=request.sources.import_roots), request.root
        )
        grounds = find_grounds(
            request.asking,
            request.graph,
            self._code,
            again,
            self._store,
            cache,
            intake,
            result,
            record,
            at_ns=at_ns,
        )
        if grounds is not None:
            if has_executed:
                record = unchanged_record(record)
                paged = self._paged(record)
            sizes = self._store.blobs.sizes(map(Digest.parse, paged.pages))
            grounds.blobs.update((name_of(digest), size) for digest, size in sizes.items())
            asking, stages = request.asking, [stage for stage in record.stages if stage.is_shown]
            is_plain = all(stage.cache == "hit" for stage in stages)  # then one line says it all
            in_full = asking.in_full or not is_plain
            document = asking.document(record, stages if in_full else [])
            keep_answer(
                asking.question, grounds, to_builtins(paged), document, stages=len(stages), in_full=in_full
            )

    def _stage_record(self, stage_id: str, node: Node, result: RunResult) -> StageRecord:
        progress = result.stages.get(stage_id) or StageProgress(state="skipped")
        planned = result.planned.get(stage_id)
        items = result.items.get(stage_id)
        failure = progress.failure if progress.state in ("failed", "up_for_retry") else None
        return StageRecord(
            id=stage_id,
            name=node.stage.name,
            state=progress.state,
            cache=progress.cache,
            reason=progress.reason,
            action_key=progress.asked.key if progress.asked else None,
            fingerprint=planned.fingerprint.hex if planned else None,
            attempts=progress.attempts,
            seconds=round(progress.seconds, 6),
            work_seconds=round(progress.work_seconds, 6) if progress.attempts else None,
            error=failure.document() if failure else None,
            traceback=failure.traceback if failure else "",
            outputs={name: replace_fields(output, inline=None) for name, output in progress.outputs.items()},
            logs=progress.logs,
            items=None if items is None else len(items),
            again=None if progress.again is None else dict(progress.again),
        )

    def _outputs(self, result: RunResult) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for name, binding in self._request.graph.outputs.items():
            digest = None
            if isinstance(binding, Result) and binding.node in result.stages:
                output = result.stages[binding.node].outputs.get(binding.output)
                digest = output.digest if output is not None else None
            found[name] = digest
        return found

    def _paged(self, record: RunRecord) -> RunRecord:
        sizes = [len(to_bytes(stage)) for stage in record.stages]
        if len(sizes) <= STAGES_INLINE and sum(sizes) <= PAGE_BYTES:
            return record
        pages: list[list[StageRecord]] = []
        free = 0
        for stage, size in zip(record.stages, sizes, strict=True):
            if size > free or len(pages[-1]) == PAGE_SIZE:
                pages.append([])
                free = PAGE_BYTES
            pages[-1].append(stage)
            free -= size
        kept = self._store.blobs.put_many([to_bytes(StagePage(stages=page)) for page in pages])
        return replace_fields(record, stages=[], pages=[str(blob.digest) for blob in kept])


def select(graph: Graph, patterns: Sequence[str], option: str, *, items: bool = False) -> list[str]:
    """The ids of the stages that ``patterns`` name: names, ids or globs. `UsageError` for one that names none.

    With ``items``, one item of a mapped stage may be named too: ``score[3]``.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        matching = [
            stage_id
            for stage_id, node in graph.nodes.items()
            if pattern in (stage_id, node.stage.name) or fnmatch.fnmatchcase(stage_id, pattern)
        ]
        item = _ITEM.fullmatch(pattern)
        if items and item is not None and item[1] in graph.nodes and graph.nodes[item[1]].over is not None:
            matching = [pattern]
        if not matching:
            raise UsageError(
                f"{option} {pattern}: the pipeline {graph.pipeline} has no such stage",
                nearest_hint(pattern, graph.nodes, "Its stages are") or "It has no stages.",
            )
        found.update(dict.fromkeys(matching))
    return list(found)


def recorded_parameters(graph: Graph) -> dict[str, Any]:
    """The pipeline's parameters as a run's record has them, without secrets."""
    return {name: _recorded(value) for name, value in graph.parameters.items()}


def _reaches(graph: Graph, stage_id: str, targets: set[str]) -> bool:
    return bool(ancestors(graph, [stage_id]) & targets)


def _recorded(value: object) -> Any:
    """A pipeline parameter for the record: its type-tagged encoding, outside data by its address."""
    if isinstance(value, Secret):
        return encode_value("***")
    if isinstance(value, (File, Directory)):
        return encode_value(value.url)
    return structure_of(value, "value")
