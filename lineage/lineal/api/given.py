"""What is given for the parameters of a pipeline, before it is known what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from lineal.stages import Pipeline


class Given(NamedTuple):
    """NAME=VALUE as it is typed, a file, and ``data`` that JSON or TOML can say.

    The first stands over the second, and that over the third. ``logical_date`` is what the run is for: it fills the parameter
    that takes that, unless something else does.
    """

    assignments: Sequence[str] = ()
    file: Path | None = None
    data: Mapping[str, Any] = MappingProxyType({})
    logical_date: datetime | None = None

    def values(self, pipeline: Pipeline[..., object]) -> dict[str, object]:
        """The values of the pipeline's parameters; errors as of `lineal.api.parameters.parse_assignments`."""
        from lineal.api.parameters import Declared, parse_assignments
        from lineal.artifacts.annotations import union_members
        from lineal.stages.pipeline import logical_date_port

        ports = pipeline.signature.inputs.values()
        declared = {port.name: Declared(port.annotation, port.has_default, port.default) for port in ports}
        data = dict(self.data)
        port = logical_date_port(pipeline.name, pipeline.signature)
        if port is not None and self.logical_date is not None:
            is_day = datetime not in union_members(port.annotation)
            data.setdefault(
                port.name, (self.logical_date.date() if is_day else self.logical_date).isoformat()
            )
        return parse_assignments(self.assignments, self.file, declared, data)
