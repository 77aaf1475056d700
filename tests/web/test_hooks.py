"""Webhooks: a call that is signed has its schedules fire once, and all others are told the same."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lineal.automation import calling
from lineal_web.hooks import MOST_BYTES
from lineal_web.signatures import Signature

PAGE = Path(__file__).parents[2] / "docs" / "schedules.md"


def test_a_signed_call_is_accepted_when_its_job_is_durable(site: Any) -> None:
    answer = site.call()

    assert answer.status_code == 202
    [job] = site.jobs()
    assert answer.json() == {"jobs": [{"schedule": "labels", "job": job.id, "state": "queued"}]}
    assert job.parameters == {}  # nothing of the body


def test_github_signs_the_body_alone(site: Any) -> None:
    made = hmac.new(b"a key", b"push", hashlib.sha256).hexdigest()

    assert site.call(b"push", X_Hub_Signature_256=f"sha256={made}").status_code == 202
    assert site.call(b"pushed", X_Hub_Signature_256=f"sha256={made}").status_code == 401
    assert len(site.jobs()) == 1


def test_the_pages_own_example_is_accepted(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"```python\n(def call.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    sent: list[urllib.request.Request] = []
    monkeypatch.setattr(urllib.request, "urlopen", sent.append)
    names = {"hmac": hmac, "hashlib": hashlib, "time": time, "urllib": urllib}
    site.now = datetime.now(UTC)

    exec(code, names)  # noqa: S102
    names["call"]("http://127.0.0.1:8420/hooks/labels", b"{}", b"a key", "message-1")  # type: ignore[operator]

    [request] = sent
    assert request.get_method() == "POST"
    assert (
        site.client.post(request.selector, content=request.data, headers=dict(request.headers)).status_code
        == 202
    )


@pytest.mark.parametrize("body", [b"", b"\x00\xff\xfe", b"not JSON", b"[" * 60_000, b"x" * MOST_BYTES])
def test_the_body_may_be_anything(site: Any, body: bytes) -> None:
    assert site.call(body).status_code == 202


def test_a_call_that_comes_again_has_the_same_job(site: Any) -> None:
    headers = site.signed(b"{}")
    first = site.call(**headers)

    for key in (None, "a-key", "another"):
        again = site.call(**headers, **({"Idempotency-Key": key} if key else {}))
        assert (again.status_code, again.json()) == (202, first.json())
    assert len(site.jobs()) == 1


def test_a_sender_who_signs_anew_says_by_a_key_that_it_is_the_same(site: Any) -> None:
    first = site.call(**site.signed(b"{}"), Idempotency_Key="message-1")
    site.now += timedelta(minutes=1)
    again = site.call(**site.signed(b"{}"), Idempotency_Key="message-1")
    other = site.call(**site.signed(b"{}"), Idempotency_Key="message-2")

    assert again.json() == first.json() != other.json()
    assert len(site.jobs()) == 2


def test_an_old_call_is_refused_also_when_it_was_never_seen(site: Any) -> None:
    headers = site.signed(b"{}", late_seconds=301)

    assert site.call(**headers).status_code == 401
    assert site.jobs() == []


def test_a_wrong_signature_and_an_unknown_name_are_told_the_same(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has no key finds out nothing, and the same is computed for both."""
    computed = []
    is_by = Signature.is_by
    monkeypatch.setattr(Signature, "is_by", lambda self, key: computed.append(key) or is_by(self, key))
    answers = [
        site.call(**site.signed(b"{}", key=b"no key")),
        site.call(name="nobody", **site.signed(b"{}")),
        site.call(name="nightly", **site.signed(b"{}")),
    ]
    assert len(computed) == 3
    answers += [
        site.call(Lineal_Signature="t=1"),
        site.call(b"other", **site.signed(b"{}")),
        site.client.post("/hooks/labels"),
        site.client.post("/hooks/nobody"),
        site.client.post("/hooks/%00%0a'\"<b>"),
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert len({frozenset(answer.headers.items()) for answer in answers}) == 1
    assert site.jobs() == []


@pytest.mark.parametrize("key", [None, ""])
def test_a_webhook_without_a_key_takes_no_call_and_says_so_once(
    site: Any, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LABELS_KEY")
    if key is not None:
        monkeypatch.setenv("LABELS_KEY", key)

    for _ in range(2):
        assert site.call(**site.signed(b"{}", key=b"")).status_code == 401
    assert site.logged == [("error", "its webhook takes no calls: LABELS_KEY is not set")]


def test_a_body_that_is_too_long_is_refused_before_all_of_it_was_read(site: Any) -> None:
    given = 0

    def body() -> Any:
        nonlocal given
        for _ in range(1000):
            given += 1
            yield b"x" * 1024

    answer = site.client.post("/hooks/labels", content=b"x" * (MOST_BYTES + 1), headers=site.signed(b""))
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"
    assert site.client.post("/hooks/labels", content=body()).status_code == 413


@pytest.mark.parametrize("key", ["", "a b", "x" * 201, "ключ".encode()])
def test_a_key_that_is_no_short_text_is_refused(site: Any, key: str | bytes) -> None:
    headers = {**site.signed(b"{}"), "Idempotency-Key": key}

    assert site.client.post("/hooks/labels", content=b"{}", headers=headers).status_code == 400
    assert site.jobs() == []


def test_a_paused_schedule_takes_no_calls_for_now(site: Any) -> None:
    with site.served.open_state() as state:
        state.pause("labels", "ann", site.now)

    answer = site.call()

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "60"
    assert answer.json()["error"]["message"] == "labels takes no call now: it is paused"


def test_too_many_that_wait_are_too_many_requests(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling, "MOST_WAITING", 1)
    site.call(b"1")

    answer = site.call(b"2")

    assert answer.status_code == 429
    assert "retry-after" in answer.headers


def test_what_cannot_be_kept_is_not_accepted(site: Any) -> None:
    with site.served.open_state() as state:
        path = state.path
    path.write_bytes(b"no database" * 100)

    answer = site.call()

    assert answer.status_code == 503
    assert str(path) not in answer.text
    assert site.logged[0][0] == "error"


def test_a_name_that_several_wait_for_has_those_fire_whose_key_it_is(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER_KEY", "other")
    more = '[[schedules]]\nname = "{}"\non = {{ webhook = "labels", secret = "${{{}}}" }}\n'
    with (site.root / "lineal.toml").open("a") as file:
        file.write(more.format("second", "LABELS_KEY") + more.format("third", "OTHER_KEY"))
    site.__post_init__()
    site.take_up()

    assert [job["schedule"] for job in site.call().json()["jobs"]] == ["labels", "second"]
    other = site.call(**site.signed(b"{}", key=b"other"))
    assert [job["schedule"] for job in other.json()["jobs"]] == ["third"]
