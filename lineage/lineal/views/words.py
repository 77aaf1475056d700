"""Words for people: what every display of a run shares, on a terminal, in a log or in a notebook."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

REASONS = {
    "unchanged": "unchanged",
    "new": "never run before",
    "code": "code changed",
    "input": "input changed",
    "parameter": "parameter changed",
    "environment": "environment changed",
    "schema": "schema changed",
    "forced": "forced",
    "uncached": "never cached",
    "lost": "its result was lost",
    "retired": "its result was retired",
    "condition_false": "its condition is false",
    "upstream": "depends on a stage that has to run",
}

STATE_COLORS = {
    "succeeded": "green",
    "unchanged": "green",
    "hit": "green",
    "failed": "red",
    "upstream_failed": "red",
    "cancelled": "yellow",
    "up_for_retry": "yellow",
    "retry": "yellow",
    "miss": "yellow",
    "skipped": "dim",
    "unknown": "dim",
    "queued": "dim",
}


def clean(text: object) -> str:
    """Text that cannot move the cursor, change the terminal or read other than it is: control characters, and those
    that turn the direction of writing, are spelled out.

    >>> clean("a\\x1b[2J"), clean("a\\u202eb")
    ('a\\\\x1b[2J', 'a\\\\u202eb')
    """
    return _CONTROL.sub(_spelled, str(text))


def clean_log(text: str) -> str:
    """As `clean`, but leaves colours: programs print them on purpose."""
    return _CONTROL_BUT_COLOR.sub(_spelled, text.replace("\r\n", "\n"))


def closed(text: str) -> str:
    """A line whose colours end with it.

    >>> closed("\\x1b[31mred"), closed("plain")
    ('\\x1b[31mred\\x1b[0m', 'plain')
    """
    return f"{text}\x1b[0m" if "\x1b[" in text and not text.endswith("\x1b[0m") else text


def _spelled(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


_CONTROLS = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
_CONTROL = re.compile(_CONTROLS)
_COLOR = re.compile(r"\x1b\[[0-9;]{0,40}m")
_CONTROL_BUT_COLOR = re.compile(rf"(?!{_COLOR.pattern}){_CONTROLS}")


def last_state(line: str) -> str:
    """What a line shows in the end: a progress bar writes itself anew after each carriage return.

    >>> last_state("10 %\\r100 %\\r")
    '100 %'
    """
    return line.rstrip("\r").rpartition("\r")[2]


def cells(text: str) -> int:
    """How many columns of a terminal the text takes, colours aside. Rather one too many where terminals differ.

    >>> cells("train"), cells("訓練"), cells("é"), cells("\\x1b[31mred\\x1b[0m")
    (5, 4, 1, 3)
    """
    text = _COLOR.sub("", text)
    return len(text) if text.isascii() else sum(map(_cell, text))


def cut(text: str, width: int, mark: str = "…") -> str:
    """The text in no more than ``width`` columns; where it is cut it ends with ``mark``. Takes no colours.

    >>> cut("train", 5), cut("training", 5), cut("訓練", 3), cut("train", 0)
    ('train', 'trai…', '訓…', '')
    """
    if cells(text) <= width:
        return text
    room, kept = width - len(mark), []
    for character in text:
        room -= _cell(character)
        if room < 0:
            break
        kept.append(character)
    return ("".join(kept) + mark)[: max(0, width)]


def _cell(character: str) -> int:
    from unicodedata import category, east_asian_width  # a table that few need

    if category(character) in ("Mn", "Me", "Cf"):
        return character == "\ufe0f"  # asks for the wide form of the sign before it
    return 2 if east_asian_width(character) in "WF" else 1


def family(stage_id: str) -> str:
    """The id without the number of the call or of the item: what the members of a fan-out share.

    >>> family("score#12"), family("score[7]"), family("sub/score#2[7]"), family("train")
    ('score', 'score', 'sub/score', 'train')
    """
    return _NUMBERED.sub("", stage_id) or stage_id


_NUMBERED = re.compile(r"(?:#\d+|\[\d+\])+\Z")


def named(stage_ids: Sequence[str], *, most: int = 6) -> str:
    """The stages on one line: large families by their number, and at the end how many are left out.

    >>> named(["train", "evaluate"]), named([f"score#{n}" for n in range(2, 9)] + ["train"])
    ('train, evaluate', 'score (7 of them), train')
    >>> named(["a", "b", "c", "d"], most=2)
    'a, b and 2 more'
    """
    families: dict[str, list[str]] = {}
    for stage_id in stage_ids:
        families.setdefault(family(stage_id), []).append(stage_id)
    said: list[tuple[str, int]] = []
    for name, members in families.items():
        few = len(members) <= 3
        said += (
            [(clean(member), 1) for member in members]
            if few
            else [(f"{clean(name)} ({len(members):,} of them)", len(members))]
        )
    left_out = sum(number for _, number in said[most:])
    return ", ".join(text for text, _ in said[:most]) + (f" and {left_out:,} more" if left_out else "")


def counted(number: int, noun: str) -> str:
    """
    >>> counted(1, "stage"), counted(2, "stage"), counted(2, "blob")
    ('1 stage', '2 stages', '2 blobs')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def seconds(value: float) -> str:
    """
    >>> [seconds(value) for value in (0.0, 0.214, 3.21, 62, 3725)]
    ['0.00 s', '0.21 s', '3.2 s', '1 min 02 s', '1 h 02 min']
    """
    if value < 1:
        return f"{value:.2f} s"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def reason(word: object, cache: object = None, state: object = None) -> str:
    """Why a stage runs or does not, in words; nothing where it was not decided.

    >>> reason("uncached", "off"), reason("uncached", "miss"), reason("upstream", None, "skipped")
    ('never cached', 'no earlier result counts', 'what it needs was skipped')
    """
    if word == "uncached" and cache == "miss":
        return "no earlier result counts"
    if word == "upstream" and state == "skipped":
        return "what it needs was skipped"
    return "" if word is None else REASONS.get(str(word), clean(word))


def outcomes(stages: Sequence[Mapping[str, Any]]) -> str:
    """How many stages became what: ``8 unchanged, 1 ran, 1 failed, 2 not run``."""
    counts = {
        "unchanged": sum(stage["cache"] == "hit" for stage in stages),
        "ran": sum(stage["state"] == "succeeded" and stage["cache"] != "hit" for stage in stages),
        "failed": sum(stage["state"] == "failed" for stage in stages),
        "stopped": sum(stage["state"] == "cancelled" and stage["attempts"] > 0 for stage in stages),
        "not run": sum(
            stage["state"] in ("upstream_failed", "queued", "cancelled") and not stage["attempts"]
            for stage in stages
        ),
        "skipped": sum(stage["state"] == "skipped" for stage in stages),
    }
    return ", ".join(f"{count:,} {word}" for word, count in counts.items() if count) or "no stages"


def own_frames(stage: Mapping[str, Any]) -> str:
    """The user's frames of a stage that failed, without the message below them, which is told above."""
    error = stage["error"] or {}
    message = ": ".join(str(error[key]) for key in ("type", "message") if error.get(key))
    return str(stage.get("traceback", "")).rstrip().removesuffix(message).rstrip()


def whole_seconds(value: float) -> str:
    """A time that goes on, without digits that flicker.

    >>> [whole_seconds(value) for value in (0.4, 34.6, 62, 3725)]
    ['0 s', '34 s', '1 min 02 s', '1 h 02 min']
    """
    return f"{int(value)} s" if value < 60 else seconds(int(value))
