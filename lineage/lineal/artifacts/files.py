"""`File` and `Directory`: content that lives outside of Python, by the place where it lies."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import IO, Any, Self, cast

from lineal.errors import LinealError


class _Place(os.PathLike[str]):
    """A URL or path, and where its content lies on this machine, if it does.

    Two places are equal when they are of one class and have one URL; where the content is held does not count.
    """

    __slots__ = ("_held_at", "_url")

    _url: str

    def __init__(self, url: str | os.PathLike[str]) -> None:
        text = url._url if isinstance(url, _Place) else os.fspath(url)
        if not isinstance(text, str) or not text:
            raise ValueError(f"a {type(self).__name__} needs a path or a URL, not {url!r}")
        self._url = text
        self._held_at: str | None = url._held_at if isinstance(url, _Place) else None

    @classmethod
    def held(cls, url: str, path: str | os.PathLike[str]) -> Self:
        """The content of ``url`` that lies at ``path``, read-only: what a stage is handed.

        The last part of ``path`` is to end as the source's own name does (a link to the store's file will do):
        readers take the compression and the format from how a name ends.
        """
        place = cls(url)
        place._held_at = os.fspath(path)
        return place

    @property
    def url(self) -> str:
        """As the user gave it: a URL that fsspec understands, or a path, relative to the project or absolute.

        In a stage it says where the content was taken from, which is no part of what a result is filed under: the
        audit event ``lineal.url`` lets whoever observes the stage know.
        """
        if self._held_at is not None and self._held_at != self._url:
            sys.audit("lineal.url", self._held_at)
        return self._url

    @property
    def is_held(self) -> bool:
        """Whether Lineal has laid the content out, as it does for a stage's inputs."""
        return self._held_at is not None

    @property
    def path(self) -> Path:
        """The content on this machine. Raises `NotLocal` for a remote URL that no run has fetched."""
        return Path(self.__fspath__())

    def __fspath__(self) -> str:
        if self._held_at is not None:
            return self._held_at
        scheme, separator, rest = self._url.partition("://")
        if not separator:
            return self._url
        if scheme == "file":
            return rest
        raise NotLocal(self._url)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._url == self._url

    def __hash__(self) -> int:
        return hash((type(self), self._url))

    def __repr__(self) -> str:
        shown = self._url if self._held_at is None else Path(self._held_at).name
        return f"{type(self).__name__}({shown!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._held_at is None:
            return type(self), (self._url,)
        return type(self).held, (self._url, self._held_at)


class File(_Place):
    """The bytes at a path or URL.

    In a pipeline ``File("raw/flights.csv")`` names a source, relative to the project. In the stage it is an
    `os.PathLike`: ``pandas.read_csv(source)`` reads the store's read-only copy, which is called after the stage's
    parameter and ends as the source does (``source.csv``), since content is what counts. A stage returns a file by writing to ``lineal.output("model.bin")`` and returning it as
    ``File``.

    >>> File("raw/flights.csv").path.name
    'flights.csv'
    """

    __slots__ = ()

    def open(self, mode: str = "rb") -> IO[Any]:
        """The content as an open file, which the caller closes; a remote URL is opened through fsspec."""
        try:
            path = self.__fspath__()
        except NotLocal:
            import fsspec

            return cast(IO[Any], fsspec.open(self._url, mode).open())
        return open(path, mode)


class Directory(_Place):
    """A folder of files at a path or URL, with everything below it.

    Names, bytes and the executable bit are its content; times, owners and empty folders are not.
    """

    __slots__ = ()

    def files(self) -> list[Path]:
        """Every file below, in the order of their relative paths with ``/``."""
        root = self.path
        found = [Path(folder, name) for folder, _, names in os.walk(root, followlinks=True) for name in names]
        return sorted(found, key=lambda path: path.relative_to(root).as_posix())


class NotLocal(LinealError):
    """A remote file was used as a path where no run has brought it to this machine."""

    hint = "Read it with `.open()`; inside a run Lineal hands the stage a local copy."
    kind = "usage"
    exit_code = 2

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url

    def __str__(self) -> str:
        return f"{self.url} is remote and has no path on this machine"


def ending(name: str) -> str:
    """How the name of a file ends, as far as readers go by it: the suffix, with the one before a compression's.

    >>> ending("flights.2013.csv.gz"), ending("model.v2.joblib"), ending("notes")
    ('.csv.gz', '.joblib', '')
    """
    found = _ENDING.search(name[1:])
    return "" if found is None else found[0]


_SUFFIX = r"\.[0-9]?[A-Za-z][A-Za-z0-9_]{0,15}"
_ENDING = re.compile(rf"(?:(?:{_SUFFIX})?\.(?:gz|bz2|xz|zst|lz4|lzma|br|zip|Z)|{_SUFFIX})\Z")
