"""What is let through: what is named, asked of this host, and of what changes something nothing that a browser's page asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from lineal_web.guard import Guard

METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "LINEAL",
)
ALLOWED = {
    "/health": {"GET", "HEAD"},
    "/ready": {"GET", "HEAD"},
    "/metrics": {"GET", "HEAD"},
    "/hooks/{name}": {"POST"},
}


def routes(site: Any) -> Iterator[Route]:
    guard = site.client.app
    assert isinstance(guard, Guard)
    inner = guard._app
    assert isinstance(inner, Starlette)
    for route in inner.routes:
        assert isinstance(route, Route)  # nothing is mounted that has routes of its own
        yield route


def paths() -> list[str]:
    return [path.replace("{name}", "labels") for path in ALLOWED]


def test_these_are_all_the_routes(site: Any) -> None:
    assert {route.path: route.methods for route in routes(site)} == ALLOWED


@pytest.mark.parametrize("method", METHODS)
def test_every_route_refuses_every_method_but_its_own(site: Any, method: str) -> None:
    for path, allowed in ALLOWED.items():
        answer = site.client.request(method, path.replace("{name}", "labels"))
        if method in allowed:
            assert answer.status_code in (200, 401, 503)
        else:
            assert answer.status_code == 405
            assert set(answer.headers["allow"].split(", ")) == allowed
    assert site.jobs() == []


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health/",
        "//health",
        "/Health",
        "/hooks",
        "/hooks/",
        "/hooks/labels/",
        "/hooks/a/b",
        "/hooks/a%2fb/",
        "/docs",
        "/openapi.json",
        "/metrics/..",
        "/hooks/..%2f..%2fhealth",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_named_is_not_there_and_leads_nowhere_else(site: Any, path: str, method: str) -> None:
    answer = site.client.request(method, path, follow_redirects=False)

    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "not found"


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "127.0.0.1",
        "127.0.0.1:8421",
        "localhost:8420",
        "127.0.0.1:8420.evil.example",
        "127.0.0.1:8420:80",
        "user@127.0.0.1:8420",
        "[::1]:8420",
        "127.0.0.1:08420",
    ],
)
@pytest.mark.parametrize("path", paths())
def test_another_host_is_refused_whatever_is_asked(site: Any, path: str, host: str) -> None:
    """A page can have a browser ask 127.0.0.1 by a name of its own, and read the answer: DNS rebinding."""
    for method in ("GET", "POST", "OPTIONS"):
        answer = site.client.request(method, path, headers={"Host": host, **site.signed(b"")})
        assert answer.status_code == 421
    assert site.jobs() == []


def test_a_host_in_capitals_is_the_same_and_two_hosts_are_none(site: Any) -> None:
    guard = Guard(site.client.app, {"lineal:8420"}, site.log)

    def refused(*hosts: bytes) -> bool:
        headers = [(b"host", host) for host in hosts]
        return guard._refused({"type": "http", "method": "GET", "headers": headers}) is not None

    assert not refused(b"LINEAL:8420")
    assert refused()
    assert refused(b"lineal:8420", b"lineal:8420")


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8420", "https://evil.example", "null", ""])
def test_no_page_in_a_browser_may_call_a_webhook(site: Any, origin: str) -> None:
    answer = site.client.post("/hooks/labels", content=b"", headers={"Origin": origin, **site.signed(b"")})

    assert answer.status_code == 403
    assert site.jobs() == []


@pytest.mark.parametrize("path", [*paths(), "/nothing"])
def test_no_answer_lets_another_site_read_it_show_it_or_keep_it(site: Any, path: str) -> None:
    for method, headers in (
        ("GET", {"Origin": "https://evil.example"}),
        ("POST", {}),
        ("GET", {"Host": "evil"}),
    ):
        found = site.client.request(method, path, headers=headers).headers
        assert not any(name.startswith("access-control-") for name in found)
        assert found["x-content-type-options"] == "nosniff"
        assert found["cache-control"] == "no-store"
        assert found["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert found["cross-origin-resource-policy"] == "same-origin"


def test_a_mistake_of_ours_is_logged_and_told_to_nobody_else(site: Any) -> None:
    def fail() -> bytes:
        raise ZeroDivisionError("a secret")

    answer = site.client_of(fail).get("/metrics")

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert ("error", "a request failed: ZeroDivisionError('a secret')") in site.logged
