"""The base of every error that Lineal raises on purpose, and the store's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lineal_store.digest import Digest


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


class ObjectMissing(LinealError):
    """No object of that name lies in the store."""

    kind = "not_found"

    def __init__(self, url: str, name: str) -> None:
        super().__init__(url, name)
        self.url, self.name = url, name

    def __str__(self) -> str:
        return f"the store {self.url} holds no object named {self.name}"


class BlobMissing(LinealError):
    """No blob lies under that digest."""

    kind = "not_found"
    hint = "Run the pipeline again: the stage that made it runs again and puts it back."

    def __init__(self, url: str, digest: Digest) -> None:
        super().__init__(url, digest)
        self.url, self.digest = url, digest

    def __str__(self) -> str:
        return f"the store {self.url} holds no blob {self.digest}"


class DigestMismatch(LinealError):
    """Bytes read back do not hash to the digest they are filed under."""

    exit_code = 4
    kind = "corrupt"
    hint = "Run `lineal store verify --read-data`; running the pipeline again replaces what is damaged."

    def __init__(self, expected: Digest, actual: Digest, location: str) -> None:
        super().__init__(expected, actual, location)
        self.expected, self.actual, self.location = expected, actual, location

    def __str__(self) -> str:
        return f"{self.location} holds {self.actual}, filed under {self.expected}"


class CorruptRecord(LinealError):
    """Bytes that should be a record, or a name that the store should have given, are not.

    ``what`` names the record (a name in the store where it is known), ``problem`` says what is wrong with it.
    """

    exit_code = 4
    kind = "corrupt"
    hint = "Run `lineal store verify`; the record was damaged, or written by something that is not Lineal."

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(what, problem)
        self.what, self.problem = what, problem

    def __str__(self) -> str:
        return f"{self.what} is damaged: {self.problem}"


class RecordTooLarge(LinealError):
    """A record would be larger than every reader is promised."""

    kind = "usage"
    exit_code = 2
    hint = "Pass large values as a stage's result or as a File, so that they are kept as blobs."

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(size_bytes, limit_bytes)
        self.size_bytes, self.limit_bytes = size_bytes, limit_bytes

    def __str__(self) -> str:
        return f"a record of {self.size_bytes} bytes is larger than the {self.limit_bytes} allowed"


class InvalidName(LinealError, ValueError):
    """A digest, action key, run id, ref name or path is not well formed."""

    kind = "usage"
    exit_code = 2

    def __init__(self, name: str, problem: str, hint: str | None = None) -> None:
        super().__init__(name, problem, hint)
        self.name, self.problem, self.hint = name, problem, hint

    def __str__(self) -> str:
        return f"{self.name!r:.200} {self.problem}"


class RunExists(LinealError):
    """A run of that id was begun, or finished, before."""

    hint = "Begin a run of its own id; records of runs are never replaced."

    def __init__(self, url: str, run_id: str) -> None:
        super().__init__(url, run_id)
        self.url, self.run_id = url, run_id

    def __str__(self) -> str:
        return f"the store {self.url} has a record of run {self.run_id} already"
