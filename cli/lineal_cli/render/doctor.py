"""What `doctor` found, a line for each check, and below it what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineal_cli.render.text import clean, counted, paint

_COLORS = {"ok": "green", "warning": "yellow", "failed": "red"}


def render_doctor(document: Mapping[str, Any]) -> str:
    checks = document["checks"]
    width = max((len(clean(check["name"])) for check in checks), default=0)
    below = " " * (len("warning") + 2 + width + 2)
    lines = []
    for check in checks:
        state, name = clean(check["state"]), clean(check["name"])
        mark = paint(state, _COLORS.get(state)) + " " * (len("warning") - len(state))
        first, *more = clean(check["detail"]).splitlines() or [""]
        lines.append(f"{mark}  {name:{width}}  {first}".rstrip())
        lines += [below + line for line in more]
        if check["hint"]:
            lines += [
                below + (f"{paint('hint:', 'cyan')} {line}" if at == 0 else f"      {line}")
                for at, line in enumerate(clean(check["hint"]).splitlines())
            ]
    return "\n".join([*lines, "", _headline(checks)])


def _headline(checks: list[Mapping[str, Any]]) -> str:
    failed = sum(check["state"] == "failed" for check in checks)
    warnings = sum(check["state"] == "warning" for check in checks)
    told = [
        *([paint(f"{failed} failed", "red")] if failed else []),
        *([paint(counted(warnings, "warning"), "yellow")] if warnings else []),
    ]
    done = counted(len(checks), "check")
    return f"{done}: {', '.join(told)}" if told else paint(f"{done}, all is well", "green")
