"""What attempts return, filed: judged by what was seen of them, given its provenance, and made durable with its like."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace as replace_fields

from lineal.engine import machine
from lineal.engine.cache import ActionCache, Answer, Asked
from lineal.engine.commit import Committed, Committer, Made
from lineal.engine.progress import Account, Attempt, RunContext
from lineal.executors.protocol import Outcome
from lineal.graph.records import ActionResult, Manifest, Observed, to_bytes
from lineal_store import Digest

if TYPE_CHECKING:
    from lineal.engine.observation import Judge


class Results:
    """Files the results of one run. ``judge_of`` is called when a first attempt has returned."""

    def __init__(
        self,
        account: Account,
        cache: ActionCache,
        committer: Committer,
        context: RunContext,
        judge_of: Callable[[], Judge] | None,
    ) -> None:
        self._account, self._cache, self._committer, self._context = account, cache, committer, context
        self._judge_of = judge_of
        self._judge: Judge | None = None
        self._manifests: dict[str, str] = {}
        self._observed_warnings: dict[str, list[str]] = {}

    @property
    def warnings(self) -> dict[str, None]:
        """What was noticed of attempts, in the order of their stages; several stages of one function are told alike."""
        in_order = (text for stage in self._account.stages for text in self._observed_warnings.get(stage, ()))
        return dict.fromkeys(in_order)

    def take(self, attempt: Attempt, outcome: Outcome, log: bytes) -> None:
        """What ``attempt`` made, to be filed with the next commit; ``log`` is what it wrote."""
        self._committer.add(self._made(attempt, outcome, log))

    def compare(self, stage_id: str, outcome: Outcome) -> None:
        """Note what a hit came to when it was executed again, and where that is not what it was."""
        progress = self._account.stages[stage_id]
        progress.again = {name: output.digest for name, output in outcome.outputs.items()}
        differing = [
            name for name, output in progress.outputs.items() if progress.again.get(name) != output.digest
        ]
        if differing:
            self._note_other_bytes(
                stage_id,
                f"executed again it made other bytes of {', '.join(differing)}; what was there is used",
            )

    def commit(self) -> list[machine.Event]:
        """Make what has been returned durable."""
        if not self._committer.waits:
            return []
        return [self._take_committed(committed) for committed in self._committer.commit()]

    def _made(self, attempt: Attempt, outcome: Outcome, log: bytes) -> Made:
        """The result to be filed, with what it names.

        A result that is not to be offered as a hit is filed under a key of its own run: whoever asks for the action finds
        nothing, with any version of Lineal and in any store that it is copied to, and what came out has its record.
        """
        progress = self._account.stages[attempt.stage_id]
        answer = self._account.answers[attempt.stage_id]
        asked, retire = answer.asked, answer.retire
        observed = self._observed(asked, outcome)
        if observed.refused and "uncached" not in asked.action.environment:
            asked = progress.asked = self._cache.put_aside(asked)
            # What is there counts where strict is not set.
            retire = None if answer.refused else retire
        contents = dict(outcome.carried)
        manifest = self._name_manifest(asked.stage.manifest, asked.stage.fingerprint.hex, contents)
        log_digest = None
        if log:
            log_digest = str(Digest.of(log))
            contents[log_digest] = log
            progress.logs.append(log_digest)
        progress.outputs = outcome.outputs
        assert progress.started_at is not None
        result = ActionResult(
            action=asked.action,
            outputs=dict(outcome.outputs),
            origins=asked.bound.origins,
            side_products=list(outcome.side_products),
            manifest=manifest,
            code_tree=str(self._context.code_tree),
            environment=str(self._context.environment),
            seed=attempt.envelope.seed,
            run_id=self._context.run_id,
            stage_id=asked.stage.id,
            attempt=progress.attempts,
            started_at=progress.started_at.isoformat(),
            seconds=outcome.seconds,
            work_seconds=outcome.work_seconds,
            log=log_digest,
            observed=observed,
        )
        return Made(answer.asked.key, asked, result, contents, retire)

    def _take_committed(self, committed: Committed) -> machine.Event:
        asked = committed.asked
        stage_id = asked.stage.id
        progress, answer = self._account.stages[stage_id], self._account.answers[stage_id]
        if committed.outputs is None:  # its bytes are there all the same, for those that have begun with them
            progress.asked = answer.asked
            return machine.Superseded(stage_id)
        if committed.other_run is not None:
            self._note_other_bytes(
                stage_id,
                f"run {committed.other_run} made other bytes of the same action; its result, filed first, is used",
            )
        from lineal.stages.checkpoints import remove_checkpoints  # a run of hits has none

        remove_checkpoints(self._context.checkpoints / answer.asked.identity)
        progress.outputs = committed.outputs
        if answer.retire is not None or asked is not answer.asked:
            self._account.answers[stage_id] = Answer(asked, answer.cache, answer.reason, seen=answer.seen)
        if asked.stage.options.effect:
            self._cache.effects.append(asked, "done", self._context.run_id)
        return machine.Completed(stage_id)

    def _note_other_bytes(self, stage_id: str, how: str) -> None:
        self._account.stages[stage_id].other_bytes = how
        self._account.warnings.append(f"{stage_id} is not deterministic: {how}")

    def _observed(self, asked: Asked, outcome: Outcome) -> Observed:
        """What was seen of the attempt, judged; its warnings are the run's as well."""
        if outcome.observed is None or self._judge_of is None:
            return Observed()
        from lineal.engine.observation import Declarations  # a run of hits judges nothing

        self._judge = self._judge or self._judge_of()
        stage = asked.stage
        named = (self._account.plan.code_of(name) for name in asked.bound.code)
        observed = self._judge.judge(
            stage.name,
            outcome.observed,
            [stage.fingerprint, *(found for found in named if found is not None)],
            Declarations(
                stage.options.reads,
                stage.options.env,
                effect=stage.options.effect,
                cached=stage.options.cache,
            ),
        )
        if self._account.secrets:  # a path or a host may have one in it
            masked = self._account.secrets.masked
            texts = {
                name: [masked(text) for text in getattr(observed, name)]
                for name in ("files", "variables", "connections", "warnings")
            }
            observed = replace_fields(observed, **texts, refused=masked(observed.refused))
        self._observed_warnings[stage.id] = observed.warnings
        return observed

    def _name_manifest(self, manifest: Manifest, fingerprint: str, contents: dict[str, bytes]) -> str:
        """The digest of what a fingerprint covers, which is kept once in a run."""
        if fingerprint not in self._manifests:
            data = to_bytes(manifest)
            self._manifests[fingerprint] = str(Digest.of(data))
            contents[self._manifests[fingerprint]] = data
        return self._manifests[fingerprint]
