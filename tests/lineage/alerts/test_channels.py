"""Where a message goes and what is sent there, without sending anything."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest

from lineal.alerts.channels import (
    Command,
    Mail,
    Relayed,
    UnusableAlert,
    VariableNotSet,
    Webhook,
    address,
    is_public,
    where,
)
from lineal.alerts.message import FailedStage, compose, trial
from lineal.alerts.rules import About, Alert
from lineal.events import Failure

MESSAGE: dict[str, Any] = {
    **trial("worker_3", "2026-11-23T03:17:05+00:00"),
    "event": "failed",
    "state": "failed",
    "run_id": "r1",
    "id": "0123456789abcdef0123456789abcdef",
    "text": "a <b> & c\n",
    "subject": "[lineal] flights: train failed",
}


def webhook(alert: Alert, **environ: str) -> Webhook:
    found = address(alert, MESSAGE, environ, 1_700_000_000)
    assert isinstance(found, Webhook)
    return found


def mail(alert: Alert, **environ: str) -> Mail:
    found = address(alert, MESSAGE, environ, 1_700_000_000)
    assert isinstance(found, Mail)
    return found


def command(to: str, **environ: str) -> Command:
    found = address(Alert(to), MESSAGE, environ, 1_700_000_000)
    assert isinstance(found, Command)
    return found


def test_a_webhook_gets_the_document_under_the_messages_id() -> None:
    request = webhook(Alert("https://hooks.example/a/b?token=1"))

    assert (request.host, request.port, request.path, request.tls) == (
        "hooks.example",
        443,
        "/a/b?token=1",
        True,
    )
    assert json.loads(request.body) == MESSAGE
    assert request.headers["Lineal-Message-Id"] == request.headers["Idempotency-Key"] == MESSAGE["id"]
    assert "Lineal-Signature" not in request.headers


def test_a_signature_covers_the_time_and_the_body() -> None:
    request = webhook(Alert("https://hooks.example", secret="${KEY}"), KEY="hunter2")
    expected = hmac.new(b"hunter2", b"1700000000." + request.body, hashlib.sha256).hexdigest()

    assert request.headers["Lineal-Signature"] == f"t=1700000000,v1={expected}"


def test_an_address_may_be_a_variable_and_is_taken_when_it_is_sent() -> None:
    assert webhook(Alert("https://hooks.example/${TOKEN}"), TOKEN="abc").path == "/abc"
    assert webhook(Alert("${HOOK}"), HOOK="https://hooks.example/x").path == "/x"
    with pytest.raises(VariableNotSet, match="HOOK is not set"):
        webhook(Alert("${HOOK}"))


def test_what_is_not_encrypted_needs_allow_local() -> None:
    assert webhook(Alert("http://localhost:8080", allow_local=True)).port == 8080
    with pytest.raises(UnusableAlert, match="not encrypted"):
        webhook(Alert("http://hooks.example"))


@pytest.mark.parametrize(
    "to",
    [
        "https://",
        "https://user:pw@hooks.example",
        "https://hooks.example/a\r\nX: y",
        "https://hooks.example/a b",
        "https://hooks.example:port",
        "https://[::1",
        "ftp:hooks.example",
        "slack://T/B",
        "pagerduty://",
        "mailto:",
        "mailto:nobody",
        "mailto:a@example.org%0d%0aBcc:b@example.org",
        "command:",
        "command:'open",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_showing_its_secrets(to: str) -> None:
    with pytest.raises(UnusableAlert) as refused:
        address(Alert(to, smtp="smtp://host"), MESSAGE, {}, 0)

    assert "pw" not in str(refused.value)


FAILED = compose(
    About(
        "flights",
        "flights.py:flights",
        "production",
        "worker-3",
        {"run_date": "2013-06-30"},
        page="https://ml.example.org",
    ),
    occasion="failed",
    run_id="r1",
    state="failed",
    at="2026-11-23T03:17:05+00:00",
    failed=[
        FailedStage(
            "featurize",
            Failure("contract", "SchemaViolation", "<!channel> & *distance* is float64", "Cast it."),
            log=["read 1,000 rows", "```<@U1>```"],
        )
    ],
    not_run=["train"],
)


def test_slack_gets_a_text_that_it_sets_well_and_in_which_nothing_is_a_mention() -> None:
    found = address(Alert("slack://T0/B0/${TOKEN}"), {**FAILED, "id": "m1"}, {"TOKEN": "X0"}, 0)
    assert isinstance(found, Webhook)

    assert (found.host, found.path, found.tls) == ("hooks.slack.com", "/services/T0/B0/X0", True)
    assert json.loads(found.body)["text"] == (
        "*[lineal] flights (production): featurize failed*\n"
        "`featurize` SchemaViolation: &lt;!channel&gt; &amp; *distance* is float64\n"
        "hint: Cast it.\n"
        "```\nread 1,000 rows\n'''&lt;@U1&gt;'''\n```\n"
        "not run for it: train\n"
        "run r1 · parameters run_date=2013-06-30 · host worker-3\n"
        "<https://ml.example.org/runs/r1|Show the run>\n"
        "look: `lineal show r1` or `lineal logs r1 featurize`\n"
        "retry: `lineal rerun r1`"
    )


def test_no_address_of_a_page_ends_its_link_in_slack() -> None:
    found = address(Alert("slack://T/B/X"), {**FAILED, "id": "m1", "link": "https://a/|x><!here>"}, {}, 0)
    assert isinstance(found, Webhook)

    assert "<https://a/%7Cx&gt;&lt;!here&gt;|Show the run>" in json.loads(found.body)["text"]


def test_a_test_message_says_in_slack_what_it_is() -> None:
    found = address(Alert("slack://T/B/X"), {**trial("here", "2026-11-23T03:17:05+00:00"), "id": "m1"}, {}, 0)
    assert isinstance(found, Webhook)

    assert (
        json.loads(found.body)["text"]
        == "*[lineal] a test*\n`lineal alerts test` on here sent this.\nhost here"
    )


def test_pagerduty_opens_an_incident_and_closes_it_again() -> None:
    opened = json.loads(webhook(Alert("pagerduty://${KEY}"), KEY="k").body)
    recovered = address(Alert("pagerduty://k"), {**MESSAGE, "event": "recovered"}, {}, 0)
    assert isinstance(recovered, Webhook)
    closed = json.loads(recovered.body)

    assert (opened["routing_key"], opened["event_action"], opened["payload"]["severity"]) == (
        "k",
        "trigger",
        "error",
    )
    assert (closed["event_action"], closed["dedup_key"]) == ("resolve", opened["dedup_key"])


@pytest.mark.parametrize(
    ("event", "severity"),
    [
        ("test", "info"),
        ("slow", "warning"),
        ("schema_drift", "warning"),
        ("held_back", "warning"),
        ("stale", "error"),
    ],
)
def test_pagerduty_is_told_how_bad_it_is(event: str, severity: str) -> None:
    found = address(Alert("pagerduty://k"), {**MESSAGE, "event": event}, {}, 0)
    assert isinstance(found, Webhook)

    assert json.loads(found.body)["payload"]["severity"] == severity


def test_pagerduty_shows_the_way_to_the_run() -> None:
    found = address(Alert("pagerduty://k"), {**FAILED, "id": "m1"}, {}, 0)
    assert isinstance(found, Webhook)

    assert json.loads(found.body)["links"] == [{"href": "https://ml.example.org/runs/r1", "text": "the run"}]


def test_any_other_address_is_left_to_apprise() -> None:
    found = address(Alert("discord://id/${TOKEN}"), MESSAGE, {"TOKEN": "t"}, 0)

    assert found == Relayed("discord://id/t", MESSAGE["subject"], MESSAGE["text"], False, False)
    with pytest.raises(VariableNotSet):
        address(Alert("discord://id/${TOKEN}"), MESSAGE, {}, 0)


def test_mail_goes_to_all_that_are_named_through_the_configured_server() -> None:
    found = mail(Alert("mailto:a@example.org,b@example.org", smtp="smtp://relay:25", sender="ml@example.org"))

    assert (found.host, found.port, found.tls, found.sender) == ("relay", 25, False, "ml@example.org")
    assert found.recipients == ("a@example.org", "b@example.org")
    assert found.message_id == f"<{MESSAGE['id']}@worker-3>"


def test_a_mail_server_and_its_password_come_from_variables() -> None:
    found = mail(
        Alert("mailto:a@example.org"),
        LINEAL_SMTP_URL="smtps://u%40x.org:p%3Aw@mail",
        LINEAL_SMTP_PASSWORD="other",
    )

    assert (found.host, found.port, found.tls, found.user, found.password) == (
        "mail",
        465,
        True,
        "u@x.org",
        "other",
    )
    assert found.sender == "u@x.org"
    with pytest.raises(VariableNotSet, match="no mail server"):
        mail(Alert("mailto:a@example.org"))


def test_a_command_has_its_words_and_no_shell() -> None:
    found = command("command:./notify.sh 'two words' ${WHO} ; rm", WHO="a b")

    assert found.words == ("./notify.sh", "two words", "a b", ";", "rm")
    assert json.loads(found.standard_input) == MESSAGE
    assert found.variables["LINEAL_RUN_ID"] == "r1"
    assert found.variables["LINEAL_STATE"] == "failed"
    assert found.variables["LINEAL_MESSAGE_ID"] == MESSAGE["id"]


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00:ec2::254", "::ffff:10.0.0.1",
        "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)  # fmt: skip
def test_addresses_of_this_machine_this_network_and_a_clouds_services_are_not_public(text: str) -> None:
    assert not is_public(text)


@pytest.mark.parametrize("text", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_of_the_world_are(text: str) -> None:
    assert is_public(text)


def test_an_address_is_shown_without_what_may_be_secret() -> None:
    assert where("https://u:p@hooks.example:8443/T0/B0?x=1") == "https://hooks.example:8443/…"
    assert where("pagerduty://key") == "pagerduty://…"
    assert where("command:./notify.sh") == "command:./notify.sh"
