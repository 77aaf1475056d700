"""A project's settings: its files, then LINEAL_* variables, then flags.

From weakest to strongest: ``[tool.lineal]`` of pyproject.toml, lineal.toml, lineal.local.toml (for
one person, not committed), the chosen profile of those files in the same order, LINEAL_* variables,
flags. Everything has a default, so that a project needs no configuration at all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, get_args

from msgspec import Struct, field

from lineal.api.nearest import did_you_mean, find_nearest
from lineal.errors import UsageError
from lineal.events import Occasion
from lineal_store import Place

PROJECT_FILES = ("lineal.toml", "pyproject.toml")
LOCAL_FILE = "lineal.local.toml"


class Configuration(Struct, frozen=True):
    """A project's settings after every source was read.

    ``store`` and ``upstream`` are URLs or absolute paths; ``pipelines`` are targets relative to
    ``root``. ``origins`` says for each setting where its value came from: a file's name, a
    variable's name, ``flags`` or ``default``. ``cache`` is the folder for copies of what remote stores hold, or None.
    ``page`` is the address of the page that shows runs, for links in alerts, or None.
    ``limits`` are the sizes of concurrency groups, those of all files together. ``alerts`` are tables with the fields of
    `lineal.alerts.rules.Alert`: those of the strongest file that has any. ``schedules`` are tables for `lineal.automation.schedule.Schedule.of`,
    likewise.
    """

    root: Path
    store: str
    upstream: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    executor: str = "process"
    namespace: str = "dev"
    strict: bool = False
    cache: str | None = None
    cache_limit_bytes: int = 10 << 30
    single_writer: bool = False
    page: str | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    alerts: tuple[Mapping[str, Any], ...] = ()
    schedules: tuple[Mapping[str, Any], ...] = ()
    profile: str | None = None
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """The folder in which schedules, jobs and backfills are remembered; on a local disk."""
        return self.root / ".lineal" / "state"

    @property
    def place(self) -> Place:
        """The store, as `lineal_store.open_store` takes it."""
        return Place(
            self.store,
            upstream=self.upstream,
            cache=self.cache,
            cache_limit_bytes=self.cache_limit_bytes,
            single_writer=self.single_writer,
        )


class InvalidConfiguration(UsageError):
    """Settings that cannot be used: every mistake found in them, in one error."""

    kind = "configuration"


def find_root(start: Path) -> Path:
    """The nearest folder at or above ``start`` that holds a project file; else ``start``'s own folder.

    ``start`` may be a file, which need not exist.
    """
    start = start.resolve()
    folder = start if start.is_dir() else start.parent
    for candidate in (folder, *folder.parents):
        if any((candidate / name).is_file() for name in PROJECT_FILES):
            return candidate
    return folder


def load_configuration(
    start: Path,
    *,
    profile: str | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Configuration:
    """The settings of the project around ``start``.

    ``overrides`` are flags by setting name; those that are None were not given. Raises
    InvalidConfiguration with all mistakes of all sources.
    """
    root = find_root(start)
    environ = os.environ if environ is None else environ
    mistakes: list[str] = []
    files = list(_read_files(root, mistakes))
    variables = _read_variables(environ, mistakes)
    flags = {name: value for name, value in (overrides or {}).items() if value is not None}
    mistakes.extend(f"flags: {text}" for text in _find_mistakes(flags, _Table(_SETTINGS), ""))

    origin_of_profile = "--profile" if profile else "LINEAL_PROFILE"
    profile = profile or environ.get("LINEAL_PROFILE") or None
    layers = list(files)
    if profile is not None and not mistakes:
        layers += _profile_layers(profile, origin_of_profile, files, mistakes)
    if mistakes:
        raise InvalidConfiguration(
            _one_or_many(mistakes), f"The settings are read for the project in {root}."
        )

    layers += [*((name, {setting: value}) for name, setting, value in variables), ("flags", flags)]
    values: dict[str, object] = {}
    limits: dict[str, int] = {}
    origins = dict.fromkeys(_SETTINGS, "default")
    for origin, settings in layers:
        for name in _SETTINGS.keys() & settings.keys():
            values[name], origins[name] = settings[name], origin
        limits |= _limits(settings)
    return _configuration(root, values, origins, profile, limits, files)


def _configuration(
    root: Path,
    values: Mapping[str, object],
    origins: Mapping[str, str],
    profile: str | None,
    limits: Mapping[str, int],
    files: list[tuple[str, Mapping[str, object]]],
) -> Configuration:
    return Configuration(
        root=root,
        store=_location(root, str(values.get("store", Path(".lineal", "store")))),
        upstream=tuple(_location(root, url) for url in _texts(values.get("upstream"))),
        pipelines=_texts(values.get("pipelines")),
        executor=str(values.get("executor", "process")),
        namespace=str(values.get("namespace") or _user_namespace()),
        strict=values.get("strict") is True,
        cache=_cache_folder(root, str(values.get("cache", ""))),
        cache_limit_bytes=_bytes(str(values.get("cache_limit", "10 GB"))),
        single_writer=values.get("single_writer") is True,
        page=str(values["page"]) if "page" in values else None,
        limits=limits,
        alerts=_tables("alerts", files),
        schedules=_tables("schedules", files),
        profile=profile,
        origins=origins,
    )


def _limits(settings: Mapping[str, object]) -> Mapping[str, int]:
    found = settings.get("limits")
    return found if isinstance(found, Mapping) else {}


def _tables(name: str, files: list[tuple[str, Mapping[str, object]]]) -> tuple[Mapping[str, Any], ...]:
    """An array of tables as the strongest file has it that has any."""
    found = [settings[name] for _, settings in files if name in settings]
    return tuple(found[-1]) if found and isinstance(found[-1], list) else ()


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list | tuple) else ()


def _location(root: Path, text: str) -> str:
    """A URL as it is; a path as an absolute one, relative to the project's root."""
    if "://" in text:
        return text
    return os.path.normpath(root / Path(text).expanduser())


