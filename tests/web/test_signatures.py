"""What a signature has to be like, and how old."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.alerts.channels import signature as made_for_alerts
from lineal_web.signatures import TOLERANCE_SECONDS, Signature

NOW = 1_790_000_000
BODY = b'{"n": 1}'


def github(body: bytes, key: bytes = b"key") -> str:
    return f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"


def test_what_an_alerts_webhook_sends_is_a_signature() -> None:
    found = Signature.find([made_for_alerts("key", BODY, NOW)], [], BODY, NOW)

    assert found is not None
    assert found.content == b"%d.%b" % (NOW, BODY)
    assert found.is_by(b"key")
    assert not found.is_by(b"Key")


def test_what_github_sends_is_a_signature() -> None:
    """As its documentation gives it: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries."""
    text = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    found = Signature.find([], [text], b"Hello, World!", NOW)

    assert found is not None
    assert found.is_by(b"It's a Secret to Everybody")


@pytest.mark.parametrize("age", [TOLERANCE_SECONDS, -TOLERANCE_SECONDS])
def test_one_that_is_too_old_or_from_the_future_is_none(age: int) -> None:
    text = made_for_alerts("key", BODY, NOW)

    assert Signature.find([text], [], BODY, NOW + age) is not None
    assert Signature.find([text], [], BODY, NOW + age + (1 if age > 0 else -1)) is None


def test_ours_counts_where_both_are_there_and_two_of_a_kind_are_none() -> None:
    ours = made_for_alerts("key", BODY, NOW)

    found = Signature.find([ours], [github(BODY, b"other")], BODY, NOW)
    assert found is not None
    assert found.is_by(b"key")
    assert Signature.find(["t=1"], [github(BODY)], BODY, NOW) is None
    assert Signature.find([ours, ours], [], BODY, NOW) is None
    assert Signature.find([], [github(BODY)] * 2, BODY, NOW) is None
    assert Signature.find([], [], BODY, NOW) is None


@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        lambda text: f" {text}",
        lambda text: f"{text}\n",
        lambda text: text[:-1],
        lambda text: f"{text},v1=0",
    ],
)
def test_a_text_of_another_form_is_none(change: object) -> None:
    ours = change(made_for_alerts("key", BODY, NOW))  # type: ignore[operator]
    githubs = change(github(BODY))  # type: ignore[operator]

    assert Signature.find([ours], [], BODY, NOW) is None
    assert Signature.find([], [githubs], BODY, NOW) is None


@given(st.text(), st.text(), st.binary())
def test_no_text_is_more_than_a_wrong_signature(ours: str, githubs: str, body: bytes) -> None:
    for found in (Signature.find([ours], [], body, NOW), Signature.find([], [githubs], body, NOW)):
        assert found is None or not found.is_by(b"key")
