"""Names of stages, pipelines and outputs: what is allowed, and which one was meant."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lineal.stages.errors import StageDefinitionError

# No "/", "#", "[" or "@": those mean something in the ids and addresses that names become part of.
_ALLOWED = re.compile(r"[A-Za-z_][\w.-]*\Z")
OUTPUT_NAME = re.compile(r"\w[\w-]*\Z")


def check_name(name: object, what: str) -> str:
    """``name`` itself, or StageDefinitionError where it cannot be the name of a ``what``."""
    if isinstance(name, str) and _ALLOWED.match(name):
        return name
    raise StageDefinitionError(
        f"{name!r} cannot be the name of a {what}",
        "A name starts with a letter or underscore; letters, digits and _ . - may follow.",
    )


def nearest_hint(name: str, known: Iterable[str], what: str = "There is") -> str | None:
    """ "Did you mean …?", else the names there are, or None where there are none."""
    import difflib  # only ever needed on the way to an error

    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"Did you mean {close[0]}?"
    if not names:
        return None
    listed = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"{what}: {listed}."
