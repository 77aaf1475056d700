"""What can be wrong with a stage, a pipeline or a graph, before anything has run."""

from __future__ import annotations

from lineal.errors import UsageError
from lineal_store.errors import LinealError


class StageDefinitionError(UsageError):
    """A stage or a pipeline is declared in a way that cannot work."""


class PipelineError(UsageError):
    """A pipeline function did something that cannot be part of a graph.

    ``where`` is the user's own line, ``file.py:12``, or None where it is not known.
    """

    where: str | None = None

    def at(self, where: str | None) -> PipelineError:
        """This error, placed at the user's line unless an inner frame has placed it already."""
        if self.where is None:
            self.where = where
        return self

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class WiringError(PipelineError):
    """A stage or a sub-pipeline is called with arguments that it cannot take."""


class ParameterError(UsageError):
    """A pipeline's parameter is missing, unknown, or of the wrong type."""


class GraphError(UsageError):
    """A graph refers to something it does not hold, or runs in a circle."""


class ConditionError(LinealError):
    """A condition cannot be decided from the values that it compares."""

    kind = "contract"

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)  # pickle rebuilds errors from args
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        return self.message


class ItemMissing(LinealError):
    """A pipeline takes ``result[key]``, and the result that a stage returned has no such item."""

    kind = "contract"

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)  # pickle rebuilds errors from args
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        return self.message
