"""``store push`` and ``store pull`` as they are typed, and what they say."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from lineal.graph.transfer import NotCopied
from lineal_cli.commands.transfer import show_progress
from lineal_cli.render.transfer import render_transfer


@pytest.mark.parametrize(
    ("arguments", "verb", "expected"),
    [
        (["push"], "store_push", ((), None)),
        (["push", "RUN", "model.joblib"], "store_push", (("RUN", "model.joblib"), None)),
        (["push", "--to", "s3://team/churn"], "store_push", ((), "s3://team/churn")),
        (["pull", "x@latest", "--from", "/mnt/team"], "store_pull", (("x@latest",), "/mnt/team")),
    ],
)
def test_the_commands_ask_for_one_document_and_print_it(
    project: Any,
    call: Callable[..., Any],
    document: Callable[[str], Any],
    arguments: list[str],
    verb: str,
    expected: Any,
) -> None:
    project.answers[verb] = document("store_push")

    as_json, as_text = call("store", *arguments, "--json"), call("store", *arguments)

    assert (as_json.exit_code, as_json.document, as_json.stderr) == (0, document("store_push"), "")
    assert (as_text.exit_code, as_text.stderr) == (0, "")
    assert as_text.stdout.startswith("pushed to s3" if "push" in arguments else "pulled from /home/ann")
    assert [(name, given) for name, given, _ in project.calls] == [(verb, expected)] * 2


def test_a_path_is_one_from_here(project: Any, call: Callable[..., Any], tmp_path: Path) -> None:
    project.answers["store_push"] = lambda *_, **__: {}
    call("store", "push", "--to", "../team", "--json")

    assert project.calls[0][1] == ((), str(tmp_path.parent / "team"))


def test_what_was_not_copied_is_told_and_exits_with_4(project: Any, call: Callable[..., Any]) -> None:
    project.answers["store_pull"] = NotCopied("s3://t/c", ("run R", "tag T"), ("a blob is lost",), "Do this.")

    called = call("store", "pull")

    assert called.exit_code == 4
    assert called.stderr == (
        "error: a blob is lost; therefore not copied from s3://t/c: run R, tag T\nhint: Do this.\n"
    )


def test_one_or_two_calm_lines(document: Callable[[str], Any]) -> None:
    shown = click.unstyle(render_transfer({**document("store_push"), "warnings": []}, "pushed", "to"))

    assert shown.splitlines() == [
        "pushed to s3://team/churn: 14 blobs (4.5 MB), 3 results, 1 run, 1 name",
        "240 things were there already",
    ]


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (0, "nothing to be pulled from /home/ann/churn/.lineal/store"),
        (240, "nothing to be pulled from /home/ann/churn/.lineal/store: all 240 things are there already"),
    ],
)
def test_nothing_to_do_is_one_line(document: Callable[[str], Any], there: int, expected: str) -> None:
    nothing = dict.fromkeys(("blobs", "bytes", "actions", "runs", "refs"), 0)
    shown = render_transfer(
        {**document("store_push"), **nothing, "already_there": there, "warnings": []}, "pulled", "from"
    )

    assert click.unstyle(shown) == expected


def test_warnings_follow_and_nothing_can_move_the_cursor(document: Callable[[str], Any]) -> None:
    poisoned = {**document("store_push"), "to": "s3://\x1b[2J", "warnings": ["first\r", "second\x07"]}

    shown = click.unstyle(render_transfer(poisoned, "pushed", "to"))

    assert shown.splitlines()[2:] == ["warning: first\\x0d", "warning: second\\x07"]
    assert not {character for character in shown if ord(character) < 32} - {"\n"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_of_a_terminal_which_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        with show_progress(stream) as progress:
            progress(0, 2_000_000)
            progress(1_500_000, 2_000_000)  # too soon to be shown

    assert terminal.getvalue() == "\r\x1b[K0 B of 2.0 MB\r\x1b[K"
    assert pipe.getvalue() == ""
