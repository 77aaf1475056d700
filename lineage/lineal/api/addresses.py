"""WHAT: a file, a digest, a run id, or ``[project/]pipeline[.stage][.output]@VERSION``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lineal.api.nearest import did_you_mean
from lineal.errors import NotFound, UsageError
from lineal.graph.history import find_run, newest_runs, read_stages
from lineal.graph.lineage import Lineage
from lineal.graph.records import RunRecord, StageRecord
from lineal_store import Digest, Store
from lineal_store.errors import CorruptRecord
from lineal_store.sealed import unseal

FORMS = (
    "Give an existing file, sha256: with at least 8 digits, a run id, "
    "or pipeline.stage.output@VERSION (latest, a tag, a run id or a date)."
)
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{8,64})")
_RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]+")
_LEAST_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Found:
    """What an address means: bytes, or a whole run. ``run`` is the run that it was found through."""

    digest: Digest | None = None
    run: RunRecord | None = None
    stage: str | None = None
    output: str | None = None
    file: Path | None = None


class Addresses:
    """Resolves WHAT against ``store``, in ``namespace``; ``lineage`` is read when it is first needed."""

    def __init__(self, store: Store, namespace: str) -> None:
        self._store, self._namespace = store, namespace
        self._lineage: Lineage | None = None

    @property
    def lineage(self) -> Lineage:
        if self._lineage is None:
            self._lineage = Lineage(self._store)
        return self._lineage

    def resolve(self, what: str) -> Found:
        """What ``what`` means. `UsageError` where it has no known form, `NotFound` where nothing answers to it."""
        path = Path(what)
        if path.is_file():
            return Found(Digest.of_file(path)[0], file=path)
        if what.startswith("sha256:"):
            return Found(self._by_digits(what))
        if _RUN_ID.fullmatch(what):
            return Found(run=self.get_run(what))
        if "@" in what:
            return self._by_address(what)
        if _DIGEST.fullmatch(what):
            return Found(self._by_digits(what))
        if path.is_dir():
            raise UsageError(f"{what} is a directory", "Name one of its files.")
        if "/" in what or path.suffix:
            raise NotFound(f"there is no file {what}", FORMS)
        raise UsageError(f"{what!r} is not an address", FORMS)

    def find_run(self, what: str) -> RunRecord | None:
        """The run that ``what`` means as a whole, whatever its pipeline returns: a run id, or PIPELINE@VERSION; else None."""
        name, at, version = what.rpartition("@")
        pipeline = name.rpartition("/")[2]
        if _RUN_ID.fullmatch(what):
            return self.get_run(what)
        if not at or not pipeline or not version or "." in pipeline or Path(what).is_file():
            return None
        return self._version(pipeline, version, what)

    def get_run(self, run_id: str) -> RunRecord:
        """The run with that id, or the only one whose id begins like that."""
        run = find_run(self._store, run_id) if _RUN_ID.fullmatch(run_id) else None
        if run is None and self._store.runs.find(run_id) is not None:
            raise CorruptRecord(f"the record of run {run_id}", "it cannot be read")
        found = self._store.runs.beginning_with(run_id) if run is None else []
        if len(found) > 1:
            raise UsageError(
                f"{run_id} is the beginning of {len(found)} runs", f"There are {', '.join(found)}."
            )
        if found:
            return self.get_run(found[0])
        if run is None:
            raise NotFound(f"there is no run {run_id}", "`lineal runs` lists them.")
        return run

    def tags(self) -> Iterator[tuple[str, dict[str, object]]]:
        """Every tag that is not deleted, with its newest entry."""
        for name in self._store.refs.names("tags"):
            newest = self._store.refs.newest(name)
            entry = unseal(newest[1]) if newest is not None else None
            if isinstance(entry, dict) and entry.get("digest") is not None:
                yield name.removeprefix("tags/"), entry

    def _by_digits(self, text: str) -> Digest:
        match = _DIGEST.fullmatch(text)
        if match is None:
            raise UsageError(
                f"{text} is not a digest",
                f"A digest is sha256: and {_LEAST_DIGITS} to 64 lowercase hex digits.",
            )
        digits = match[1]
        if len(digits) == 64:
            return Digest(digits)
        found = {one for one in self.lineage.digests() if one.startswith(f"sha256:{digits}")}
        if not found:
            found = {
                str(blob.digest) for blob in self._store.blobs.list() if blob.digest.hex.startswith(digits)
            }
        if len(found) > 1:
            raise UsageError(
                f"sha256:{digits} is the beginning of {len(found)} digests", "Give more of its digits."
            )
        if not found:
            raise NotFound(f"no digest in the store begins with sha256:{digits}", FORMS)
        return Digest.parse(found.pop())

    def _by_address(self, what: str) -> Found:
        name, _, version = what.rpartition("@")
        pipeline, *rest = name.rpartition("/")[2].split(".")
        if not pipeline or not version or len(rest) > 2:
            raise UsageError(f"{what!r} is not an address", FORMS)
        run = self._version(pipeline, version, what)
        return self._within(run, rest, what)

    def _version(self, pipeline: str, version: str, what: str) -> RunRecord:
        kind, colon, value = version.partition(":")
        if not colon:
            kind, value = "", version
        elif kind not in ("tag", "run", "date"):
            raise UsageError(f"{what!r} is not an address: unknown kind of version {kind!r}", FORMS)
        if not kind and value == "latest":
            run = self._newest(pipeline, None)
            if run is None:
                raise NotFound(
                    f"{pipeline} has no succeeded run in the namespace {self._namespace}"
                    + self._known(pipeline),
                    "`lineal runs` lists all runs; LINEAL_NAMESPACE chooses another namespace.",
                )
            return run
        if kind in ("", "tag"):
            entry = dict(self.tags()).get(value)
            if entry is not None:
                run_id = entry.get("run_id")
                if not isinstance(run_id, str):
                    raise NotFound(f"the tag {value} names bytes that no run made", "Use their digest.")
                return self._of_pipeline(self.get_run(run_id), pipeline, what)
        if kind in ("", "run") and _RUN_ID.fullmatch(value):
            return self._of_pipeline(self.get_run(value), pipeline, what)
        if kind in ("", "date"):
            run = self._newest(pipeline, value)
            if run is not None:
                return run
        raise NotFound(f"nothing answers to {what}: there is no version {value!r} of {pipeline}", FORMS)

    def _newest(self, pipeline: str, logical_date: str | None) -> RunRecord | None:
        for run in newest_runs(self._store, pipeline):
            fits = logical_date is None or run.logical_date == logical_date
            if fits and run.state == "succeeded" and run.namespace == self._namespace:
                return run
        return None

    def _known(self, pipeline: str) -> str:
        return did_you_mean(pipeline, {run.pipeline for run in newest_runs(self._store, most=100)})

    def _of_pipeline(self, run: RunRecord, pipeline: str, what: str) -> RunRecord:
        if run.pipeline != pipeline:
            raise NotFound(f"nothing answers to {what}: run {run.run_id} is one of {run.pipeline}")
        return run

    def _within(self, run: RunRecord, path: list[str], what: str) -> Found:
        if not path:
            return self.of_run(run, what)
        stages = {stage.id: stage for stage in read_stages(self._store, run)}
        if path[0] not in stages and len(path) == 1 and path[0] in run.outputs:
            return self.of_run(run, what, path[0])
        if path[0] not in stages:
            raise NotFound(
                f"nothing answers to {what}: {run.pipeline} has no stage {path[0]}{did_you_mean(path[0], stages)}",
                f"Its stages are {', '.join(list(stages)[:20])}.",
            )
        return self._of_stage(run, stages[path[0]], path[1] if len(path) > 1 else None, what)

    def of_run(self, run: RunRecord, what: str, output: str | None = None) -> Found:
        """What a run's pipeline returned, or one of its outputs."""
        if output is None:
            output = _sole(list(run.outputs), what, f"pipeline {run.pipeline}")
        digest = run.outputs[output]
        if digest is None:
            raise NotFound(f"nothing answers to {what}: {output} was not made in run {run.run_id}")
        return Found(Digest.parse(digest), run, None, output)

    def _of_stage(self, run: RunRecord, stage: StageRecord, output: str | None, what: str) -> Found:
        if not stage.outputs:
            raise NotFound(f"nothing answers to {what}: {stage.id} is {stage.state} in run {run.run_id}")
        if output is None:
            output = _sole(list(stage.outputs), what, f"stage {stage.id}")
        if output not in stage.outputs:
            raise NotFound(
                f"nothing answers to {what}: {stage.id} has no output {output}{did_you_mean(output, stage.outputs)}",
                f"Its outputs are {', '.join(stage.outputs)}.",
            )
        return Found(Digest.parse(stage.outputs[output].digest), run, stage.id, output)


def _sole(names: list[str], what: str, whose: str) -> str:
    if not names:
        raise NotFound(f"nothing answers to {what}: {whose} returns nothing", "Name a stage.")
    if len(names) > 1:
        raise UsageError(f"{what}: {whose} has several outputs", f"Name one of {', '.join(names)}.")
    return names[0]
