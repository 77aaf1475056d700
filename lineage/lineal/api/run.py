"""What `pipeline.run(...)` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from lineal.artifacts import decode
from lineal.artifacts.annotations import bare
from lineal.artifacts.lists import read_list
from lineal.errors import NotFound
from lineal.graph.records import RunRecord
from lineal.stages.signature import read_outputs
from lineal.views.runs import run_document
from lineal_store import Digest, Store
from lineal_store.tree import Tree


class Run:
    """A run that has ended. ``state`` says how; a failed run is returned, not raised."""

    def __init__(self, store: Store, record: RunRecord, annotations: Mapping[str, object]) -> None:
        self._store, self._record, self._annotations = store, record, annotations

    @property
    def run_id(self) -> str:
        return self._record.run_id

    @property
    def state(self) -> str:
        return self._record.state

    @property
    def outputs(self) -> Mapping[str, str | None]:
        """Digests of what the pipeline returned, by name; None for what was skipped or not made."""
        return self._record.outputs

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self._record.warnings)

    def load(self, output: str = "result") -> Any:
        """The value of one of the pipeline's outputs. `NotFound` where this run did not make it."""
        digest = self._record.outputs.get(output)
        if digest is None:
            made = [name for name, made in self._record.outputs.items() if made is not None]
            raise NotFound(
                f"run {self.run_id} ({self.state}) has no output {output}",
                f"It has {', '.join(made)}." if made else f"`lineal show {self.run_id}` says what failed.",
            )
        for stage in self._record.stages:
            for made_output in stage.outputs.values():
                if made_output.digest == digest:
                    annotation = self._annotations.get(output, object)
                    if made_output.type == "list":
                        return self._list(output, digest, annotation)
                    if made_output.type == "directory":
                        raise self._no_value(output)
                    path = self._store.blobs.fetch(Digest.parse(digest))
                    return decode(made_output.type, path, annotation)
        raise NotFound(f"run {self.run_id} does not say what {output} is")

    def _no_value(self, output: str) -> NotFound:
        return NotFound(
            f"{output} of run {self.run_id} is made of directories, which are no values",
            f"`lineal get {self.outputs[output]} -o FOLDER` lays it out as files.",
        )

    def _list(self, output: str, digest: str, annotation: object) -> list[Any]:
        """What a mapped stage returned; calls with several outputs are dicts where the annotation does not say what they are."""
        each = next(iter(get_args(bare(annotation))), object)
        outputs = read_outputs(each, "the list")
        calls = read_list(Tree.decode(self._store.blobs.read(Digest.parse(digest))), f"the list {digest}")
        found: list[Any] = []
        for call in calls:
            values = {}
            for name, member in call.items():
                if member.codec == "directory" or member.digest is None:
                    raise self._no_value(output)
                wanted = outputs.ports[name].annotation if name in outputs.ports else object
                values[name] = decode(member.codec, self._store.blobs.fetch(member.digest), wanted)
            fits = values.keys() == outputs.ports.keys()
            found.append(outputs.assemble([values[name] for name in outputs.ports]) if fits else values)
        return found

    def document(self) -> dict[str, Any]:
        """The run as `lineal run --json` prints it."""
        return run_document(self._record, self._record.stages)

    def __repr__(self) -> str:
        from lineal.views.notebook import run_line

        return f"<{run_line(self.document())}>"

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        from lineal.views.notebook import run_html

        return run_html(self.document())
