"""What somebody is told: complete, bounded, of harmless characters, without secrets."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from lineal.alerts.message import FailedStage, compose, hide, one_line, over, repeated, summary
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
        "stage": "featurize",
        "notes": [],
        "repeated": None,
        "link": None,
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
        ({"occasion": "retries_exhausted"}, "featurize failed after 2 attempts"),
        ({"occasion": "retry"}, "featurize failed and is tried again"),
        ({"occasion": "slow", "failed": [], "stage": "train"}, "train is slow"),
        ({"occasion": "schema_drift", "failed": [], "stage": "load"}, "columns of load have changed"),
        ({"occasion": "nondeterminism", "failed": [], "stage": "train"}, "train is not deterministic"),
        ({"failed": [FEATURIZE, FEATURIZE, FEATURIZE]}, "featurize failed, and 2 more"),
    ],
)
def test_the_subject_names_the_root_cause(changes: dict[str, Any], subject: str) -> None:
    assert failed(**changes)["subject"] == f"[lineal] flights (production): {subject}"


@pytest.mark.parametrize(
    ("occasion", "subject"),
    [
        ("late", "is late"),
        ("missing", "did not run"),
        ("stale", "is stale"),
        ("irreproducible", "can no longer be built"),
        ("slow", "is slow"),
    ],
)
def test_the_subject_says_what_is_the_matter_with_all_of_it(occasion: str, subject: str) -> None:
    message = failed(occasion=occasion, failed=[], not_run=[], state=None)

    assert message["subject"] == f"[lineal] flights (production) {subject}"


def test_where_a_page_shows_runs_the_message_leads_there() -> None:
    message = failed(about=replace(ABOUT, page="https://ml.example.org/lineal/"))

    assert message["link"] == "https://ml.example.org/lineal/runs/20261123-031700-4f9ac2"
    assert f"page:       {message['link']}\n" in message["text"]
    assert failed(about=replace(ABOUT, page="https://ml.example.org"), run_id=None)["link"] is None


def test_a_message_says_how_often_the_same_has_happened_since_it_was_told() -> None:
    once, often = repeated(failed(), 1, AT), repeated(failed(), 12, AT)

    assert often["repeated"] == {"count": 12, "since": AT}
    assert f"\n1 more time since {AT}\n" in once["text"]
    assert f"\n12 more times since {AT}\n" in often["text"]


def test_what_is_over_is_told_under_the_same_key() -> None:
    message = failed(occasion="stale", failed=[], not_run=[], state=None, key="k")
    done = over(message)

    assert (done["event"], done["key"]) == ("recovered", message["key"])
    assert done["subject"] == "[lineal] flights (production) has recovered"
    assert "no longer stale" in done["text"] and "retry" not in done["text"]


def test_a_summary_names_the_first_of_those_that_were_held_back() -> None:
    like = {**failed(), "id": "m1"}
    message = summary(like, 25, [f"[lineal] p{number} failed" for number in range(20)], 20, AT)

    assert (message["event"], message["id"], message["subject"]) == (
        "held_back",
        "m1",
        "[lineal] 25 messages held back",
    )
    assert message["notes"][0] == "[lineal] p0 failed" and message["notes"][-1] == "and 5 more"
    assert message.keys() == like.keys()


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


@pytest.mark.parametrize("secret", ["hunter2", "p@ss/wörd+=&", 'with "quotes" and \\ and\nlines'])
def test_a_secret_is_hidden_however_it_is_written(secret: str) -> None:
    data = secret.encode()
    forms = [
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
        base64.b64encode(data).decode(),
        base64.urlsafe_b64encode(data).decode(),
    ]

    assert [hide(f"<{form}>", [secret]) for form in forms if not form.endswith("=")] == [
        "<***>" for form in forms if not form.endswith("=")
    ]
    assert all(form[2:-4] not in hide(f"<{form}>", [secret]) for form in forms)


@pytest.mark.parametrize("user", ["", "a", "ad", "ada"])
def test_a_secret_is_hidden_in_what_a_server_is_sent_as_a_login(user: str) -> None:
    login = base64.b64encode(f"{user}:hunter2-and-more:x".encode()).decode()
    told = hide(f"Authorization: Basic {login}", ["hunter2-and-more"]).rpartition(" ")[2]

    assert "***" in told
    assert len(told) <= len(login) - 16


def test_a_short_secret_hides_nothing_but_itself() -> None:
    assert hide("abc YWJj ok", ["ok"]) == "abc YWJj ***"


def test_an_empty_secret_hides_nothing() -> None:
    assert hide("text", [""]) == "text"


def test_a_surrogate_is_no_character_that_can_be_sent() -> None:
    assert one_line("a\udcff").encode() == b"a "
