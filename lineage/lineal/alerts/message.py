"""What somebody is told: one document for programs (docs/alerts.md), one text for people.

Every text in it is one line of printable characters and of bounded length, so that nothing which a stage
or a file is called can end a header, forge a line of a log, or fill a mailbox.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

from lineal.alerts.rules import About, Failing
from lineal.events import Failure

VERSION = 1
LOG_LINES = 20
_STAGES_TOLD = 5
_STAGES_WITH_LOG = 2
_NAMES_TOLD = 20
_NOTES_TOLD = 21
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
    state: str | None,
    at: str,
    failed: Sequence[FailedStage] = (),
    not_run: Sequence[str] = (),
    problem: str | None = None,
    before: Failing | None = None,
    stage: str | None = None,
    notes: Sequence[str] = (),
    key: str | None = None,
    look: Sequence[str] | None = None,
    retry: str | None = None,
) -> Message:
    """The message of a run that ended, or of what is told ``at`` that time; ``failed`` begins with the root cause. It has no id yet.

    ``not_run`` are the stages that could not run for it. ``problem`` is what ended the run where no stage did. ``before`` is what it
    recovered from. ``stage`` is whom an occasion is about that is no failure, ``notes`` are sentences about it; ``key`` names what
    it is about, where that is no run as a whole. ``look`` and ``retry`` are commands, where others than a run's help.
    """

    def line(text: object, most: int = _LONGEST_TEXT) -> str:
        return one_line(hide(str(text), about.secrets), most)

    def first_line(text: str) -> str:
        return line(_first_line(hide(text, about.secrets)))  # a secret may have several lines

    stage = failed[0].stage if failed else stage
    if look is None:
        look = [f"lineal show {run_id}"] if run_id else ["lineal doctor"]
        if run_id and stage:
            look.append(f"lineal logs {run_id} {shlex.quote(line(stage, _LONGEST_NAME))}")
    if retry is None:
        retry = f"lineal rerun {run_id}" if run_id else f"lineal run {shlex.quote(line(about.target))}"
    message: Message = {
        "version": VERSION,
        "event": occasion,
        "key": key or about.key,
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
        "stage": line(stage, _LONGEST_NAME) if stage else None,
        "notes": [line(note) for note in notes[:_NOTES_TOLD]],
        "repeated": None,
        "link": line(f"{about.page.rstrip('/')}/runs/{run_id}") if about.page and run_id else None,
        "look": [line(command) for command in look],
        "retry": line(retry),
    }
    return _worded(message)


def repeated(message: Message, count: int, since: str) -> Message:
    """The message with how often the same has happened ``since`` that time (ISO 8601), when it was last told."""
    return _worded({**message, "repeated": {"count": count, "since": since}})


def over(message: Message) -> Message:
    """The message that what another one told of is over."""
    return _worded({**message, "event": "recovered", "notes": [f"no longer {message['event']}"], "retry": ""})


def summary(like: Message, count: int, subjects: Sequence[str], most: int, since: str) -> Message:
    """One message instead of ``count`` others, the last of them ``like`` this, the first with those ``subjects``: more than ``most`` in the
    hour that began ``since`` then (ISO 8601).
    """
    more = [f"and {count - len(subjects)} more"] if count > len(subjects) else []
    return _worded(
        {
            **compose(
                About("", "", like["namespace"], like["host"], {}),
                occasion="held_back",
                run_id=None,
                state=None,
                at=since,
                notes=[*subjects, *more],
                key=like["id"],
                look=["lineal runs --state failed"],
                retry="",
            ),
            "id": like["id"],
            "repeated": {"count": count, "since": since},
            "problem": f"no more than {most} messages are sent in an hour",
        }
    )


def trial(host: str, at: str) -> Message:
    """A message that tells of nothing: it only has to arrive."""
    return compose(
        About("a test", "", "test", host, {}),
        occasion="test",
        run_id=None,
        state="succeeded",
        at=at,
        notes=[f"`lineal alerts test` on {host} sent this."],
        look=[],
        retry="",
    )


def one_line(text: str, most: int = _LONGEST_TEXT) -> str:
    """``text`` on one line, without what is not printable, cut after ``most`` characters.

    >>> one_line("a\\r\\nBcc: b"), one_line("abcdef", 4)
    ('a  Bcc: b', 'abc…')
    """
    text = "".join(letter if letter.isprintable() else " " for letter in text[: most + 1])
    return text if len(text) <= most else text[: most - 1] + "…"


def hide(text: str, secrets: Iterable[str]) -> str:
    """``text`` without ``secrets``, also as they are written in addresses, in JSON and in base64, and without the user and password
    of an address.

    >>> hide("get https://ada:pw@host/x?token=12", ["12"])
    'get https://***@host/x?token=***'
    >>> hide("token=a%2Fb%2B; Authorization: Basic YWRhOmh1bnRlcjI=", ["a/b+", "hunter2"])
    'token=***; Authorization: Basic YWRhOm***I='
    """
    forms = {form for secret in filter(None, secrets) for form in _forms(secret)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "***")
    return _USER_IN_ADDRESS.sub("://***@", text)


@lru_cache(maxsize=64)
def _forms(secret: str) -> tuple[str, ...]:
    """How a secret may be written: as it is, quoted, escaped, and what its place in a longer text leaves of it in base64."""
    data = secret.encode(errors="surrogateescape")
    return (
        secret,
        quote(data, safe=""),
        quote(data),
        quote_plus(data),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
        *_in_base64(data),
    )


def _in_base64(data: bytes) -> Iterator[str]:
    """The digits that ``data`` alone decides, for each of the three places it may begin at."""
    for before in range(3):
        digits = base64.b64encode(b"\0" * before + data)
        known = digits[(0, 2, 3)[before] : (before + len(data)) * 8 // 6].decode()
        if len(known) >= _LEAST_BASE64_DIGITS:  # fewer are anybody's
            yield known
            yield known.replace("+", "-").replace("/", "_")


_LEAST_BASE64_DIGITS = 6
_USER_IN_ADDRESS = re.compile(r"://[^/\s@]{1,500}@")


def _first_line(text: str | None) -> str:
    return next((line for line in (text or "").splitlines() if line.strip()), "")


def _worded(message: Message) -> Message:
    return {**message, "subject": _subject(message), "text": _text(message)}


def _subject(message: Mapping[str, Any]) -> str:
    where, stage = f"{message['pipeline']} ({message['namespace']})", message["stage"]
    match message["event"]:
        case "test":
            told = "a test"
        case "recovered":
            told = f"{where} has recovered"
        case "retry":
            told = f"{where}: {stage} failed and is tried again"
        case "slow":
            told = f"{where}: {stage} is slow" if stage else f"{where} is slow"
        case "schema_drift":
            told = f"{where}: columns of {stage} have changed"
        case "nondeterminism":
            told = f"{where}: {stage} is not deterministic"
        case "late" | "stale" as how:
            told = f"{where} is {how}"
        case "missing":
            told = f"{where} did not run"
        case "held_back":
            count = message["repeated"]["count"] if message["repeated"] else 0
            told = f"{count} {'message' if count == 1 else 'messages'} held back"
        case "irreproducible":
            told = f"{where} can no longer be built"
        case _ if message["failed"]:
            first, more = message["failed"][0], message["failed_count"] - 1
            how = "timed out" if first["kind"] == "timeout" else "failed"
            tried = f" after {first['attempts']} attempts" if message["event"] == "retries_exhausted" else ""
            told = f"{where}: {first['stage']} {how}{tried}" + (f", and {more} more" if more else "")
        case _:
            told = f"{where} failed"
    return one_line(f"[lineal] {told}", _LONGEST_NAME)


def _text(message: Mapping[str, Any]) -> str:
    lines = [_subject(message), "", *message["notes"]]
    for one in message["failed"]:
        lines.append(f"{one['stage']}: {one['type']}: {one['message']}")
        lines += [f"  hint: {one['hint']}"] if one["hint"] else []
        lines += [f"  | {text}" for text in one["log"]]
    lines += further(message)
    facts = {
        "run": message["run_id"],
        "target": message["target"],
        "parameters": given(message),
        "host": message["host"],
        "at": message["at"],
        "page": message["link"],
        "look": "  or  ".join(message["look"]),
        "retry": message["retry"] if wants_retry(message) else "",
    }
    lines += ["", *(f"{name + ':':12}{value}" for name, value in facts.items() if value)]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def further(message: Mapping[str, Any]) -> Iterator[str]:
    """What else there is to say to people, behind what failed."""
    if message["failed_count"] > len(message["failed"]):
        yield f"and {message['failed_count'] - len(message['failed'])} more failed"
    if message["problem"]:
        yield message["problem"]
    if message["not_run"]:
        more = message["not_run_count"] - len(message["not_run"])
        yield f"not run for it: {', '.join(message['not_run'])}" + (f" and {more} more" if more else "")
    if message["recovered_from"]:
        yield f"failed before: run {message['recovered_from']['run_id'] or '-'}, {message['recovered_from']['at']}"
    if message["repeated"] and message["event"] != "held_back":
        count = message["repeated"]["count"]
        yield f"{count} more {'time' if count == 1 else 'times'} since {message['repeated']['since']}"


def given(message: Mapping[str, Any]) -> str:
    """The parameters on one line."""
    return " ".join(f"{name}={value}" for name, value in message["parameters"].items())


def wants_retry(message: Mapping[str, Any]) -> bool:
    """Whether somebody has to begin it again."""
    return bool(message["retry"]) and message["state"] in ("failed", None)
