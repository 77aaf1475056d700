"""What somebody is told: one document for programs (docs/alerts.md), one text for people.

Every text in it is one line of printable characters and of bounded length, so that nothing which a stage
or a file is called can end a header, forge a line of a log, or fill a mailbox.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lineal.alerts.rules import About, Failing
from lineal.events import Failure

VERSION = 1
LOG_LINES = 20
_STAGES_TOLD = 5
_STAGES_WITH_LOG = 2
_NAMES_TOLD = 20
_LONGEST_NAME = 120
_LONGEST_TEXT = 400
_LONGEST_LOG_LINE = 200

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FailedStage:
    """A stage that failed in this run, with the last lines that its last attempt wrote."""

    stage: str
    failure: Failure
    attempts: int = 0
    log: Sequence[str] = ()


def compose(
    about: About,
    *,
    occasion: str,
    run_id: str | None,
    state: str,
    at: str,
    failed: Sequence[FailedStage] = (),
    not_run: Sequence[str] = (),
    problem: str | None = None,
    before: Failing | None = None,
) -> Message:
    """The message of a run that ended ``at`` that time; ``failed`` begins with the root cause. It has no id yet.

    ``not_run`` are the stages that could not run for it. ``problem`` is what ended the run where no stage did. ``before`` is what it
    recovered from.
    """

    def line(text: object, most: int = _LONGEST_TEXT) -> str:
        return one_line(hide(str(text), about.secrets), most)

    def first_line(text: str) -> str:
        return line(_first_line(hide(text, about.secrets)))  # a secret may have several lines

    look = [f"lineal show {run_id}"] if run_id else ["lineal doctor"]
    if run_id and failed:
        look.append(f"lineal logs {run_id} {shlex.quote(line(failed[0].stage, _LONGEST_NAME))}")
    message: Message = {
        "version": VERSION,
        "event": occasion,
        "key": about.key,
        "pipeline": line(about.pipeline, _LONGEST_NAME),
        "target": line(about.target, _LONGEST_NAME),
        "run_id": run_id,
        "namespace": line(about.namespace, _LONGEST_NAME),
        "host": line(about.host, _LONGEST_NAME),
        "state": state,
        "at": at,
        "parameters": {
            line(name, _LONGEST_NAME): line(value, _LONGEST_NAME)
            for name, value in list(about.parameters.items())[:_NAMES_TOLD]
        },
        "failed": [
            {
                "stage": line(one.stage, _LONGEST_NAME),
                "kind": one.failure.kind,
                "type": line(one.failure.type, _LONGEST_NAME),
                "message": first_line(one.failure.message),
                "hint": first_line(one.failure.hint) if one.failure.hint else None,
                "attempts": one.attempts,
                "log": [line(text, _LONGEST_LOG_LINE) for text in one.log[-LOG_LINES:]]
                if number < _STAGES_WITH_LOG
                else [],
            }
            for number, one in enumerate(failed[:_STAGES_TOLD])
        ],
        "failed_count": len(failed),
        "not_run": [line(name, _LONGEST_NAME) for name in not_run[:_NAMES_TOLD]],
        "not_run_count": len(not_run),
        "problem": first_line(problem) if problem else None,
        "recovered_from": {"run_id": before.run_id or None, "at": before.at} if before else None,
        "look": look,
        "retry": f"lineal rerun {run_id}" if run_id else f"lineal run {shlex.quote(line(about.target))}",
    }
    return {**message, "subject": _subject(message), "text": _text(message)}


def trial(host: str, at: str) -> Message:
    """A message that tells of nothing: it only has to arrive."""
    about = About("a test", "a test", "test", host, {})
    message = compose(about, occasion="test", run_id=None, state="succeeded", at=at)
    return {
        **message,
        "look": [],
        "retry": "",
        "text": f"`lineal alerts test` on {one_line(host)} sent this.\n",
    }


def one_line(text: str, most: int = _LONGEST_TEXT) -> str:
    """``text`` on one line, without what is not printable, cut after ``most`` characters.

    >>> one_line("a\\r\\nBcc: b"), one_line("abcdef", 4)
    ('a  Bcc: b', 'abc…')
    """
    text = "".join(letter if letter.isprintable() else " " for letter in text[: most + 1])
    return text if len(text) <= most else text[: most - 1] + "…"


def hide(text: str, secrets: Iterable[str]) -> str:
    """``text`` without ``secrets``, and without the user and password of an address.

    >>> hide("get https://ada:pw@host/x?token=12", ["12"])
    'get https://***@host/x?token=***'
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return _USER_IN_ADDRESS.sub("://***@", text)


_USER_IN_ADDRESS = re.compile(r"://[^/\s@]{1,500}@")


def _first_line(text: str | None) -> str:
    return next((line for line in (text or "").splitlines() if line.strip()), "")


def _subject(message: Mapping[str, Any]) -> str:
    where = f"{message['pipeline']} ({message['namespace']})"
    match message["event"]:
        case "test":
            told = "a test"
        case "recovered":
            told = f"{where} has recovered"
        case _ if message["failed"]:
            first, more = message["failed"][0], message["failed_count"] - 1
            how = "timed out" if first["kind"] == "timeout" else "failed"
            told = f"{where}: {first['stage']} {how}" + (f", and {more} more" if more else "")
        case _:
            told = f"{where} failed"
    return one_line(f"[lineal] {told}", _LONGEST_NAME)


def _text(message: Mapping[str, Any]) -> str:
    lines = [message["subject"] if "subject" in message else _subject(message), ""]
    for one in message["failed"]:
        lines.append(f"{one['stage']}: {one['type']}: {one['message']}")
        lines += [f"  hint: {one['hint']}"] if one["hint"] else []
        lines += [f"  | {text}" for text in one["log"]]
    if message["failed_count"] > len(message["failed"]):
        lines.append(f"and {message['failed_count'] - len(message['failed'])} more failed")
    if message["problem"]:
        lines.append(message["problem"])
    if message["not_run"]:
        more = message["not_run_count"] - len(message["not_run"])
        lines.append(
            f"not run for it: {', '.join(message['not_run'])}" + (f" and {more} more" if more else "")
        )
    if message["recovered_from"]:
        lines.append(
            f"failed before: run {message['recovered_from']['run_id'] or '-'}, {message['recovered_from']['at']}"
        )
    given = " ".join(f"{name}={value}" for name, value in message["parameters"].items())
    facts = {
        "run": message["run_id"],
        "target": message["target"],
        "parameters": given,
        "host": message["host"],
        "at": message["at"],
        "look": "  or  ".join(message["look"]),
        "retry": message["retry"] if message["state"] == "failed" else "",
    }
    lines += ["", *(f"{name + ':':12}{value}" for name, value in facts.items() if value)]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"
