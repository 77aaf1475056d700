"""Why two actions are not the same: every difference between them, in the words of whoever wrote the pipeline."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from lineal.graph.action import Difference, UnitChange, differences, unit_changes
from lineal.graph.change import Change
from lineal.graph.explain_code import CodeSide, explain_code, explain_named
from lineal.graph.explain_inputs import Content, explain_contents
from lineal.graph.explain_schemas import explain_contract
from lineal.graph.explain_values import explain_values, show_value
from lineal.graph.records import Action

_HIDDEN = "***"
_SECRET = re.compile(
    r"secret|token|passw|passphrase|credential|private|auth|api_?key|access_?key|_key$|_pwd?$", re.IGNORECASE
)
_PASSWORD_IN_URL = re.compile(r"(?<=://)([^/@\s:]*):[^/@\s]+@")
UNCACHED = "uncached"
"""In the environment of an action whose result is for its own run."""
_ONE_LINE = 120
_MOST_READS = 5


def _no_reads() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Side:
    """One of two actions that are compared, with all that is known of it.

    ``at`` is when it was executed; ``contents`` are what it took, by port; ``reads`` and ``depends_on`` what it
    declares, and ``read`` gives the declared files that are there, each with when it was last written. Times are ISO 8601.
    """

    action: Action
    code: CodeSide
    at: str | None = None
    contents: Mapping[str, Content] = field(default_factory=dict)
    reads: Sequence[str] = ()
    depends_on: Sequence[object] = ()
    read: Callable[[], Mapping[str, str]] = _no_reads


def explain(before: Side, after: Side) -> list[Change]:
    """The differences of ``after`` from ``before``, in the order of `differences`; the most telling of a kind first.

    What the parameters were is left encoded.
    """
    found: list[Change] = []
    manifests = before.code.manifest, after.code.manifest
    both = None if manifests[0] is None or manifests[1] is None else (manifests[0], manifests[1])
    if before.action.fingerprint != after.action.fingerprint:
        found += _explain_fingerprint(before, after)
    for difference in differences(before.action, after.action, manifests=both):
        kind, name = difference.kind, difference.name
        if kind == "code" and (name in before.action.code or name in after.action.code):
            known = {(one.name, one.before, one.after) for one in found}
            told = explain_named(name, before.code, after.code)
            found += [one for one in told if (one.name, one.before, one.after) not in known]
            found += [] if told else [_named(difference)]
        elif kind == "code" and name == "version":
            found.append(
                _told(difference, f"version={_quoted(difference.before)} → {_quoted(difference.after)}")
            )
        elif kind == "code":  # units, which are told above
            found += [] if found else [_unexplained(before, after)]
        elif kind == "schema":
            found.append(_schema(difference, before, after))
        elif kind == "input":
            found.append(_input(difference, before, after))
        elif kind == "parameter":
            found.append(_parameter(difference, before.action, after.action))
        elif kind == "environment" and name != UNCACHED:
            found.append(_environment(difference))
    return found or [
        _told(one, "no result of it was ever kept for other runs")
        for one in differences(before.action, after.action)
        if one.name == UNCACHED
    ]


def _told(difference: Difference, title: str, details: list[str] | None = None) -> Change:
    return Change(
        kind=difference.kind,
        name=difference.name,
        before=difference.before,
        after=difference.after,
        title=title,
        details=details or [],
    )


def _quoted(version: object) -> str:
    return "none" if version is None else f'"{version}"'


# -- code -------------------------------------------------------------------------------------


def _named(difference: Difference) -> Change:
    module, _, name = difference.name.partition(":")
    whose = f"`{name}` of {module}, which the bytes of an input name,"
    if difference.before is None or difference.after is None:
        return _told(difference, f"{whose} {'counts now' if difference.before is None else 'counts no more'}")
    return _told(difference, f"{whose} changed")


def _explain_fingerprint(before: Side, after: Side) -> list[Change]:
    """The changes of the stage's own code; none where only versions of distributions differ."""
    was, now = before.code.manifest, after.code.manifest
    again = before.code.fingerprint_with(after.reads, after.depends_on)
    if again is None or again != after.action.fingerprint:
        found = explain_code(before.code, after.code)
        if again in (None, before.action.fingerprint):
            return found
        since = before.at is not None and any(at > before.at for at in after.read().values())
        return found + _explain_reads(before, after) if since else found
    changed = [] if was is None or now is None else unit_changes(was, now)
    if any(_is_outside(change) for change in changed):  # of files outside the project no copy is kept
        return explain_code(before.code, after.code)
    if was is None or now is None or changed:
        return [_counted_otherwise(before, after)]
    if was.distributions != now.distributions:
        return []
    return _explain_reads(before, after) or [_counted_otherwise(before, after)]


