"""What a person or a script is told when a command ends with an error.

Never a traceback: what the user did wrong is one sentence with a hint, and what Lineal did wrong is
one sentence with a file to send.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import click

from lineal_cli.render.text import clean, paint
from lineal_cli.session import NotPrinted, close_output, print_json, print_text
from lineal_store.errors import LinealError


def report(problem: Exception, *, as_json: bool) -> int:
    """Tell it, as text on stderr or as a document on stdout; returns the exit code."""
    hint: str | None
    if isinstance(problem, click.ClickException):
        kind, code, message = "usage", problem.exit_code, _sentence(problem.format_message())
        ctx = getattr(problem, "ctx", None)
        hint = f"See `{ctx.command_path} --help`." if ctx is not None else None
    elif isinstance(problem, LinealError):
        kind, code, message, hint = problem.kind, problem.exit_code, str(problem), problem.hint
    else:
        kind, code, message, hint = (
            "internal",
            1,
            f"{type(problem).__name__}: {problem}",
            _keep_traceback(problem),
        )
    if as_json and not isinstance(problem, NotPrinted):
        document = {"kind": kind, "type": type(problem).__name__, "message": message, "hint": hint}
        try:
            print_json({"error": document})
            return code
        except (NotPrinted, BrokenPipeError):
            close_output(1)  # then at least for people
    title = "internal error" if kind == "internal" else "error"
    with suppress(NotPrinted, BrokenPipeError):  # nobody can be told
        print_text(f"{paint(title + ':', 'red')} {clean(message)}", err=True)
        if hint:
            print_text(f"{paint('hint:', 'cyan')} {clean(hint)}", err=True)
    return code


def report_interruption(*, as_json: bool) -> int:
    """Tell that the user broke it off; returns the exit code."""
    if as_json:
        print_json(
            {
                "error": {
                    "kind": "interrupted",
                    "type": "KeyboardInterrupt",
                    "message": "interrupted",
                    "hint": None,
                }
            }
        )
    else:
        print_text("interrupted", err=True)
    return 130


def _sentence(text: str) -> str:
    """click's message as ours are: no capital, no full stop."""
    text = text.strip().removesuffix(".")
    return text[:1].lower() + text[1:]


def _keep_traceback(problem: Exception) -> str:
    """Put the traceback where it can be found again; returns what to do with it."""
    text = "".join(traceback.format_exception(problem))
    if os.environ.get("LINEAL_DEBUG"):
        print_text(text, err=True)
    else:
        file = _traceback_folder() / f"error-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.txt"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            # Not the arguments: a parameter may be a secret.
            file.write_text(f"Python {sys.version}\n\n{text}", "utf-8")
        except OSError:
            return "This is a bug of Lineal; run again with LINEAL_DEBUG=1 and report what is printed."
        return f"This is a bug of Lineal; please report it with the traceback in {file}."
    return "This is a bug of Lineal; please report it with the traceback above."


def _traceback_folder() -> Path:
    """The project's own folder where there is a project, so that no other folder is littered.

    Looks for itself, because what has just failed may be what finds projects.
    """
    try:
        here = Path.cwd()
    except OSError:  # the current folder is gone
        return Path(tempfile.gettempdir())
    for folder in (here, *here.parents):
        if any((folder / name).exists() for name in (".lineal", "lineal.toml", "pyproject.toml")):
            return folder / ".lineal" / "errors"
    return Path(tempfile.gettempdir())
