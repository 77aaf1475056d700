"""How a command line came to mean a pipeline with its configuration: the part of an answer's grounds that is looked up
before there is any code (`lineal.engine.memo`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from lineal.api.config import LOCAL_FILE, PROJECT_FILES
from lineal.engine.memo import COLLECTORS, Identity, Question, Typed, identity_of, is_settled, surroundings

if TYPE_CHECKING:
    from lineal.api.targets import Target
    from lineal.engine.grounds import Asking


class Lookups(Struct, frozen=True):
    """What was typed, of the project in ``root``, and every path that decided what it means.

    ``target`` is None where the project's only pipeline is meant. ``surroundings`` are the process's before it imported
    any code of the project.
    """

    typed: Typed
    question: Question
    target: str | None
    paths: Mapping[str, Identity]
    surroundings: object

    @classmethod
    def made(cls, typed: Typed, target: str | None, root: Path) -> Lookups | None:
        """Those of this process so far; None where some are so fresh that what was read by them may be older."""
        question = Question.asked_here(typed.words, str(root))
        try:
            paths = {path: identity_of(path) for path in _looked_up(question)}
            # A file of settings that was there a moment ago, and is gone, leaves a trace in its folder.
            identities = [*paths.values(), identity_of(str(root))]
        except (OSError, ValueError):  # a word is too long to be a path, or cannot be one
            return None
        if not all(is_settled(identity, typed.at_ns) for identity in identities):
            return None
        settings = map(str, _settings(root))
        if any(map(os.environ.get, COLLECTORS)) or any(b"alerts" in _read(path) for path in settings):
            return None  # somebody else is to be told of runs
        return cls(typed, question, target, paths, surroundings())

    def asking(self, place: Target, links: Mapping[str, str] | None) -> Asking | None:
        """What a run of ``place`` needs to keep its answer; ``links`` are those that its graph rests on, or None."""
        from lineal.engine.grounds import Asking
        from lineal.views.runs import run_document

        root = Path(self.question.root)
        if links is None or place.file is None or not place.file.is_relative_to(root):
            return None
        if not place.import_folder.is_relative_to(root) or surroundings() != self.surroundings:
            return None
        # Where no target is named, any file may have been the one that says which is meant.
        since_ns = self.typed.at_ns if self.target is None else None
        in_full = "--json" in self.typed.words
        return Asking(self.question, self.paths, links, since_ns, run_document, in_full)


def _looked_up(question: Question) -> dict[str, None]:
    """Where what was typed may have been found, and the files of the projects around."""
    paths: dict[str, None] = {}
    for word in question.words:
        for place in filter(None, (word, word.rpartition(":")[0])):
            for folder in (question.folder, question.root):
                paths[os.path.join(folder, os.path.expanduser(place))] = None  # noqa: PTH111 - never raises
    for start in (question.folder, question.root):
        for above in (Path(start), *Path(start).parents):
            paths.update((str(above / name), None) for name in PROJECT_FILES)
    paths[os.path.join(question.root, LOCAL_FILE)] = None
    return paths


def _settings(root: Path) -> list[Path]:
    return [root / name for name in (*PROJECT_FILES, LOCAL_FILE)]


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