def _cache_folder(root: Path, text: str) -> str | None:
    """The folder named, by default the user's own for caches; None for ``off``."""
    if text == "off":
        return None
    if text:
        return _location(root, text)
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser(), "lineal", "stores")
    except RuntimeError:  # a user without a home
        return None
    return str(folder) if folder.is_absolute() else None


def _bytes(text: str) -> int:
    """``10 GB`` and the like in bytes; a multiple of 1,000."""
    match = _SIZE_TEXT.fullmatch(text)
    assert match is not None
    return int(float(match[1]) * 1000 ** "KMGT".index(match[2].upper()) * 1000)


def _user_namespace() -> str:
    """The user's name as a namespace. ``production`` is only ever written when it was asked for."""
    import getpass

    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user in the password file: usual in containers
        name = ""
    name = "".join(letter if _is_plain(letter) else "-" for letter in name)
    return name if name.strip("-.") and name != "production" else "dev"


# --- sources ---------------------------------------------------------------------------------------


def _read_files(root: Path, mistakes: list[str]) -> Iterator[tuple[str, Mapping[str, object]]]:
    """(file name, its settings), weakest first; mistakes are added to the list."""
    for name, prefix in (("pyproject.toml", ("tool", "lineal")), ("lineal.toml", ()), (LOCAL_FILE, ())):
        document: object = _read_toml(root / name, mistakes)
        for key in prefix:
            document = document.get(key, {}) if isinstance(document, Mapping) else {}
        found = list(_find_mistakes(document, _Table(_FILE_SETTINGS), ""))
        section = f"{name} [{'.'.join(prefix)}]" if prefix else name
        mistakes.extend(f"{section}: {text}" for text in found)
        if isinstance(document, Mapping) and document:
            yield name, document


def _read_toml(path: Path, mistakes: list[str]) -> Mapping[str, object]:
    if not path.is_file():
        return {}
    import tomllib

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as problem:
        mistakes.append(f"{path.name}: cannot be read: {problem.strerror}")
    except ValueError as problem:  # TOML or UTF-8
        mistakes.append(f"{path.name}: is not TOML: {problem}")
    return {}


def _profile_layers(
    profile: str, asked_by: str, files: list[tuple[str, Mapping[str, object]]], mistakes: list[str]
) -> list[tuple[str, Mapping[str, object]]]:
    """The profile's settings in each file that has it."""
    layers: list[tuple[str, Mapping[str, object]]] = []
    known: set[str] = set()
    for name, document in files:
        profiles = document.get("profiles", {})
        if isinstance(profiles, Mapping):
            known |= profiles.keys()
            if profile in profiles:
                layers.append((f"{name} [profiles.{profile}]", profiles[profile]))
    if not layers:
        there = f"; there are {', '.join(sorted(known))}" if known else "; the project declares none"
        mistakes.append(f"{asked_by}: no profile {profile!r}{did_you_mean(profile, known) or there}")
    return layers


