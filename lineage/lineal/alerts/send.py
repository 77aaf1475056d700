"""Sends one message. Imported by the deliverer and by `lineal alerts test`, never by a run.

A message is sent in the main thread and within a time limit for all of it, because a server may answer
one byte at a time, and a limit for each read would never pass.
"""

from __future__ import annotations

import http.client
import os
import signal
import smtplib
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import IO
from urllib.parse import quote

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
from lineal.alerts.message import Message, one_line
from lineal.alerts.rules import Alert

NETWORK_SECONDS = 10.0
COMMAND_SECONDS = 60.0
_ANSWER_READ_BYTES = 2048
_MAIL_READ_BYTES = 64 << 10


class Undelivered(Exception):
    """A message did not arrive, or nobody knows whether it did; ``for_good`` says that trying again cannot help.

    ``left`` is the address of those who have not got it, where others have.
    """

    def __init__(self, problem: str, *, for_good: bool = False, left: str | None = None) -> None:
        super().__init__(problem)
        self.problem, self.for_good, self.left = one_line(problem), for_good, left


def send(alert: Alert, message: Message, *, root: Path, environ: Mapping[str, str], now: float) -> None:
    """Send ``message`` to where ``alert`` leads; `Undelivered` unless it was accepted. Commands run in ``root``."""
    try:
        match address(alert, message, environ, int(now)):
            case Webhook() as webhook:
                with _within(NETWORK_SECONDS):
                    _post(webhook)
            case Mail() as mail:
                with _within(NETWORK_SECONDS):
                    _mail(mail)
            case Command() as command:
                _run(command, root, environ)
            case Relayed() as relayed:
                _relay(relayed)
    except VariableNotSet as error:
        raise Undelivered(str(error)) from None
    except UnusableAlert as error:
        raise Undelivered(str(error), for_good=True) from None
    except ssl.SSLCertVerificationError as error:
        raise Undelivered(
            f"{where(alert.to)}: its certificate is not valid: {error.verify_message}"
        ) from None
    except (OSError, http.client.HTTPException, smtplib.SMTPException) as error:
        raise Undelivered(f"{where(alert.to)}: {error or type(error).__name__}") from None


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Have what takes longer end with TimeoutError, wherever it waits."""

    def expire(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"no answer within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again and again: leaving politely may wait as well
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- webhooks --------------------------------------------------------------------------------------


def _post(webhook: Webhook) -> None:
    connection = http.client.HTTPConnection(webhook.host, webhook.port, timeout=NETWORK_SECONDS)
    connection.sock = _connect(webhook)
    try:
        connection.request("POST", webhook.path, body=webhook.body, headers=dict(webhook.headers))
        answer = connection.getresponse()
        if 200 <= answer.status < 300:
            return  # what else it has to say may take for ever
        said = answer.read(_ANSWER_READ_BYTES).decode(errors="replace").strip()
    finally:
        connection.close()
    told = f"{webhook.host} answers {answer.status} {one_line(said or answer.reason, 200)}"
    if 300 <= answer.status < 400:
        raise Undelivered(f"{told}; redirects are not followed", for_good=True)
    raise Undelivered(told, for_good=400 <= answer.status < 500 and answer.status not in _MAY_PASS)


_MAY_PASS = (408, 409, 423, 425, 429)


def _connect(webhook: Webhook) -> socket.socket:
    """A connection to an address that was looked at: a name may lead elsewhere each time it is asked for."""
    found = socket.getaddrinfo(webhook.host, webhook.port, type=socket.SOCK_STREAM)
    allowed = [one for one in found if webhook.allow_local or is_public(str(one[4][0]))]
    if not allowed:
        raise Undelivered(
            f"{webhook.host} is {found[0][4][0]}, which is in a private network; allow_local = true allows it",
            for_good=True,
        )
    problem: OSError | None = None
    for family, kind, protocol, _, place in allowed:
        plain = socket.socket(family, kind, protocol)
        try:
            plain.settimeout(NETWORK_SECONDS)
            plain.connect(place)
            if not webhook.tls:
                return plain
            return ssl.create_default_context().wrap_socket(plain, server_hostname=webhook.host)
        except OSError as error:
            plain.close()
            if isinstance(error, TimeoutError):  # the time for all of it is over
                raise
            problem = error
    assert problem is not None
    raise problem


# --- mail ------------------------------------------------------------------------------------------


def _mail(mail: Mail) -> None:
    context = ssl.create_default_context()
    server: smtplib.SMTP
    if mail.tls:
        server = _TLSServer(mail.host, mail.port, timeout=NETWORK_SECONDS, context=context)
    else:
        server = _Server(mail.host, mail.port, timeout=NETWORK_SECONDS)
    with server:
        server.ehlo()
        if not mail.tls and server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
        elif not mail.tls and mail.password:
            raise Undelivered(
                f"{mail.host} offers no encryption, and gets no password without it", for_good=True
            )
        if mail.password:
            server.login(mail.user, mail.password)
        try:
            refused = server.send_message(_email(mail), mail.sender, list(mail.recipients))
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
        if refused:
            code, said = next(iter(refused.values()))
            told = f"{mail.host} refuses {', '.join(refused)}: {code} {said.decode(errors='replace')}"
            for_good = all(500 <= code < 600 for code, _ in refused.values())
            left = "mailto:" + ",".join(quote(one, safe="@") for one in refused)  # the others have it
            raise Undelivered(told, for_good=for_good, left=left)


class _Bounded:
    """What a mail server says, up to a bound: smtplib would gather an answer without end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._left = file, _MAIL_READ_BYTES

    def readline(self, limit: int) -> bytes:
        line = self._file.readline(limit)
        self._left -= len(line)
        if self._left < 0:
            raise OSError("the mail server does not stop talking")
        return line

    def close(self) -> None:
        self._file.close()


