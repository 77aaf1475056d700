"""Versions of sources that are no files: observed by the project's own functions when a run is planned (``version_of=``)."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import xxhash

from lineal.artifacts import Secret
from lineal.artifacts.values import encode_value, import_by_name
from lineal.errors import LinealError
from lineal.stages import Node
from lineal.stages.wiring import Binding, Constant, Source
from lineal_store.canonical import encode

NAME = "version_of"
"""In the environment of an action: what was observed."""

_LONGEST = 500


class VersionUnknown(LinealError):
    """The function in ``version_of`` cannot be asked."""

    kind = "usage"
    exit_code = 2

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        return self.message


class Versions:
    """Asks each function once a run for the same arguments, in this process, which has imported the project."""

    def __init__(self) -> None:
        self._observed: dict[tuple[str, bytes], str] = {}

    def observe(self, node: Node) -> str:
        """What the stage's function observes, as text that is equal for equal values only.

        It is given those of the stage's parameters that it takes. `VersionUnknown` where one of them is not known
        before other stages have run; what the function raises is raised.
        """
        name = node.options.version_of
        assert name is not None
        function = cast("Callable[..., object]", import_by_name(name))
        arguments = {each: _value(name, node, each) for each in _taken(name, function, node.inputs)}
        shown = {key: None if isinstance(value, Secret) else value for key, value in arguments.items()}
        asked = name, encode([[key, encode_value(value, name=key)] for key, value in shown.items()])
        if asked not in self._observed:
            self._observed[asked] = _text(function(**arguments))
        return self._observed[asked]


def _taken(name: str, function: Callable[..., object], inputs: Mapping[str, Binding]) -> list[str]:
    """The names of the stage's parameters that the function takes."""
    found = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in inputs:
            found.append(parameter.name)
        elif parameter.default is parameter.empty:
            raise VersionUnknown(
                f"version_of={name} takes {parameter.name}, which is no parameter of the stage",
                "It is given the stage's parameters by their names: "
                + (", ".join(inputs) or "it has none")
                + ".",
            )
    return found


def _value(name: str, node: Node, parameter: str) -> object:
    binding = node.inputs[parameter]
    if not isinstance(binding, Constant | Source):
        raise VersionUnknown(
            f"version_of={name} takes {parameter} of {node.id}, which other stages have to make first",
            "A version is observed before anything runs: let it take parameters of the pipeline only.",
        )
    return binding.value


def _text(observed: object) -> str:
    structure: Any = encode_value(observed, name="what version_of observed")
    try:
        text = json.dumps(structure, sort_keys=True, ensure_ascii=False)
    except TypeError:  # there are bytes in it
        text = ""
    return text if 0 < len(text) <= _LONGEST else f"xxh3:{xxhash.xxh3_128_hexdigest(encode(structure))}"
