"""What a pipeline may reach outside its project without its graph depending on anything else.

These are functions of their arguments, and declarations. docs/cached-graph.md shows this list to users.
"""

from __future__ import annotations

import builtins
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from pathlib import Path, PurePath

LINEAL = frozenset({"Directory", "File", "LogicalDate", "Metrics", "Schema", "Secret", "field", "pipeline", "stage",
                    "unless", "when"})  # fmt: skip
"""Names of ``lineal`` that are declarations."""

_ERRORS = {
    name
    for name, found in vars(builtins).items()
    if isinstance(found, type) and issubclass(found, BaseException)
}
BUILTINS = frozenset(
    {
        "Ellipsis", "NotImplemented", "__debug__", "abs", "all", "any", "ascii", "bin", "bool", "bytes", "callable",
        "chr", "classmethod", "complex", "dict", "divmod", "enumerate", "filter", "float", "format", "frozenset",
        "int", "isinstance", "issubclass", "iter", "len", "list", "map", "max", "min", "next", "oct", "ord", "pow",
        "property", "range", "repr", "reversed", "round", "set", "slice", "sorted", "staticmethod", "str", "sum",
        "super", "tuple", "type", "zip", *_ERRORS,
    }
)  # fmt: skip
"""Built-ins that depend on nothing but their arguments, exceptions included."""

STANDARD: dict[str, tuple[str, ...]] = {
    "__future__": ("*",),
    "abc": ("*",),
    "base64": ("*",),
    "calendar": ("isleap", "leapdays", "monthrange", "weekday"),
    "cmath": ("*",),
    "collections": ("ChainMap", "Counter", "OrderedDict", "defaultdict", "deque", "namedtuple"),
    "collections.abc": ("*",),
    "contextlib": ("ExitStack", "contextmanager", "nullcontext", "suppress"),
    "copy": ("copy", "deepcopy"),
    "dataclasses": ("*",),
    "datetime": ("*",),
    "decimal": ("Decimal",),
    "enum": ("*",),
    "fractions": ("Fraction",),
    "functools": (
        "cache",
        "cached_property",
        "cmp_to_key",
        "lru_cache",
        "partial",
        "reduce",
        "total_ordering",
        "wraps",
    ),
    "itertools": ("*",),
    "json": ("dumps", "loads"),
    "math": ("*",),
    "numbers": ("*",),
    "operator": ("*",),
    "os": ("PathLike", "curdir", "extsep", "fspath", "pardir", "sep"),
    "os.path": (
        "basename",
        "commonpath",
        "commonprefix",
        "dirname",
        "isabs",
        "join",
        "normpath",
        "sep",
        "split",
        "splitext",
    ),
    "pathlib": ("Path", "PosixPath", "PurePath", "PurePosixPath"),
    "re": ("*",),
    "string": ("*",),
    "sys": ("hexversion", "maxsize", "platform", "version_info"),
    "textwrap": ("*",),
    "types": ("MappingProxyType", "SimpleNamespace"),
    "typing": ("*",),
    "typing_extensions": ("*",),
    "urllib.parse": ("*",),
    "uuid": ("UUID", "uuid3", "uuid5"),
}
"""Names by module; a star stands for all names that do not begin with an underscore."""


def _public(*kinds: type) -> set[str]:
    return {name for kind in kinds for name in dir(kind) if not name.startswith("_")}


IMPURE_ATTRIBUTES = frozenset(
    {
        *("astimezone", "fromtimestamp", "now", "timestamp", "today", "utcfromtimestamp", "utcnow"),
        *(_public(Path) - _public(PurePath, str, list, dict) - {"group"}),
        *("attrgetter", "files", "function", "held", "methodcaller", "open"),
    }
)
"""Attributes that depend on the clock, the time zone or the disk, or lead past what a stage is in a pipeline."""

_OF_VALUES = {
    *_public(str, bytes, int, float, complex, list, tuple, dict, range, property),
    *_public(date, datetime, time, timedelta, Fraction, PurePath),
    *(
        "__class__",
        "__init__",
        "__members__",
        "__name__",
        "__new__",
        "__post_init__",
        "_asdict",
        "_fields",
        "_make",
    ),
    *("_replace", "enter_context", "group", "groupdict", "groups", "map", "name", "options", "url", "value"),
}
ATTRIBUTES = frozenset(_OF_VALUES - IMPURE_ATTRIBUTES)
"""Attributes of values that are functions of the value; a project's own fields and methods come to these."""


def find_pure(dotted: str) -> tuple[str, ...] | None:
    """The attributes that ``dotted`` takes of a pure name outside the project; None where it names none."""
    parts = dotted.split(".")
    if parts[0] == "lineal":
        name = parts[-1] if parts[1:2] in (["stages"], ["artifacts"]) else ".".join(parts[1:2])
        behind = () if parts[1:2] in (["stages"], ["artifacts"]) else tuple(parts[2:])
        return behind if name in LINEAL else None
    for length in range(len(parts) - 1, 0, -1):
        names = STANDARD.get(".".join(parts[:length]))
        if names is not None:
            name = parts[length]
            listed = name in names or ("*" in names and not name.startswith("_"))
            return tuple(parts[length + 1 :]) if listed and name not in IMPURE_ATTRIBUTES else None
    return None
