"""What a stage may be told about its running, caching and identity."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from os import PathLike, fspath
from typing import Any, TypedDict

from msgspec import Struct, field
from msgspec.structs import replace

from lineal.artifacts.codecs.protocol import class_name
from lineal.durations import parse_duration
from lineal.stages.errors import StageDefinitionError
from lineal.stages.names import check_name, nearest_hint

Duration = str | float | timedelta
RetryOn = type[BaseException] | Iterable[type[BaseException]] | Callable[[Any], bool]


class StageOptions(Struct, frozen=True):
    """The options of one stage, as validated.

    ``name`` is None for the function's own. ``retries=3`` is at most four attempts, ``timeout_seconds`` is
    for each of them. The first waits ``retry_delay_seconds``, each further one ``retry_backoff`` times as long, up to
    ``retry_max_delay_seconds`` (`lineal.engine.retries`). ``retry_on`` names the classes of exceptions that are worth another
    attempt, as `class_name` does, or the function that says so, as ``module:qualname``; None for every exception.
    ``resources`` are amounts by name, of ``memory`` in bytes; ``limit`` is a concurrency group, ``"warehouse:2"`` or ``"warehouse"``.
    ``version`` is a manual salt, ``version_of`` names the function, ``module:qualname``, that observes the version of what the stage takes from
    elsewhere; ``refresh_seconds`` is how old a result may be to count. ``env`` the declared environment variables, ``reads`` the declared data
    files, ``depends_on`` objects whose code counts as the stage's own. ``effect`` marks a stage that
    changes the world: it is retried only if it is ``idempotent``, doing no harm when done twice.

    Only what can change a result enters its key: never retries, timeout, resources or limit.
    """

    name: str | None = None
    retries: int = 0
    retry_delay_seconds: float = 1.0
    retry_backoff: float = 2.0
    retry_max_delay_seconds: float = 600.0
    retry_jitter: float = 0.1
    retry_on: tuple[str, ...] | str | None = None
    timeout_seconds: float = 86400.0
    resources: Mapping[str, float] = field(default_factory=dict)
    limit: str | None = None
    cache: bool = True
    version: str | None = None
    version_of: str | None = None
    refresh_seconds: float | None = None
    env: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    depends_on: tuple[object, ...] = ()
    effect: bool = False
    idempotent: bool = False

    def changed(self, options: Mapping[str, object]) -> StageOptions:
        """These options with others by the names that users write (`timeout`, not `timeout_seconds`).

        StageDefinitionError for a name that there is none of, or a value that is not allowed.
        """
        fields: dict[str, Any] = {}
        for name, value in options.items():
            if name not in _OPTIONS:
                raise StageDefinitionError(
                    f"a stage has no option {name}", nearest_hint(name, _OPTIONS, "The options are")
                )
            attribute, read = _OPTIONS[name]
            fields[attribute] = read(name, value)
        return replace(self, **fields)


class StageKeywords(TypedDict, total=False):
    """The options as users write them, for type checkers."""

    name: str
    retries: int
    retry_delay: Duration
    retry_backoff: float
    retry_max_delay: Duration
    retry_jitter: float
    retry_on: RetryOn | None
    timeout: Duration
    resources: Mapping[str, float | str]
    limit: str | None
    cache: bool
    version: str | None
    version_of: Callable[..., Any] | None
    refresh: Duration | None
    env: Iterable[str]
    reads: Iterable[str | PathLike[str]]
    depends_on: Iterable[object]
    effect: bool
    idempotent: bool


_UNIT_BYTES = {
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?b)\Z", re.IGNORECASE)


def parse_size(value: str) -> float:
    """Bytes from ``"8 GB"``, ``"512 MiB"``; ValueError for anything else.

    >>> parse_size("1.5 GB"), parse_size("1KiB")
    (1500000000.0, 1024.0)
    """
    match = _SIZE.match(value.strip())
    if match is None:
        raise ValueError(f"{value!r} is not a size")
    return float(match[1]) * _UNIT_BYTES[match[2].lower()]


def _refused(option: str, value: object, allowed: str) -> StageDefinitionError:
    return StageDefinitionError(f"{option}={value!r} cannot be used", f"{option} takes {allowed}.")


def _name(option: str, value: object) -> str:
    return check_name(value, "stage")


def _count(option: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _refused(option, value, "a whole number from 0")
    return value


def _number(option: str, value: object, least: float, most: float, allowed: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise _refused(option, value, allowed)
    return float(value)


def _backoff(option: str, value: object) -> float:
    return _number(option, value, 1.0, 1e6, "a factor from 1, which repeats the same delay")


def _jitter(option: str, value: object) -> float:
    return _number(option, value, 0.0, 1.0, "the part of a delay that chance may add, from 0 to 1")


def _retry_on(option: str, value: object) -> tuple[str, ...] | str | None:
    """Names instead of objects: the engine matches them with what a worker reports, and workers find functions by them."""
    if value is None:
        return None
    classes = list(value) if isinstance(value, tuple | list | set | frozenset) else [value]
    if classes and all(isinstance(one, type) and issubclass(one, BaseException) for one in classes):
        return tuple(sorted({class_name(one) for one in classes}))
    return _findable(
        option, value, "classes of exceptions, or a function at the top level of a module that takes one"
    )


def _duration(option: str, value: object) -> float:
    try:
        return parse_duration(value)
    except ValueError:
        raise _refused(option, value, 'seconds, a timedelta, or text like "30s", "5m", "2h", "1d"') from None


def read_timeout(option: str, value: object) -> float:
    """Seconds, more than none. StageDefinitionError, which names the ``option``, for anything else."""
    seconds = _duration(option, value)
    if seconds == 0:
        raise _refused(option, value, "a time longer than zero, for instance 30 or 2h")
    return seconds


def _flag(option: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _refused(option, value, "True or False")
    return value


def _version(option: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise _refused(option, value, 'a text, for instance "2"')
    return value


def _version_of(option: str, value: object) -> str | None:
    return None if value is None else _findable(option, value, "a function at the top level of a module")


def _refresh(option: str, value: object) -> float | None:
    return None if value is None else read_timeout(option, value)


def _findable(option: str, value: object, allowed: str) -> str:
    """The name, ``module:qualname``, by which other processes find this function."""
    name = getattr(value, "__qualname__", "<none>")
    if isinstance(value, type) or not callable(value) or "<" in name:
        raise _refused(option, value, allowed)
    return f"{value.__module__}:{name}"


_GROUP = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,59}(:[1-9][0-9]{0,5})?\Z")


def _limit(option: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _GROUP.match(value):
        raise _refused(
            option,
            value,
            'a group and how many of it may run at once, for instance "warehouse:2"; without a number the configuration says how many',
        )
    return value


def _resources(option: str, value: object) -> Mapping[str, float]:
    allowed = 'amounts by name, for instance {"gpu": 1, "memory": "8 GB"}'
    if not isinstance(value, Mapping):
        raise _refused(option, value, allowed)
    amounts = dict(value)
    if isinstance(amounts.get("memory"), str):
        try:
            amounts["memory"] = parse_size(amounts["memory"])
        except ValueError:
            raise _refused(option, value, allowed) from None
    for name, amount in amounts.items():
        is_number = isinstance(amount, int | float) and not isinstance(amount, bool)
        if not isinstance(name, str) or not is_number or not math.isfinite(amount) or amount < 0:
            raise _refused(option, value, allowed)
    return {name: float(amount) for name, amount in amounts.items()}


def _members(option: str, value: object, allowed: str) -> list[object]:
    # A str is iterable too: env="HOME" would otherwise declare H, O, M and E.
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise _refused(option, value, allowed)
    return list(value)


def _env(option: str, value: object) -> tuple[str, ...]:
    allowed = 'a list of names of environment variables, for instance ["OMP_NUM_THREADS"]'
    names = _members(option, value, allowed)
    if not all(isinstance(name, str) and name and "=" not in name and "\0" not in name for name in names):
        raise _refused(option, value, allowed)
    return tuple(sorted({str(name) for name in names}))


def _reads(option: str, value: object) -> tuple[str, ...]:
    allowed = 'a list of paths relative to the project, for instance ["config/features.yaml"]'
    paths = [
        fspath(one) if isinstance(one, str | PathLike) else one for one in _members(option, value, allowed)
    ]
    if not all(isinstance(path, str) and path for path in paths):
        raise _refused(option, value, allowed)
    return tuple(str(path) for path in paths)


def _objects(option: str, value: object) -> tuple[object, ...]:
    return tuple(_members(option, value, "a list of functions, classes or modules"))


_OPTIONS: dict[str, tuple[str, Callable[[str, object], object]]] = {
    "name": ("name", _name),
    "retries": ("retries", _count),
    "retry_delay": ("retry_delay_seconds", _duration),
    "retry_backoff": ("retry_backoff", _backoff),
    "retry_max_delay": ("retry_max_delay_seconds", _duration),
    "retry_jitter": ("retry_jitter", _jitter),
    "retry_on": ("retry_on", _retry_on),
    "timeout": ("timeout_seconds", read_timeout),
    "resources": ("resources", _resources),
    "limit": ("limit", _limit),
    "cache": ("cache", _flag),
    "version": ("version", _version),
    "version_of": ("version_of", _version_of),
    "refresh": ("refresh_seconds", _refresh),
    "env": ("env", _env),
    "reads": ("reads", _reads),
    "depends_on": ("depends_on", _objects),
    "effect": ("effect", _flag),
    "idempotent": ("idempotent", _flag),
}
