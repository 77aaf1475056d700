"""Errors that more than one room raises; each room keeps its own beside the code that raises them."""

from __future__ import annotations

from lineal_store.errors import LinealError, StoreUnavailable


class UsageError(LinealError):
    """Something the user typed, configured or declared cannot be used as it stands."""

    exit_code = 2
    kind = "usage"

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        return self.message


class NotFound(LinealError):
    """Nothing answers to the name that was asked for."""

    exit_code = 1
    kind = "not_found"

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        return self.message


__all__ = ["LinealError", "NotFound", "StoreUnavailable", "UsageError"]