def _read_variables(environ: Mapping[str, str], mistakes: list[str]) -> list[tuple[str, str, object]]:
    """(variable, setting, value) of every LINEAL_* variable that is a setting and is not empty.

    Other LINEAL_ variables may belong to anyone and are left alone, unless the name is so near to a
    setting's that it is a slip of the finger: a misspelt LINEAL_NAMESPACE must not go unnoticed.
    """
    found: list[tuple[str, str, object]] = []
    ours = {"LINEAL_" + name.upper(): name for name in _SETTINGS}
    for variable in sorted(name for name in environ if name.startswith("LINEAL_")):
        text = environ[variable]
        if variable not in ours:
            slip = find_nearest(variable, (*ours, "LINEAL_PROFILE"), alike=0.9)
            if slip is not None and variable != slip:
                mistakes.append(f"{variable}: no such variable; did you mean {slip}?")
        elif text:
            setting = ours[variable]
            value = _from_text(text, _SETTINGS[setting])
            mistakes.extend(f"{variable}: {why}" for why in _find_mistakes(value, _SETTINGS[setting], ""))
            found.append((variable, setting, value))
    return found


def _from_text(text: str, shape: _Value) -> object:
    if shape is _FLAG:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if shape is _TEXTS:
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


# --- what is known ---------------------------------------------------------------------------------


class _Value(Struct, frozen=True):
    """One value: its type, and for text the words it may be, or what it is like. A secret is not shown when it is wrong.

    ``check`` raises UsageError for a value of the type that means nothing.
    """

    expected: str
    types: tuple[type, ...]
    words: tuple[str, ...] = ()
    like: re.Pattern[str] | None = None
    is_secret: bool = False
    check: Callable[[Any], object] | None = None


class _Table(Struct, frozen=True):
    """``check`` finds what is wrong with a table whose values are all right by themselves."""

    keys: Mapping[str, _Shape]
    needs: tuple[str, ...] = ()
    check: Callable[[Mapping[str, Any]], Iterator[str]] | None = None


class _TableOfTables(Struct, frozen=True):
    each: _Table


class _ArrayOfTables(Struct, frozen=True):
    each: _Table
    unique: str | None = None


_Shape = _Value | _Table | _TableOfTables | _ArrayOfTables


def _one_of(*words: str) -> _Value:
    return _Value(" or ".join(f'"{word}"' for word in words), (str,), words)


_TEXT = _Value("text", (str,))
_FLAG = _Value("true or false", (bool,))
_TEXTS = _Value("a list of texts", (list, tuple))
_NAME = _Value("a name of letters, digits, '.', '_' and '-'", (str,))
_SIZE_TEXT = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?([KMGTkmgt])[Bb]")
_SIZE = _Value("a size such as 500 MB or 10 GB", (str,), like=_SIZE_TEXT)
_OCCASIONS = _Value("a list of texts", (list, tuple), get_args(Occasion))
_ADDRESS = _Value(
    "https://…, mailto:team@example.org, slack://…, pagerduty://…, command:./notify.sh or an address that apprise knows",
    (str,),
    like=re.compile(r"[a-z][a-z0-9+.-]*://.+|(?:mailto|command):.+|\$\{\w+\}.*", re.IGNORECASE),
)
_OWN_SCHEMES = ("https", "http", "slack", "pagerduty", "mailto", "command")
_PAGE = _Value(
    "https://… or http://…, without a user",
    (str,),
    like=re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#@]*)?", re.IGNORECASE),
)
_DURATION = _Value(
    "a duration such as 30m, 4h or 1d", (str,), like=re.compile(r"\d{1,9}(?:\.\d{1,9})?\s*(?:ms|s|m|h|d)")
)
_MAX_AGE = _Value('a duration for each address, such as { "features.table@latest" = "26h" }', (dict,))
_TIMES = _Value("a number from 1", (int, float))
_COUNT = _Value("a whole number from 1", (int,))
_SERVER = _Value(
    "smtp://host:587 or smtps://host:465, without a password",
    (str,),
    like=re.compile(r"smtps?://(?:[^\s/:@]+@)?[^\s/@]+/?|\$\{\w+\}"),
    is_secret=True,
)
_VARIABLE = _Value(
    'the variable that holds it, such as "${ALERTS_SECRET}"',
    (str,),
    like=re.compile(r"\$\{[A-Za-z_]\w*\}"),
    is_secret=True,
)
_LIMITS = _Value('a whole number from 1 for each group, such as { warehouse = 2, "*" = 8 }', (dict,))
_SETTINGS: Mapping[str, _Value] = {
    "store": _TEXT,
    "upstream": _TEXTS,
    "pipelines": _TEXTS,
    "executor": _TEXT,
    "namespace": _NAME,
    "strict": _FLAG,
    "cache": _TEXT,
    "cache_limit": _SIZE,
    "single_writer": _FLAG,
    "page": _PAGE,
}