class _Server(smtplib.SMTP):
    def getreply(self) -> tuple[int, bytes]:
        if self.file is None:
            assert self.sock is not None
            self.file = _Bounded(self.sock.makefile("rb"))
        return super().getreply()


class _TLSServer(_Server, smtplib.SMTP_SSL):
    pass


def _email(mail: Mail) -> EmailMessage:
    email = EmailMessage()
    email["From"], email["To"], email["Subject"] = mail.sender, ", ".join(mail.recipients), mail.subject
    email["Date"] = format_datetime(datetime.fromisoformat(mail.at))
    email["Message-ID"] = mail.message_id
    email["Auto-Submitted"] = "auto-generated"
    email.set_content(mail.text)
    return email


# --- commands --------------------------------------------------------------------------------------


def _run(command: Command, root: Path, environ: Mapping[str, str]) -> None:
    process = subprocess.Popen(
        command.words,
        cwd=root,
        env={**environ, **command.variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.communicate(command.standard_input, timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        raise Undelivered(f"{command.words[0]} takes longer than {COMMAND_SECONDS:g} s") from None
    finally:
        with suppress(ProcessLookupError, PermissionError):  # whatever it started ends with it
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode != 0:
        raise Undelivered(f"{command.words[0]} ended with {process.returncode}")


# --- all others ------------------------------------------------------------------------------------


def _relay(relayed: Relayed) -> None:
    check_relayed(relayed)
    from lineal.alerts.apprise import relay

    with _within(NETWORK_SECONDS):
        problem = relay(relayed)
    if problem is not None:
        raise Undelivered(f"{where(relayed.url)}: {problem}")


def check_relayed(relayed: Relayed) -> None:
    """`UnusableAlert` where apprise is not installed, or does not know the address. Sends nothing."""
    if find_spec("apprise") is None:
        raise UnusableAlert(
            f"{where(relayed.url)} needs apprise, which is not installed here: pip install 'lineal[alerts]'"
        )
    from lineal.alerts.apprise import find_service

    find_service(relayed)
