"""What real servers and programs get, and what becomes of those that do not answer as they should."""

from __future__ import annotations

import datetime
import email
import email.policy
import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from receivers import answer, mailbox, silence, talker, webhooks
from waiting import is_running, wait_until

from lineal.alerts import send as sending
from lineal.alerts.message import trial
from lineal.alerts.rules import Alert
from lineal.alerts.send import Undelivered, send

MESSAGE: dict[str, Any] = {**trial("here", "2026-11-23T03:17:05+00:00"), "id": "0123456789abcdef"}


def sent(to: str, environ: Mapping[str, str] | None = None, *, root: Path = Path(), **settings: Any) -> None:
    alert = Alert(to, **{"allow_local": True, **settings})
    send(alert, MESSAGE, root=root, environ=environ or {}, now=1_700_000_000.9)


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "NETWORK_SECONDS", 0.3)
    monkeypatch.setattr(sending, "COMMAND_SECONDS", 0.3)


# --- webhooks --------------------------------------------------------------------------------------


def test_a_webhook_is_sent_the_document() -> None:
    with webhooks() as server:
        sent(server.url, {"KEY": "k"}, secret="${KEY}")
        (request,) = server.all()

    assert request.path == "/hook?token=abc"
    assert json.loads(request.body) == MESSAGE
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    assert request.headers["Lineal-Message-Id"] == MESSAGE["id"]
    assert request.headers["Lineal-Signature"].startswith("t=1700000000,v1=")
    assert request.headers["Host"] == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("status", [200, 202, 204])
def test_any_success_is_one(status: int) -> None:
    with webhooks(answer(status)) as server:
        sent(server.url)


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_a_server_in_trouble_is_asked_again(status: int) -> None:
    with (
        webhooks(answer(status, b"later")) as server,
        pytest.raises(Undelivered, match=f"answers {status} later") as no,
    ):
        sent(server.url)

    assert not no.value.for_good


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_a_server_that_refuses_is_not(status: int) -> None:
    with webhooks(answer(status)) as server, pytest.raises(Undelivered) as no:
        sent(server.url)

    assert no.value.for_good


@pytest.mark.parametrize(
    "place",
    ["http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:1/", "file:///etc/passwd", "//[::1]/"],
)
def test_a_redirect_leads_nowhere(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[Any] = []
    really = socket.socket.connect

    def connect(self: socket.socket, to: Any) -> None:
        connected.append(to)
        really(self, to)

    with webhooks(answer(302, Location=place)) as server:
        monkeypatch.setattr(socket.socket, "connect", connect)
        with pytest.raises(Undelivered, match="redirects are not followed"):
            sent(server.url)

    assert connected == [("127.0.0.1", server.port)]


def test_a_redirect_is_not_followed() -> None:
    with webhooks() as other, webhooks(answer(307, Location=other.url)) as server:
        with pytest.raises(Undelivered, match="redirects are not followed") as no:
            sent(server.url)

        assert no.value.for_good
        assert other.all() == []


def test_an_answer_without_end_is_not_read_to_its_end(no_patience: None) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(500)
        handler.send_header("Content-Length", str(1 << 40))
        handler.end_headers()
        while True:  # until nobody listens
            handler.wfile.write(b"x" * 65536)

    with webhooks(endless) as server, pytest.raises(Undelivered) as no:
        sent(server.url)

    assert len(no.value.problem) <= 400


def test_an_answer_byte_by_byte_has_one_time_limit_for_all_of_it(no_patience: None) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(60):
            handler.wfile.write(b"x")
            gone.wait(0.05)
        handler.wfile.write(b"\r\n\r\n")

    gone = threading.Event()
    with webhooks(drip) as server, pytest.raises(Undelivered, match=r"no answer within 0\.3 s"):
        sent(server.url)
    gone.set()


def test_what_was_accepted_has_arrived_whatever_the_server_still_has_to_say() -> None:
    def never_closes(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b"and another thing")
        gone.wait(60)

    gone = threading.Event()
    with webhooks(never_closes) as server:
        sent(server.url)  # within its ten seconds
        gone.set()


def over_and_over(first: bytes, rest: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(rest)

    return talk


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 65536),
        (b"HTTP/1.1 ", b"2" * 65536),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        (b"", b"\x16\x03\x01" * 1000),
        (b"", b"\r\n" * 1000),
    ],
    ids=["headers", "one header", "a status", "continue", "garbage", "nothing"],
)
def test_a_server_that_does_not_stop_is_left(first: bytes, rest: bytes, no_patience: None) -> None:
    with talker(over_and_over(first, rest)) as port, pytest.raises(Undelivered) as no:
        sent(f"http://127.0.0.1:{port}/secret")

    assert not no.value.for_good
    assert "secret" not in no.value.problem and len(no.value.problem) <= 400


@pytest.mark.parametrize(
    "garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x28", b"\x00" * 5000]
)
def test_a_server_that_does_not_encrypt_as_it_should_is_asked_again(garbage: bytes) -> None:
    with talker(lambda connection: connection.sendall(garbage)) as port, pytest.raises(Undelivered) as no:
        sent(f"https://localhost:{port}/")

    assert not no.value.for_good