def _one_alert(table: Mapping[str, Any]) -> Iterator[str]:
    if "stale" in _texts(table.get("on")) and "max_age" not in table:
        yield "max_age is missing, which says what may be how old before it is stale"


_ALERT = _Table(
    {
        "to": _ADDRESS,
        "on": _OCCASIONS,
        "smtp": _SERVER,
        "sender": _TEXT,
        "secret": _VARIABLE,
        "allow_local": _FLAG,
        "repeat": _DURATION,
        "hourly": _COUNT,
        "slower": _TIMES,
        "grace": _DURATION,
        "max_age": _MAX_AGE,
    },
    needs=("to",),
    check=_one_alert,
)


def _cron(text: str) -> object:
    from lineal.automation.cron import Cron

    return Cron.parse(text)


def _duration(text: str) -> object:
    from lineal.automation.moments import whole_seconds

    return whole_seconds(text)


def _zone(name: str) -> object:
    from lineal.automation.zones import find_zone

    try:
        return find_zone(name)
    except UsageError as problem:
        from zoneinfo import available_timezones

        raise UsageError(f"{problem}{did_you_mean(name, available_timezones())}") from None


def _instant(value: str | date) -> object:
    from datetime import UTC

    from lineal.automation.zones import instant

    return instant(value, UTC)


def _one_event(table: Mapping[str, Any]) -> Iterator[str]:
    kinds = [kind for kind in ("path", "ref", "pipeline", "webhook") if kind in table]
    if len(kinds) != 1:
        told = f"{' and '.join(kinds)} are two events" if kinds else "nothing is named"
        yield f"{told}; one of path, ref, pipeline and webhook is needed"
    elif ("secret" in table) != (kinds == ["webhook"]):
        yield "secret signs a webhook" if "secret" in table else "a webhook needs a secret to be signed with"
    elif "by" in table and kinds != ["path"]:
        yield "by says how data at a path is compared"


