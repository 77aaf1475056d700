"""What somebody is told: complete, bounded, of harmless characters, without secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lineal.alerts.message import FailedStage, compose, hide, one_line
from lineal.alerts.rules import About, Failing
from lineal.events import Failure

ABOUT = About("flights", "flights.py:flights", "production", "worker-3", {"run_date": "2013-06-30"})
AT = "2026-11-23T03:17:05+00:00"
FEATURIZE = FailedStage(
    "featurize",
    Failure(
        "contract",
        "SchemaViolation",
        "distance_miles is float64, not int64\n3 rows differ",
        "Cast it.\nOr not.",
    ),
    attempts=2,
    log=["reading", "1,000 rows"],
)


def failed(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "occasion": "failed",
        "run_id": "20261123-031700-4f9ac2",
        "state": "failed",
        "at": AT,
        "failed": [FEATURIZE],
        "not_run": ["train", "deploy"],
    }
    about = changes.pop("about", ABOUT)
    return compose(about, **{**given, **changes})


def test_the_document_says_what_happened_where_and_what_to_do() -> None:
    message = failed()

    assert {name: message[name] for name in message if name not in ("subject", "text", "key")} == {
        "version": 1,
        "event": "failed",
        "pipeline": "flights",
        "target": "flights.py:flights",
        "run_id": "20261123-031700-4f9ac2",
        "namespace": "production",
        "host": "worker-3",
        "state": "failed",
        "at": AT,
        "parameters": {"run_date": "2013-06-30"},
        "failed": [
            {
                "stage": "featurize",
                "kind": "contract",
                "type": "SchemaViolation",
                "message": "distance_miles is float64, not int64",
                "hint": "Cast it.",
                "attempts": 2,
                "log": ["reading", "1,000 rows"],
            }
        ],
        "failed_count": 1,
        "not_run": ["train", "deploy"],
        "not_run_count": 2,
        "problem": None,
        "recovered_from": None,
        "look": ["lineal show 20261123-031700-4f9ac2", "lineal logs 20261123-031700-4f9ac2 featurize"],
        "retry": "lineal rerun 20261123-031700-4f9ac2",
    }


def test_the_text_says_the_same_to_people() -> None:
    assert failed()["text"] == (
        "[lineal] flights (production): featurize failed\n"
        "\n"
        "featurize: SchemaViolation: distance_miles is float64, not int64\n"
        "  hint: Cast it.\n"
        "  | reading\n"
        "  | 1,000 rows\n"
        "not run for it: train, deploy\n"
        "\n"
        "run:        20261123-031700-4f9ac2\n"
        "target:     flights.py:flights\n"
        "parameters: run_date=2013-06-30\n"
        "host:       worker-3\n"
        "at:         2026-11-23T03:17:05+00:00\n"
        "look:       lineal show 20261123-031700-4f9ac2  or  lineal logs 20261123-031700-4f9ac2 featurize\n"
        "retry:      lineal rerun 20261123-031700-4f9ac2\n"
    )


def test_a_recovery_names_the_run_that_failed_before() -> None:
    message = failed(
        occasion="recovered",
        state="succeeded",
        failed=[],
        not_run=[],
        before=Failing("r1", "2026-11-22T03:17:00+00:00"),
    )

    assert message["subject"] == "[lineal] flights (production) has recovered"
    assert message["recovered_from"] == {"run_id": "r1", "at": "2026-11-22T03:17:00+00:00"}
    assert "failed before: run r1" in message["text"]
    assert "retry" not in message["text"]


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"failed": [FailedStage("train", Failure("timeout", "TimeoutError", ""))]}, "train timed out"),
        ({"failed": [FEATURIZE, FEATURIZE, FEATURIZE]}, "featurize failed, and 2 more"),
    ],
)
def test_the_subject_names_the_root_cause(changes: dict[str, Any], subject: str) -> None:
    assert failed(**changes)["subject"] == f"[lineal] flights (production): {subject}"


def test_a_run_that_ended_without_a_stage_says_why_and_how_to_begin_again() -> None:
    message = failed(failed=[], not_run=[], run_id=None, problem="StoreUnavailable: s3://ml: denied\nmore")

    assert message["problem"] == "StoreUnavailable: s3://ml: denied"
    assert message["look"] == ["lineal doctor"]
    assert message["retry"] == "lineal run flights.py:flights"


def test_no_name_can_end_a_header_or_forge_a_line() -> None:
    evil = "a\r\nBcc: eve@example.org\n\x1b[2Jlineal: all is well\u2028\u202e\x00"
    stage = FailedStage(evil, Failure("exception", evil, evil, evil), log=[evil])
    message = failed(
        failed=[stage], not_run=[evil], problem=evil, about=About(evil, evil, evil, evil, {evil: evil})
    )

    def texts(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [text for pair in value.items() for one in pair for text in texts(one)]
        if isinstance(value, list):
            return [text for one in value for text in texts(one)]
        return [value] if isinstance(value, str) else []

    assert all(text.isprintable() for text in texts({**message, "text": ""}))
    assert all(line.isprintable() for line in message["text"].split("\n"))


def test_a_stage_is_quoted_where_a_shell_would_take_it_apart() -> None:
    stage = FailedStage("score[0]; rm -rf ~", FEATURIZE.failure)

    assert failed(failed=[stage])["look"][1] == "lineal logs 20261123-031700-4f9ac2 'score[0]; rm -rf ~'"


def test_the_largest_run_makes_a_small_message() -> None:
    wide = "\N{PILE OF POO}" * 10_000
    stages = [
        FailedStage(wide, Failure("exception", wide, wide, wide), log=[wide] * 1000) for _ in range(300)
    ]
    message = failed(
        failed=stages,
        not_run=[wide] * 5000,
        about=About(wide, wide, wide, wide, {f"{n}{wide}": wide for n in range(500)}),
    )

    assert len(json.dumps(message, ensure_ascii=False).encode()) < 256 << 10
    assert (len(message["failed"]), message["failed_count"]) == (5, 300)
    assert (len(message["not_run"]), message["not_run_count"]) == (20, 5000)
    assert "and 295 more failed" in message["text"]


def test_only_the_last_twenty_lines_are_told() -> None:
    stage = FailedStage("train", FEATURIZE.failure, log=[str(number) for number in range(30)])

    assert failed(failed=[stage])["failed"][0]["log"] == [str(number) for number in range(10, 30)]


def test_secrets_are_nowhere_in_it() -> None:
    about = About(
        "flights",
        "flights.py:flights",
        "tests",
        "here",
        {"url": "postgres://ada:pw@db/x", "k": "hunter2"},
        ("hunter2",),
    )
    stage = FailedStage(
        "load",
        Failure("exception", "E", "no access with hunter2", "try hunter2"),
        log=["key=hunter2", "https://a:b@c/"],
    )
    told = json.dumps(failed(about=about, failed=[stage], problem="hunter2"))

    assert "hunter2" not in told
    assert "ada" not in told and "pw" not in told and "a:b" not in told


def test_no_line_of_a_secret_with_several_is_told() -> None:
    about = About("flights", "flights.py:flights", "tests", "here", {}, ("first\nsecond",))
    stage = FailedStage("load", Failure("exception", "E", "first\nsecond", "first\nsecond"))
    told = json.dumps(failed(about=about, failed=[stage], problem="first\nsecond"))

    assert "first" not in told


def test_the_longest_secret_goes_first_so_that_no_rest_of_it_stays() -> None:
    assert hide("abcdef abc", ["abc", "abcdef"]) == "*** ***"


def test_an_empty_secret_hides_nothing() -> None:
    assert hide("text", [""]) == "text"


def test_a_surrogate_is_no_character_that_can_be_sent() -> None:
    assert one_line("a\udcff").encode() == b"a "