def test_encryption_that_is_never_agreed_on_has_the_same_time_limit(no_patience: None) -> None:
    with silence() as port, pytest.raises(Undelivered, match=r"no answer within 0\.3 s|timed out"):
        sent(f"https://localhost:{port}/")


def test_a_server_that_never_answers_is_left(no_patience: None) -> None:
    with silence() as port, pytest.raises(Undelivered, match=r"no answer within 0\.3 s|timed out") as no:
        sent(f"http://127.0.0.1:{port}/")

    assert not no.value.for_good


def test_nobody_there_is_no_reason_to_give_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Undelivered, match="refused") as no:
        sent(f"http://127.0.0.1:{port}/secret")

    assert not no.value.for_good
    assert "secret" not in no.value.problem


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1", "0x7f.1", "2130706433"]
)
def test_addresses_that_are_not_the_worlds_are_refused(host: str) -> None:
    with pytest.raises(Undelivered, match="in a private network") as no:
        sent(f"https://{host}/", allow_local=False)

    assert no.value.for_good


def test_the_address_that_is_connected_to_is_the_one_that_was_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = ["8.8.8.8", "127.0.0.1"]  # a name that leads elsewhere when it is asked for a second time
    connected: list[Any] = []

    def resolve(*_: Any, **__: Any) -> list[Any]:
        place = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, 443))]

    def connect(self: socket.socket, place: Any) -> None:
        connected.append(place)
        raise ConnectionRefusedError("nobody")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(Undelivered, match="nobody"):
        sent("https://rebinding.example/", allow_local=False)

    assert connected == [("8.8.8.8", 443)]


def test_of_several_addresses_only_public_ones_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[Any] = []

    def resolve(*_: Any, **__: Any) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, 443)) for place in ("127.0.0.1", "8.8.8.8")
        ]

    def connect(self: socket.socket, place: Any) -> None:
        connected.append(place[0])
        raise ConnectionRefusedError("nobody")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(Undelivered):
        sent("https://both.example/", allow_local=False)

    assert connected == ["8.8.8.8"]


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path))
    with (
        webhooks(wrap=lambda plain: context.wrap_socket(plain, server_side=True)) as server,
        pytest.raises(Undelivered, match="certificate is not valid"),
    ):
        sent(f"https://localhost:{server.port}/")


