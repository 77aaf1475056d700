"""What all commands share: their options, the project they open, and how they answer.

A command returns an `Answer`. While it works, whatever else writes to stdout (the user's module at
import, a library, a child process) goes to stderr, so that stdout holds the answer and nothing else.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from lineal_store.errors import LinealError

if TYPE_CHECKING:
    from lineal.api import Project
    from lineal.api.config import Configuration

Document = Mapping[str, Any]


class Session(NamedTuple):
    """The settings given as options; `open` makes a project of them."""

    store: str | None = None
    profile: str | None = None
    namespace: str | None = None

    def open(self, target: str | None = None, **overrides: object) -> Project:
        """The project around the target's file, or around the current folder. Opens no store yet."""
        from lineal.api import open_project
        from lineal.api.targets import find_start

        return open_project(
            find_start(target, Path.cwd()),
            profile=self.profile,
            overrides={"store": self._store(), "namespace": self.namespace, **overrides},
        )

    def loader(self, folder: Path) -> Callable[[], Configuration]:
        """What reads the configuration of the project around ``folder``, now and whenever it is asked again."""
        from lineal.api.config import load_configuration

        overrides = {"store": self._store(), "namespace": self.namespace}
        return lambda: load_configuration(folder, profile=self.profile, overrides=overrides)

    def variables(self) -> dict[str, str]:
        """The settings as variables, for other processes."""
        given = {
            "LINEAL_STORE": self._store(),
            "LINEAL_PROFILE": self.profile,
            "LINEAL_NAMESPACE": self.namespace,
        }
        return {name: value for name, value in given.items() if value is not None}

    def options(self) -> list[str]:
        """The settings as words of a command line."""
        given = {"--store": self.store, "--profile": self.profile, "--namespace": self.namespace}
        return [word for name, value in given.items() if value is not None for word in (name, value)]

    def _store(self) -> str | None:
        """The store's URL; a path as a shell means it, relative to the current folder."""
        if self.store is None or "://" in self.store:
            return self.store
        return os.path.normpath(Path.cwd() / Path(self.store).expanduser())


class Answer(NamedTuple):
    """A command's document, the same as text for people, and the code to exit with."""

    document: Document
    text: Callable[[], str]
    exit_code: int = 0


def command(
    *examples: str, opens_project: bool = True, cls: type[click.Command] = click.Command
) -> Callable[[Callable[..., Answer]], click.Command]:
    """Make a click command, of class ``cls``, of a function that takes a Session first and returns an Answer.

    Its name is the function's, its help the docstring, followed by the examples.
    """

    def decorate(function: Callable[..., Answer]) -> click.Command:
        @functools.wraps(function)
        def invoke(as_json: bool, **given: Any) -> int:
            settings = {name: given.pop(name) for name in ("store", "profile", "namespace") if name in given}
            with _stdout_for_the_answer_only():
                answer = function(Session(**settings), **given)
            if as_json:
                print_json(answer.document)
            else:
                print_text(answer.text())
            return answer.exit_code

        epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in examples)
        made = click.command(function.__name__.strip("_"), cls=cls, epilog=epilog)(invoke)
        made.params += [option for option in _shared_options() if opens_project or option.name == "as_json"]
        return made

    return decorate


def _shared_options() -> list[click.Option]:
    return [
        click.Option(["--store"], metavar="URL", help="The store to use: a URL, or a path from here."),
        click.Option(["--profile"], metavar="NAME", help="Use the settings of this profile."),
        click.Option(["--namespace"], metavar="NAME", help="The namespace of runs and names."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document on stdout."),
    ]


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """(what stands for a target or a stage, the NAME=VALUE assignments).

    A file that exists is no assignment, whatever its name.
    """
    places: list[str] = []
    assignments: list[str] = []
    for text in arguments:
        is_assignment = _ASSIGNMENT.match(text) and not os.path.exists(text)  # noqa: PTH110 - of any length
        (assignments if is_assignment else places).append(text)
    return places, assignments


_ASSIGNMENT = re.compile(r"\w+=")


def split_target(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The target, or None, and the assignments; more than one target is a usage error."""
    places, assignments = split_arguments(arguments)
    if len(places) > 1:
        raise click.UsageError(
            f"{places[1]!r} is neither NAME=VALUE nor needed", click.get_current_context(silent=True)
        )
    return (places[0] if places else None), assignments


def to_json(document: Document) -> str:
    import msgspec.json  # json indents in Python, which takes ten times as long

    try:
        text = json.dumps(document, default=_plain, allow_nan=False)
    except ValueError:
        text = json.dumps(_strict(document), default=_plain)
    return msgspec.json.format(text, indent=2)


def print_json(document: Document) -> None:
    _echo(to_json(document))


def print_text(text: str, *, err: bool = False) -> None:
    """Print text, with its colours only where somebody sees them and wants them."""
    if text:
        _echo(text, err=err, color=None if wants_color() else False)


class NotPrinted(LinealError):
    """What a command has to say cannot be written, for instance because the disk is full."""

    kind = "output"

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"the output cannot be written: {self.problem}"


def close_output(descriptor: int) -> None:
    """Send the rest of stdout or stderr nowhere; Python would fail again on what is left in its buffer."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _echo(text: str, *, err: bool = False, color: bool | None = None) -> None:
    try:
        click.echo(text, err=err, color=color)
    except BrokenPipeError:
        raise
    except OSError as error:
        close_output(2 if err else 1)
        raise NotPrinted(error.strerror or str(error)) from error


def wants_color() -> bool:
    """False where NO_COLOR (no-color.org) or a dumb terminal says so; terminals are click's part."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _strict(value: Any) -> Any:
    """JSON has no NaN and no infinity; they are written as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return value


@contextmanager
def _stdout_for_the_answer_only() -> Iterator[None]:
    """Send file descriptor 1 and ``sys.stdout`` to stderr; child processes inherit that."""
    sys.stdout.flush()
    try:
        saved = os.dup(1)
    except OSError:  # there is no stdout to keep clean
        yield
        return
    try:
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 1)
        os.close(saved)
