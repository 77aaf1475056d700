"""What makes a fingerprint impossible."""

from __future__ import annotations

from lineal.errors import LinealError


class FingerprintError(LinealError):
    """The code that a stage depends on cannot be read, parsed or found.

    ``file`` and ``line`` (from 1; 0 where there is none) say where.
    """

    exit_code = 2
    kind = "code"

    def __init__(self, problem: str, file: str, line: int = 0, hint: str | None = None) -> None:
        super().__init__(problem, file, line, hint)  # pickle rebuilds errors from args
        self.problem, self.file, self.line, self.hint = problem, file, line, hint

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.problem}"