def test_a_certificate_that_is_trusted_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = _certificate(tmp_path)
    context.load_cert_chain(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with webhooks(wrap=lambda plain: context.wrap_socket(plain, server_side=True)) as server:
        sent(f"https://localhost:{server.port}/hook")
        assert server.next().path == "/hook"


def _certificate(folder: Path) -> Path:
    """A file with a key and a certificate for ``localhost`` that is signed by itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "server.pem"
    path.write_bytes(key.private_bytes(pem, *plain) + made.public_bytes(pem))
    return path


# --- mail ------------------------------------------------------------------------------------------


def test_mail_arrives_with_its_text_and_its_id() -> None:
    with mailbox() as server:
        sent("mailto:a@example.org,b@example.org", smtp=server.url, sender="ml@example.org")
        letter = server.next()
    mail = email.message_from_string(letter.text, policy=email.policy.default)

    assert (letter.sender, letter.recipients) == ("ml@example.org", ["a@example.org", "b@example.org"])
    assert (mail["From"], mail["To"], mail["Subject"]) == (
        "ml@example.org",
        "a@example.org, b@example.org",
        "[lineal] a test",
    )
    assert mail["Message-ID"] == f"<{MESSAGE['id']}@here>"
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content().splitlines() == MESSAGE["text"].splitlines()
    assert mail["Date"].datetime.isoformat() == MESSAGE["at"]


def test_a_mailbox_that_does_not_exist_is_given_up_and_one_that_is_full_is_not() -> None:
    with mailbox() as server:
        server.refused.update({"gone@example.org": "550 no such user", "full@example.org": "452 full"})
        with pytest.raises(Undelivered, match="550 no such user") as gone:
            sent("mailto:gone@example.org", smtp=server.url)
        with pytest.raises(Undelivered, match="452 full") as full:
            sent("mailto:full@example.org", smtp=server.url)

    assert (gone.value.for_good, full.value.for_good) == (True, False)


def test_of_several_mailboxes_those_that_have_refused_are_left() -> None:
    with mailbox() as server:
        server.refused.update({"gone@example.org": "550 no such user", "full@example.org": "452 full"})
        with pytest.raises(Undelivered) as no:
            sent("mailto:a@example.org,gone@example.org,full@example.org", smtp=server.url)
        assert server.next().recipients == ["a@example.org"]
        with pytest.raises(Undelivered) as still:
            sent(str(no.value.left), smtp=server.url)

    assert (no.value.left, no.value.for_good) == ("mailto:gone@example.org,full@example.org", False)
    assert still.value.left == no.value.left


def test_an_odd_mailbox_that_has_refused_is_the_same_when_it_is_tried_again() -> None:
    odd = "o%hm+1/2?@example.org"
    with mailbox() as server:
        server.refused[odd] = "452 full"
        with pytest.raises(Undelivered) as no:
            sent("mailto:o%25hm+1/2%3F@example.org", smtp=server.url)
        server.refused.clear()
        sent(str(no.value.left), smtp=server.url)
        assert server.next().recipients == [odd]


def test_a_mail_server_that_is_busy_is_asked_again() -> None:
    with (
        talker(lambda connection: connection.sendall(b"421 too many of you\r\n")) as port,
        pytest.raises(Undelivered, match="too many of you") as no,
    ):
        sent("mailto:a@example.org", smtp=f"smtp://127.0.0.1:{port}")

    assert not no.value.for_good


@pytest.mark.parametrize("rest", [b"220-and\r\n" * 1000, b"220-" + b"x" * 8000 + b"\r\n", b"x" * 65536])
def test_a_mail_server_that_does_not_stop_is_not_heard_out(rest: bytes) -> None:
    with (
        talker(over_and_over(b"220-welcome\r\n", rest)) as port,
        pytest.raises(Undelivered, match=r"does not stop talking|Line too long") as no,
    ):
        sent("mailto:a@example.org", smtp=f"smtp://127.0.0.1:{port}")

    assert not no.value.for_good
    assert len(no.value.problem) <= 400


@pytest.mark.parametrize(
    "answered", [b"454 not now\r\n", b"220 go on\r\n" + b"\x00" * 5000], ids=["no", "garbage"]
)
def test_where_encryption_was_offered_and_fails_nothing_is_sent_without(answered: bytes) -> None:
    heard: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"220 mail.example.org\r\n")
        for line in connection.makefile("rb"):
            heard.append(line[:8].upper())
            offer = b"250-mail.example.org\r\n250 STARTTLS\r\n"
            connection.sendall({b"EHLO": offer, b"STAR": answered}.get(heard[-1][:4], b"250 ok\r\n"))

    login = {"LINEAL_SMTP_USER": "u", "LINEAL_SMTP_PASSWORD": "pw"}
    with talker(talk) as port, pytest.raises(Undelivered) as no:
        sent("mailto:a@example.org", login, smtp=f"smtp://localhost:{port}")

    assert not no.value.for_good
    assert not {b"AUTH", b"MAIL", b"DATA"} & {line[:4] for line in heard}


def test_a_password_is_never_sent_in_the_clear() -> None:
    with mailbox() as server, pytest.raises(Undelivered, match="no encryption") as no:
        sent("mailto:a@example.org", {"LINEAL_SMTP_USER": "u", "LINEAL_SMTP_PASSWORD": "pw"}, smtp=server.url)

    assert no.value.for_good


def test_where_encryption_is_offered_it_is_used_and_only_then_a_password_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    login = {"LINEAL_SMTP_USER": "ada@example.org", "LINEAL_SMTP_PASSWORD": "pw"}
    with mailbox(context) as server:
        with pytest.raises(Undelivered, match="certificate is not valid"):
            sent("mailto:a@example.org", login, smtp=server.url)
        assert server.logins == []

        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        sent("mailto:a@example.org", login, smtp=server.url)
        assert server.next().sender == "ada@example.org"
        assert server.logins == ["\0ada@example.org\0pw"]


def test_a_mail_server_that_never_answers_is_left(no_patience: None) -> None:
    with silence() as port, pytest.raises(Undelivered):
        sent("mailto:a@example.org", smtp=f"smtp://127.0.0.1:{port}")


def test_without_a_mail_server_it_waits_for_one() -> None:
    with pytest.raises(Undelivered, match="no mail server") as no:
        sent("mailto:a@example.org")

    assert not no.value.for_good


# --- commands --------------------------------------------------------------------------------------


def test_a_command_gets_the_document_and_the_facts(tmp_path: Path) -> None:
    sent(
        "command:sh -c 'cat > told.json; echo $LINEAL_EVENT $KEPT > facts'",
        {"KEPT": "kept", "PATH": "/usr/bin:/bin"},
        root=tmp_path,
    )

    assert json.loads((tmp_path / "told.json").read_text()) == MESSAGE
    assert (tmp_path / "facts").read_text() == "test kept\n"


def test_a_command_that_fails_is_run_again(tmp_path: Path) -> None:
    with pytest.raises(Undelivered, match="sh ended with 3") as no:
        sent("command:sh -c 'exit 3'", root=tmp_path)

    assert not no.value.for_good


def test_a_command_that_reads_nothing_is_fine(tmp_path: Path) -> None:
    sent("command:true", root=tmp_path)


def test_a_command_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Undelivered, match="No such file"):
        sent("command:./notify.sh", root=tmp_path)


def test_a_command_that_hangs_ends_with_all_that_it_started(tmp_path: Path, no_patience: None) -> None:
    with pytest.raises(Undelivered, match="takes longer"):
        sent("command:sh -c 'sleep 600 & echo $! > child; wait'", root=tmp_path)
    child = int((tmp_path / "child").read_text())

    wait_until(lambda: not is_running(child))
