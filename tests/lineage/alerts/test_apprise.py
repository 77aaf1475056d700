"""What goes through apprise arrives, and keeps to the rules for addresses although apprise makes the connections."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from receivers import answer, silence, talker, webhooks

from lineal.alerts import send as sending
from lineal.alerts.message import trial
from lineal.alerts.rules import Alert
from lineal.alerts.send import Undelivered, send

MESSAGE: dict[str, Any] = {**trial("here", "2026-11-23T03:17:05+00:00"), "id": "0123456789abcdef"}


def sent(to: str, *, allow_local: bool = True, **environ: str) -> None:
    send(Alert(to, allow_local=allow_local), MESSAGE, root=Path(), environ=environ, now=1_700_000_000)


def test_a_service_of_apprise_is_sent_subject_and_text() -> None:
    with webhooks() as server:
        sent(f"json://127.0.0.1:{server.port}/${{TOKEN}}", TOKEN="hunter2")
        request = server.next()
    told = json.loads(request.body)

    assert request.path == "/hunter2"
    assert told["title"] == MESSAGE["subject"]
    assert told["message"].splitlines() == MESSAGE["text"].rstrip().splitlines()


@pytest.mark.parametrize("status", [404, 500])
def test_what_the_service_does_not_take_is_sent_again_and_its_address_not_told(status: int) -> None:
    with webhooks(answer(status)) as server, pytest.raises(Undelivered, match=f"json://….*{status}") as no:
        sent(f"json://127.0.0.1:{server.port}/hunter2")

    assert not no.value.for_good
    assert "hunter2" not in no.value.problem


@pytest.mark.parametrize("to", ["ftp://hooks.example/hunter2", "htps://hooks.example/hunter2", "json://"])
def test_an_address_that_nobody_knows_is_given_up(to: str) -> None:
    with pytest.raises(Undelivered) as no:
        sent(to)

    assert no.value.for_good
    assert "hunter2" not in no.value.problem


def test_without_apprise_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "find_spec", lambda name: None)
    with pytest.raises(Undelivered, match=r"needs apprise.*pip install 'lineal\[alerts\]'") as no:
        sent("discord://id/hunter2")

    assert no.value.for_good
    assert "hunter2" not in no.value.problem


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "10.0.0.1"])
def test_addresses_that_are_not_the_worlds_are_refused(host: str) -> None:
    with webhooks() as server, pytest.raises(Undelivered, match="in a private network") as no:
        sent(f"json://{host}:{server.port}/", allow_local=False)

    assert no.value.for_good
    assert server.all() == []


def test_a_name_that_leads_elsewhere_when_it_is_connected_to_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    really = socket.getaddrinfo

    def resolve(host: Any, *given: Any, **more: Any) -> Any:
        return really("127.0.0.1" if host == "rebinding.example" else host, *given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with webhooks() as server, pytest.raises(Undelivered, match=r"leads to 127\.0\.0\.1"):
        sent(f"json://rebinding.example:{server.port}/", allow_local=False)

    assert server.all() == []


def test_what_is_refused_for_one_is_allowed_for_the_next() -> None:
    with webhooks() as server:
        with pytest.raises(Undelivered):
            sent(f"json://127.0.0.1:{server.port}/", allow_local=False)
        sent(f"json://127.0.0.1:{server.port}/")
        assert len(server.all()) == 1
        with socket.create_connection(("127.0.0.1", server.port)):
            pass  # nobody looks at connections of others


def test_a_redirect_is_not_followed() -> None:
    with webhooks() as other, webhooks(answer(307, Location=other.url)) as server:
        with pytest.raises(Undelivered):
            sent(f"json://127.0.0.1:{server.port}/?redirect=yes")

        assert other.all() == []


def test_a_service_that_never_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "NETWORK_SECONDS", 0.3)
    with silence() as port, pytest.raises(Undelivered) as no:
        sent(f"json://127.0.0.1:{port}/")

    assert not no.value.for_good


def test_a_service_that_does_not_stop_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "NETWORK_SECONDS", 0.3)

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            connection.sendall(b"y")

    with talker(talk) as port, pytest.raises(Undelivered) as no:
        sent(f"json://127.0.0.1:{port}/")

    assert not no.value.for_good


def test_nothing_but_its_own_module_imports_apprise() -> None:
    import subprocess

    code = "import sys, lineal.alerts.send, lineal.alerts.watch, lineal.alerts.deliver; sys.exit('apprise' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
