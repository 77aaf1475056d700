"""What is wrong with a table, all of it at once."""

from __future__ import annotations

from msgspec import Struct

from lineal.errors import LinealError

MAX_SAMPLES = 5


class Sample(Struct, frozen=True):
    """One of the rows: its label in the index (its number where there is no index) and the value, as text."""

    row: str
    value: str


class Violation(Struct, frozen=True):
    """One rule that a table breaks, and where.

    ``column`` is None for rules on the whole table. ``rule`` is required, extra, table, duplicate, dtype, unit,
    timezone, nullable, ge, gt, le, lt, isin, unique, matches, min_rows or max_rows. ``count`` is the number of
    rows that break it (all of them where the type is wrong), with at most `MAX_SAMPLES` of them as ``samples``.
    """

    column: str | None
    rule: str
    expected: str
    found: str
    count: int
    samples: tuple[Sample, ...] = ()

    def __str__(self) -> str:
        subject = f"column {self.column!r}" if self.column is not None else "the table"
        text = f"{subject}: expected {self.expected}, found {self.found}"
        if self.samples:
            rows = f"{self.count:,} row{'s' if self.count != 1 else ''}"
            text += f" in {rows}: " + ", ".join(f"row {item.row} is {item.value}" for item in self.samples)
            if self.count > len(self.samples):
                text += ", …"
        return text


class SchemaViolated(LinealError):
    """A table is not what its schema promises; ``violations`` holds everything that is wrong with it."""

    kind = "contract"
    hint = "Correct the data, the stage or the schema. Nothing was cached, and nothing downstream runs on it."

    def __init__(self, schema: str, where: str, violations: tuple[Violation, ...]) -> None:
        super().__init__(schema, where, violations)  # pickle rebuilds errors from args
        self.schema, self.where, self.violations = schema, where, violations

    def __str__(self) -> str:
        count = len(self.violations)
        head = f"{self.where}: {count} violation{'s' if count != 1 else ''} of the schema {self.schema}"
        return "\n".join([head, *(f"  {violation}" for violation in self.violations)])