def _is_outside(change: UnitChange) -> bool:
    return any(unit is not None and unit.file.startswith("/") for unit in change)


def _explain_reads(before: Side, after: Side) -> list[Change]:
    """Declared files that may have changed: what they held then is not recorded, but the fingerprint tells that some did."""
    read = after.read() if after.reads else {}
    since = [(name, at) for name, at in read.items() if before.at is not None and at > before.at]
    if len(read) > 1 and since:
        return [
            _declared(name, f"{name}, declared with reads=, was written since ({moment(at)})")
            for name, at in since[:_MOST_READS]
        ]
    names = ", ".join([*read][:_MOST_READS]) or ", ".join(map(str, after.reads))
    written = "".join(f" (last written {moment(at)})" for at in read.values()) if len(read) == 1 else ""
    one_of = "one of " if len(read) > 1 else ""
    return [_declared(names, f"{one_of}{names}, declared with reads=, changed{written}")] if names else []


def _declared(name: str, title: str) -> Change:
    return Change(kind="code", name=name, before=None, after=None, file=name, title=title)


def _counted_otherwise(before: Side, after: Side) -> Change:
    difference = Difference("code", "fingerprint", before.action.fingerprint, after.action.fingerprint)
    return _told(difference, "the code is the same, but this version of Lineal counts it in another way")


def _unexplained(before: Side, after: Side) -> Change:
    """The fingerprint is another, and nothing says why."""
    difference = Difference("code", "fingerprint", before.action.fingerprint, after.action.fingerprint)
    if before.code.manifest is None or after.code.manifest is None:
        when = "earlier" if before.code.manifest is None else "later"
        return _told(
            difference,
            "the code changed",
            [
                f"which part cannot be told: the list of what the {when} code covered is not in the store any more"
            ],
        )
    return _told(
        difference,
        "the fingerprint is another, though every unit of code is the same",
        ["what is declared with depends_on= or reads= may have changed"],
    )


# -- contracts, inputs ------------------------------------------------------------------------


def _schema(difference: Difference, before: Side, after: Side) -> Change:
    port = difference.name.removeprefix("-> ")
    whose = f"the output `{port}`" if difference.name.startswith("-> ") else f"the input `{port}`"
    whose = "the result" if difference.name == "-> result" else whose
    if difference.before is None:
        return _told(difference, f"{whose} has a contract now")
    if difference.after is None:
        return _told(difference, f"{whose} has no contract any more")
    contract, details = explain_contract(difference.name, before.code, after.code)
    named = f"the contract `{contract}` of {whose}" if contract else f"the contract of {whose}"
    return _told(difference, f"{named} changed", details)


def _input(difference: Difference, before: Side, after: Side) -> Change:
    port = difference.name
    was, now = before.contents.get(port), after.contents.get(port)
    one = now or was
    said = f"input `{port}`{_origin(one) if one is not None else ''}"
    if difference.before is None:
        return _told(difference, f"{said} is new")
    if difference.after is None:
        return _told(difference, f"{said} is gone")
    old, new = before.action.inputs[port], after.action.inputs[port]
    if old.digest == new.digest:
        how = "is taken" if old.item != new.item else "is read"
        return _told(difference, f"{said} {how} in another way: {difference.before} → {difference.after}")
    details = explain_contents(was, now) if was is not None and now is not None else []
    made = _made(was, now)
    if not details:
        return _told(difference, f"{said} changed", made)
    line = f"{said} changed: {', '.join(details)}"
    if len(details) <= 2 and len(line) <= _ONE_LINE:
        return _told(difference, line, made)
    return _told(difference, f"{said} changed", [*details, *made])


