"""The family tree of an artifact: the documents of ``trace`` and ``impact``.

A tree of artifacts, each with the action that made it. What is reached twice is shown once; a tree
that is too wide, too deep or too long for a person is cut, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lineal_cli.render.text import clean, moment, paint, short, size, values

Node = Mapping[str, Any]
MOST_CHILDREN = 12
MOST_LEVELS = 24
MOST_ARTIFACTS = 150
MOST_MAKERS = 3
MOST_REPRODUCTIONS = 3


def render_trace(document: Mapping[str, Any], what: str) -> str:
    """Ancestors: what it was made from, down to raw data."""
    return _render(document, what, _Family(document, upwards=True), "it comes from nothing that is recorded")


def render_impact(document: Mapping[str, Any], what: str) -> str:
    """Descendants: what was made from it."""
    return _render(document, what, _Family(document, upwards=False), "nothing was made from it")


def _render(document: Mapping[str, Any], what: str, family: _Family, alone: str) -> str:
    if not document["found"]:
        name = f" ({short(document['digest'])})" if document["digest"] else ""
        return (
            f"this store knows nothing of {clean(what)}{name}\n"
            f"{paint('hint:', 'cyan')} Its bytes may have been changed since, or it was made with another store:"
            " try --store."
        )
    parts = [family.tree()]
    if family.is_lonely():
        parts.append(alone)
    parts.append(family.environments())
    return "\n\n".join(part for part in parts if part)


def _reproduced(entry: Mapping[str, Any]) -> str:
    """``reproduced bit for bit on 2026-11-28 by ann``"""
    said, color = _VERDICTS.get(entry["verdict"], (clean(entry["verdict"]), "yellow"))
    where = f" {_ENVIRONMENTS[entry['environment']]}" if entry["environment"] in _ENVIRONMENTS else ""
    return f"{paint(said, color)}{where} on {moment(entry['at'])[:10]} by {clean(entry['who'])}"


_VERDICTS = {
    "identical": ("reproduced bit for bit", "green"),
    "within_tolerance": ("reproduced within a tolerance", "green"),
    "different": ("came out otherwise", "red"),
    "not_reproducible": ("could not be reproduced", "red"),
}
_ENVIRONMENTS = {"rebuilt": "in a rebuilt environment", "current": "with the packages of that day"}


class _Branch(NamedTuple):
    """A node to come, or a remark; what stands before its first line and before the others."""

    name: str
    first: str = ""
    rest: str = ""
    level: int = 0


class _Family:
    """The graph seen from one side: artifacts, what made each, and which come next."""

    def __init__(self, document: Mapping[str, Any], *, upwards: bool) -> None:
        self._nodes: dict[str, Node] = {node["id"]: node for node in document["nodes"]}
        self._parents: dict[str, list[str]] = {name: [] for name in self._nodes}
        self._children: dict[str, list[str]] = {name: [] for name in self._nodes}
        for child, parent in document["edges"]:
            self._parents[child].append(parent)
            self._children[parent].append(child)
        self._upwards = upwards
        self._asked: object = document["digest"]
        # Artifacts and sources; and actions that nothing came out of, which stand for themselves.
        self._members = {name for name in self._nodes if self._stands_for_itself(name)}

    def tree(self) -> str:
        """All trees, without recursion: a family may be thousands of generations deep."""
        lines: list[str] = []
        seen: set[str] = set()
        waiting = [_Branch(root) for root in reversed(self._roots())]
        while waiting:
            name, first, rest, level = waiting.pop()
            if name not in self._nodes:
                lines.append(first + paint(name, "dim"))
                continue
            if name in seen:
                lines.append(f"{first}{self._title(name)} {paint('(see above)', 'dim')}")
                continue
            if len(seen) >= MOST_ARTIFACTS:
                left = len(self._members - seen)
                lines.append(f"{first}{paint(f'… and {left:,} more; --json has all of them', 'dim')}")
                break
            seen.add(name)
            following = self._next(name)
            title, *facts = self._block(name)
            lines.append(first + title)
            lines += [rest + ("│  " if following else "   ") + line for line in facts]
            waiting += reversed(self._branches(following, rest, level))
        return "\n".join(lines)

    def _branches(self, following: Sequence[str], rest: str, level: int) -> list[_Branch]:
        shown = following[:MOST_CHILDREN] if level < MOST_LEVELS else []
        branches = [_Branch(name, rest + "├─ ", rest + "│  ", level + 1) for name in shown]
        if len(following) > len(shown):
            branches.append(
                _Branch(f"… and {len(following) - len(shown):,} more; --json has all", rest + "└─ ")
            )
        elif shown:
            branches[-1] = _Branch(shown[-1], rest + "└─ ", rest + "   ", level + 1)
        return branches

    def is_lonely(self) -> bool:
        return len(self._nodes) <= 1

    def environments(self) -> str:
        """For each Python and platform one line, with the distributions that code in it reached."""
        reached: dict[str, dict[str, set[str]]] = {}
        for node in self._nodes.values():
            environment = node.get("environment")
            if isinstance(environment, Mapping) and environment.get("python"):
                platform = f" on {environment['platform']}" if environment.get("platform") else ""
                versions = reached.setdefault(clean(f"Python {environment['python']}{platform}"), {})
                for name, version in (environment.get("distributions") or {}).items():
                    versions.setdefault(clean(name), set()).add(clean(version))
        return "\n".join(
            f"environment: {place}"
            + "".join(f", {name} {' and '.join(sorted(versions[name]))}" for name in sorted(versions))
            for place, versions in reached.items()
        )

    def _stands_for_itself(self, name: str) -> bool:
        return self._nodes[name]["kind"] != "action" or not self._children[name]

    def _roots(self) -> list[str]:
        """What was asked for; for a run, which is no node, all that has nothing before it."""
        if self._asked in self._nodes:
            return [self._asked]
        before = self._children if self._upwards else self._parents
        return [name for name in self._nodes if name in self._members and not self._reached(name, before)]

    def _next(self, name: str) -> list[str]:
        return self._reached(name, self._parents if self._upwards else self._children)

    def _reached(self, name: str, links: Mapping[str, list[str]]) -> list[str]:
        """The artifacts on the far side of the actions next to this one, in order."""
        found: dict[str, None] = {}
        for link in links[name]:
            if link in self._members:
                found[link] = None
            elif self._nodes[link]["kind"] == "action":
                found.update(dict.fromkeys(beyond for beyond in links[link] if beyond in self._members))
        return list(found)

    def _title(self, name: str) -> str:
        node = self._nodes[name]
        if node["kind"] == "action":
            return self._action(node)
        if node["kind"] == "source":
            return f"{paint(clean(node['url']), 'cyan')}  {short(node['digest'])}  {paint('raw data', 'dim')}"
        facts = [clean(node["type"])] if node.get("type") else []
        if node.get("size_bytes") is not None:
            facts.append(size(node["size_bytes"]))
        # An artifact that nobody named goes by its digest, which need not be said twice.
        own_name = paint(clean(node["name"]), "bold") if node["name"] != node["digest"] else ""
        parts = (own_name, short(node["digest"]), paint(", ".join(facts), "dim"))
        return "  ".join(part for part in parts if part)

    def _block(self, name: str) -> list[str]:
        """The node's title, and for an artifact a line for each action that made these bytes."""
        lines = [self._title(name)]
        if self._nodes[name]["kind"] == "action":
            return lines
        makers = [self._nodes[parent] for parent in self._parents[name]]
        makers = [node for node in makers if node["kind"] == "action"]
        lines += [f"made by {self._action(node)}" for node in makers[:MOST_MAKERS]]
        if len(makers) > MOST_MAKERS:
            lines.append(paint(f"and by {len(makers) - MOST_MAKERS} more actions", "dim"))
        reproductions = self._nodes[name].get("reproductions") or ()
        return lines + [_reproduced(one) for one in reproductions[-MOST_REPRODUCTIONS:]]

    def _action(self, node: Node) -> str:
        parts = [
            paint(clean(node["name"]), "green"),
            f"run {clean(node['run_id'])}" if node["run_id"] else "",
            f"code {short(node['fingerprint'])}" if node["fingerprint"] else "",
            values(node["parameters"], most=40),
        ]
        return " · ".join(part for part in parts if part)
