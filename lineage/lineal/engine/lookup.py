"""Asks for stages: whether their conditions hold, what they take, and whether the action cache has their results."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace as replace_fields

from lineal.engine import machine
from lineal.engine.cache import ActionCache, Answer, Asked
from lineal.engine.delays import Delays
from lineal.engine.healing import Healing
from lineal.engine.inputs import Inputs
from lineal.engine.mapping import Maps
from lineal.engine.plan import Bound, PlannedStage
from lineal.engine.progress import Account
from lineal.engine.versions import NAME as VERSION_OF
from lineal.engine.versions import Versions
from lineal.errors import LinealError, StoreUnavailable
from lineal.events import Failure
from lineal.graph.records import Output
from lineal.stages.conditions import holds
from lineal.stages.frozen import CodeNeeded, FrozenStage
from lineal.stages.wiring import Result


class Lookup:
    """Answers for the stages of ``account``; with ``preview`` nothing is going to be executed.

    ``lead`` says which stage of the run executes what a stage asks for, ``doubts`` which hits are to be executed once more
    and compared.
    """

    def __init__(
        self,
        account: Account,
        cache: ActionCache,
        inputs: Inputs,
        maps: Maps,
        versions: Versions,
        delays: Delays,
        healing: Healing,
        lead: Callable[[str], str],
        doubts: Callable[[str], bool],
        *,
        preview: bool,
    ) -> None:
        self._account, self._cache, self._inputs, self._versions = account, cache, inputs, versions
        self._maps = maps
        self._delays, self._healing, self._lead, self._preview = delays, healing, lead, preview
        self._doubts = doubts
        self._doubted: set[str] = set()

    def look(self, stage_ids: Sequence[str]) -> list[machine.Event]:
        """What became of each, with one batch of requests to the store."""
        events: list[machine.Event] = []
        asked: list[Asked] = []
        for stage_id in stage_ids:
            stage = self._account.plan.stages[stage_id]
            try:
                if not all(holds(condition, self._inputs.scalar) for condition in stage.node.conditions):
                    self._account.stages[stage_id].reason = "condition_false"
                    events.append(machine.ConditionFailed(stage_id))
                    continue
                if stage.node.over is not None:
                    events.append(self._maps.expand(stage, self._inputs.value))
                    continue
                bound = self._inputs.bind(stage)
                if stage.options.version_of is not None:
                    failure = self._observe_version(stage, bound)
                    if failure is not None:
                        events.append(self._refused(stage_id, failure))
                        continue
                asked.append(self._cache.ask(stage, bound))
            except StoreUnavailable:
                raise
            except LinealError as error:
                failure = Failure("contract", type(error).__name__, str(error), error.hint)
                events.append(self._refused(stage_id, failure))
        events += [self._take(answer) for answer in self._cache.look(asked)]
        return events

    def confirm(self) -> list[machine.Event]:
        """Look whether what the run returns of its hits is there."""
        returned: dict[str, list[Output]] = {}
        for binding in self._account.plan.graph.outputs.values():
            if not isinstance(binding, Result) or binding.node not in self._account.stages:
                continue
            for node in self._account.items.get(binding.node, (binding.node,)):
                progress = self._account.stages[node]
                made = [
                    out
                    for name, out in progress.outputs.items()
                    if node != binding.node or name == binding.output
                ]
                if progress.cache == "hit" and made:
                    returned.setdefault(node, []).extend(made)
        lost = self._cache.find_lost(returned)
        for stage_id in lost:
            self._healing.condemn(stage_id)
        return [machine.OutputLost(stage_id) for stage_id in lost] or [machine.Confirmed()]

    def _take(self, answer: Answer) -> machine.Event:
        stage_id = answer.asked.stage.id
        progress = self._account.stages[stage_id]
        self._account.answers[stage_id] = answer
        progress.asked, progress.cache, progress.reason = answer.asked, answer.cache, answer.reason
        if answer.refused and self._preview:  # else the attempt will tell
            self._account.warnings.append(f"`{stage_id}` runs again though nothing changed: {answer.refused}")
        if answer.failure is not None:
            return self._refused(stage_id, answer.failure)
        if answer.result is None:
            leader = self._lead(stage_id)
            if leader != stage_id:
                return machine.Shared(stage_id, leader)
            return self._delays.take_up(answer, preview=self._preview)
        progress.outputs = answer.result.outputs
        if not self._is_doubted(answer):
            return machine.Hit(stage_id)
        self._doubted.add(answer.asked.key)
        self._account.answers[stage_id] = replace_fields(answer, again=True)
        return machine.Missed(stage_id)

    def _is_doubted(self, answer: Answer) -> bool:
        """Whether a hit is to be executed again: each action once, and never an effect."""
        stage, key = answer.asked.stage, answer.asked.key
        return not stage.options.effect and key not in self._doubted and self._doubts(stage.id)

    def _refused(self, stage_id: str, failure: Failure) -> machine.Event:
        self._account.stages[stage_id].failure = failure
        return machine.Refused(stage_id)

    def _observe_version(self, stage: PlannedStage, bound: Bound) -> Failure | None:
        """Let the version that the stage's own function observes be part of what is asked for; what it raised, if it fails."""
        if isinstance(stage.node.stage, FrozenStage):
            raise CodeNeeded("the version of a source is observed")
        self._account.secrets.note(bound)
        try:
            bound.environment[VERSION_OF] = self._versions.observe(stage.node)
        except LinealError:
            raise
        except Exception as error:  # noqa: BLE001 — whatever it raises is the stage's failure
            from lineal.executors.attempt import failure_of

            found, masked = failure_of(error), self._account.secrets.masked
            return replace_fields(
                found,
                message=masked(found.message),
                hint=f"version_of={stage.options.version_of} raised it, before the stage was begun.",
                traceback=masked(found.traceback),
            )
        return None