def _origin(content: Content) -> str:
    if content.made_by is not None:
        return f", made by `{content.made_by}`,"
    url = content.origin.url if content.origin is not None else None
    return f", read from {url}," if url is not None else ""


def _made(was: Content | None, now: Content | None) -> list[str]:
    """Where and when the two came from."""
    if was is None or now is None:
        return []
    found = []
    if _origin(was) != _origin(now) and _origin(was):
        found.append(f"before, it was {_origin(was).strip(' ,')}")
    if now.run_id is not None and was.run_id is not None and now.run_id != was.run_id:
        verb = "made" if now.made_by is not None else "taken in"
        found.append(f"{verb} {_when(now)}by run {now.run_id}, before {_when(was)}by run {was.run_id}")
    elif now.run_id is None and now.at is not None:
        taken = f"; before, taken in {_when(was)}by run {was.run_id}" if was.run_id is not None else ""
        found.append(f"last written {moment(now.at)}{taken}")
    return found


def _when(content: Content) -> str:
    return f"{moment(content.at)} " if content.at is not None else ""


def moment(text: str) -> str:
    """An ISO time as the clock on the wall here shows it, to the minute."""
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return text


# -- parameters, environment ------------------------------------------------------------------


def _parameter(difference: Difference, before: Action, after: Action) -> Change:
    name, old, new = difference.name, difference.before, difference.after
    if name.endswith("[]"):  # how a collection of inputs is made up: its kind, then its keys
        return _told(difference, f"`{name[:-2]}` is made up of {_items(old)} → {_items(new)}")
    if name not in before.parameters:
        return _told(difference, f"parameter {name} is new: {show_value(new)}")
    if name not in after.parameters:
        return _told(difference, f"parameter {name} is gone, was {show_value(old)}")
    places = explain_values(old, new)
    if len(places) == 1:
        inside = places[0].startswith(("[", "."))
        return _told(difference, f"parameter {name}{'' if inside else ': '}{places[0]}")
    return _told(difference, f"parameter {name} changed", places)


def explain_parameters(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The differences of the parameters of two runs, left encoded."""
    was, now = (Action(stage="", fingerprint="", parameters=dict(each)) for each in (before, after))
    changes = [_parameter(one, was, now) for one in differences(was, now)]
    return [replace(change, title=f"the run's {change.title}") for change in changes]


def _items(shape: object) -> str:
    if not isinstance(shape, list) or not shape:
        return "nothing"
    keys = [show_value(key) for key in shape[1:] if key is not None]
    return (
        f"a {shape[0]} of {', '.join(keys[:8]) if keys else len(shape) - 1}{', …' if len(keys) > 8 else ''}"
    )


def _environment(difference: Difference) -> Change:
    name, old, new = difference.name, difference.before, difference.after
    if name == "python":
        return _told(difference, f"Python {old} → {new}")
    if name == "version_of" and None not in (old, new):
        return _told(difference, f"what version_of observed: {_observed(old)} → {_observed(new)}")
    if name.startswith("$"):
        return _variable(name[1:], old, new)
    if name.startswith("module "):
        return _told(difference, f"the installed {name} changed")
    if old is None:
        return _told(difference, f"{name} {new} is reached now, and was not before")
    if new is None:
        return _told(difference, f"{name} {old} is reached no more")
    return _told(difference, f"{name} {old} → {new}")


def _observed(text: object) -> str:
    """A version that `version_of` observed, as it would be written in Python; of a long one there is the hash alone."""
    try:
        return show_value(json.loads(str(text)))
    except ValueError:
        return str(text)


def _variable(name: str, old: object, new: object) -> Change:
    """A declared environment variable, without what may be a secret in it."""
    was, now = (
        None
        if value is None
        else _HIDDEN
        if _SECRET.search(name)
        else _PASSWORD_IN_URL.sub(r"\1:***@", str(value))
        for value in (old, new)
    )
    if was is None:
        said = f"is set now: {now}"
    elif now is None:
        said = f"is not set any more, was {was}"
    else:
        said = "changed; its value is not shown" if was == now else f"{was} → {now}"
    joint = ": " if was is not None and now is not None and was != now else " "
    return Change(
        kind="environment",
        name=name,
        before=was,
        after=now,
        title=f"environment variable {name}{joint}{said}",
    )
