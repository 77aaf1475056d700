"""The base of every error that Lineal raises on purpose, and the store's own."""

from __future__ import annotations


class LinealError(Exception):
    """Base of every error raised on purpose.

    ``str(error)`` says what happened and where; ``hint`` is the next thing to try, or None;
    ``exit_code`` is what a command that ends with it exits with; ``transient`` says whether
    trying the same again may succeed. Every subclass survives pickling.
    """

    hint: str | None = None
    exit_code: int = 1
    kind: str = "error"
    transient: bool = False


class StoreUnavailable(LinealError):
    """The store cannot be used: unreachable, absent, denied, read-only, full, or of a newer format."""

    exit_code = 5
    kind = "store"

    def __init__(self, url: str, problem: str, hint: str | None = None, transient: bool = False) -> None:
        super().__init__(url, problem, hint, transient)  # pickle rebuilds errors from args
        self.url, self.problem, self.hint, self.transient = url, problem, hint, transient

    def __str__(self) -> str:
        return f"the store {self.url} cannot be used: {self.problem}"