def _one_schedule(table: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a schedule whose values are all right by themselves."""
    times = [key for key in ("cron", "every", "on") if key in table]
    if len(times) != 1:
        told = f"{' and '.join(times)} are given" if times else "it says nowhere when it runs"
        yield f"{told}; one of cron, every and on is needed"
        return
    needless = [key for key in ("pipeline", "parameters") if key in table and "reproduce" in table]
    if needless:
        yield f"{needless[0]} and reproduce are given; a drill has the pipelines and parameters of what it reproduces"
    if "start" in table and "end" in table:
        from lineal.automation.schedule import Schedule

        schedule = Schedule.of(table)
        if schedule.start is not None and schedule.end is not None and schedule.start >= schedule.end:
            yield "it ends before it starts"


_TIME_SPAN = _Value('a duration such as "15m", "6h" or "1d"', (str,), check=_duration)
_INSTANT = _Value("a date or time such as 2026-03-29 or 2026-03-29T02:30", (str, date), check=_instant)
_SCHEDULE = _Table(
    {
        "name": _TEXT,
        "pipeline": _TEXT,
        "reproduce": _TEXTS,
        "cron": _Value('a cron expression such as "30 2 * * mon-fri"', (str,), check=_cron),
        "every": _TIME_SPAN,
        "on": _Table(
            {
                "path": _TEXT,
                "ref": _TEXT,
                "pipeline": _TEXT,
                "webhook": _NAME,
                "secret": _VARIABLE,
                "by": _one_of("listing", "content"),
            },
            check=_one_event,
        ),
        "timezone": _Value('a time zone such as "Europe/Berlin"', (str,), check=_zone),
        "gap": _one_of("shift", "skip"),
        "overlap": _one_of("once", "both"),
        "catch_up": _one_of("all", "latest", "none"),
        "when_running": _one_of("queue", "skip", "cancel"),
        "jitter": _TIME_SPAN,
        "start": _INSTANT,
        "end": _INSTANT,
        "logical_date_offset": _Value('days such as "-1d"', (str,), like=re.compile(r"[+-]?[0-9]{1,4}d")),
        "parameters": _Value("a table", (dict,)),
    },
    needs=("name",),
    check=_one_schedule,
)
_FILE_SETTINGS: Mapping[str, _Shape] = {
    **_SETTINGS,
    "limits": _LIMITS,
    "profiles": _TableOfTables(_Table({**_SETTINGS, "limits": _LIMITS})),
    "alerts": _ArrayOfTables(_ALERT),
    "schedules": _ArrayOfTables(_SCHEDULE, unique="name"),
}


def _find_mistakes(value: object, shape: _Shape, at: str) -> Iterator[str]:
    """What is wrong with ``value``, each as a sentence that begins with the dotted key."""
    match shape:
        case _Value():
            if shape is _OCCASIONS and _fits(value, _TEXTS):
                yield from (
                    f"{at}: no occasion {word!r}{did_you_mean(word, shape.words)}"
                    for word in _texts(value)
                    if word not in shape.words
                )
            elif shape is _ADDRESS and (slip := _slip_of_the_finger(value)) is not None:
                yield f"{at}: expected {shape.expected}, got {_shown(value)}; did you mean {slip}?"
            elif not _fits(value, shape):
                got = "" if shape.is_secret else f", got {_shown(value)}"
                yield f"{at + ': ' if at else ''}expected {shape.expected}{got}"
            elif shape.check is not None:
                try:
                    shape.check(value)
                except UsageError as problem:
                    yield f"{at}: {problem}"
        case _Table(keys, needs, check):
            if not isinstance(value, Mapping):
                yield f"{at + ': ' if at else ''}expected a table, got {_shown(value)}"
                return
            mistakes: list[str] = []
            for key, inner in value.items():
                if key in keys:
                    mistakes += _find_mistakes(inner, keys[key], _dotted(at, key))
                else:
                    mistakes.append(f"unknown key {_dotted(at, key)}{did_you_mean(key, keys)}")
            mistakes += [f"{at}: {key} is missing" for key in needs if key not in value]
            yield from mistakes
            if check is not None and not mistakes:
                yield from (f"{at}: {text}" for text in check(value))
        case _TableOfTables(each):
            if not isinstance(value, Mapping):
                yield f"{at}: expected a table of tables, got {_shown(value)}"
                return
            for key, inner in value.items():
                yield from _find_mistakes(inner, each, _dotted(at, key))
        case _ArrayOfTables(each, unique):
            if not isinstance(value, list):
                yield f"{at}: expected an array of tables, [[…{at}]], got {_shown(value)}"
                return
            seen: dict[object, int] = {}
            for number, inner in enumerate(value, start=1):
                yield from _find_mistakes(inner, each, f"{at}[{number}]")
                name = inner.get(unique) if isinstance(inner, Mapping) else None
                if isinstance(name, str) and seen.setdefault(name, number) != number:
                    yield f"{at}[{number}].{unique}: {name!r} is {at}[{seen[name]}] already"


def _slip_of_the_finger(address: object) -> str | None:
    """The scheme of ours that an address nearly has; ``mailtos`` is one of apprise's."""
    scheme = str(address).partition(":")[0].lower()
    if scheme in (*_OWN_SCHEMES, "mailtos"):
        return None
    return find_nearest(scheme, _OWN_SCHEMES, alike=0.85)


def _fits(value: object, shape: _Value) -> bool:
    if shape is _TEXTS:
        return isinstance(value, list | tuple) and all(isinstance(item, str) and item for item in value)
    if shape is _LIMITS:
        return isinstance(value, dict) and all(type(size) is int and size > 0 for size in value.values())
    if shape is _MAX_AGE:
        return (
            isinstance(value, dict) and value != {} and all(_fits(age, _DURATION) for age in value.values())
        )
    if shape in (_TIMES, _COUNT):
        return type(value) in shape.types and isinstance(value, int | float) and 1 <= value < float("inf")
    if shape.like is not None:
        return isinstance(value, str) and shape.like.fullmatch(value) is not None
    if shape is _NAME:
        return (
            isinstance(value, str) and value.strip(".") != "" and all(_is_plain(letter) for letter in value)
        )
    if not isinstance(value, shape.types):
        return False
    return value in shape.words if shape.words else value != ""


def _is_plain(letter: str) -> bool:
    return letter.isalnum() or letter in "._-"


def _dotted(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _shown(value: object) -> str:
    import json

    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def _one_or_many(mistakes: list[str]) -> str:
    if len(mistakes) == 1:
        return mistakes[0]
    return "\n".join([f"{len(mistakes)} mistakes in the configuration", *(f"  {text}" for text in mistakes)])
