"""Environment markers of requirements (PEP 508): ``python_version < "3.11" and sys_platform == "win32"``."""

from __future__ import annotations

import operator
import os
import re
import sys

_TERM = re.compile(r"""\s*(\w+)\s*(==|!=|<=|>=|<|>)\s*(['"])([^'"]*)\3\s*\Z""")
_COMPARISONS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SYSTEMS = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}
_TEXTS = {
    "implementation_name": sys.implementation.name,
    "os_name": os.name,
    "platform_system": _SYSTEMS.get(sys.platform, ""),
    "sys_platform": sys.platform,
}


def may_hold(marker: str) -> bool:
    """Whether a requirement with this marker may be one here: False where a part of a conjunction surely does not
    hold. Anything else that a marker may say is taken to hold.
    """
    if "(" in marker or re.search(r"\bor\b", marker):
        return True
    return all(_term_may_hold(term) for term in re.split(r"\band\b", marker))


def _term_may_hold(term: str) -> bool:
    match = _TERM.match(term)
    if match is None:
        return True
    variable, sign, _, value = match.groups()
    if variable == "python_version" and re.fullmatch(r"\d+(\.\d+)?", value):
        wanted = tuple(map(int, value.split(".")))
        return bool(_COMPARISONS[sign](sys.version_info[:2], (*wanted, 0)[:2]))
    if _TEXTS.get(variable) and sign in ("==", "!="):
        return bool(_COMPARISONS[sign](_TEXTS[variable], value))
    return True
