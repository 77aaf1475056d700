"""Errors that more than one room raises; each room keeps its own beside the code that raises them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def spooling(url: str) -> Iterator[None]:
    """While files are written into the spool of the store ``url``: a full disk is the store's, and told as such."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        hint = "Make room on that disk, or set LINEAL_STORE to a place that has some."
        raise StoreUnavailable(url, error.strerror or str(error), hint) from error


__all__ = ["LinealError", "NotFound", "StoreUnavailable", "UsageError", "spooling"]
