"""Where a message goes, and what is sent there: an address and a message to a request, without sending anything."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from lineal.alerts.message import further, given, wants_retry
from lineal.alerts.rules import Alert
from lineal.errors import UsageError


@dataclass(frozen=True, slots=True)
class Webhook:
    """One POST of ``body`` to ``host``; ``path`` has the query."""

    host: str
    port: int
    path: str
    tls: bool
    body: bytes
    headers: Mapping[str, str]
    allow_local: bool = False


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to ``recipients`` by the server ``host``; ``tls`` from the first byte, else by STARTTLS where it is offered."""

    host: str
    port: int
    tls: bool
    user: str
    password: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    text: str
    message_id: str
    at: str


@dataclass(frozen=True, slots=True)
class Command:
    """A program with its arguments; the message is its standard input, and its main facts are variables."""

    words: tuple[str, ...]
    standard_input: bytes
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Relayed:
    """What apprise is to send to ``url``, in its own way (`lineal.alerts.apprise`); ``is_good`` news or bad."""

    url: str
    title: str
    text: str
    is_good: bool
    allow_local: bool


class UnusableAlert(UsageError):
    """An alert that can never be delivered as it is configured."""

    kind = "configuration"


class VariableNotSet(UsageError):
    """An alert names a variable that this process does not have; another may."""

    kind = "configuration"


def address(
    alert: Alert, message: Mapping[str, Any], environ: Mapping[str, str], now: int
) -> Webhook | Mail | Command | Relayed:
    """What has to be done so that ``message`` (with its id) arrives. ``now`` is in seconds since 1970.

    `UnusableAlert` and `VariableNotSet` where that cannot be said.
    """
    if alert.to.startswith("command:"):
        return _command(alert, message, environ)
    to = _filled(alert.to, environ)
    scheme = to.partition(":")[0].lower()
    match scheme:
        case "https" | "http":
            return _webhook(to, alert, message["id"], message, environ, now)
        case "slack":
            document = {"text": _for_slack(message)}
            return _webhook(_slack(to), alert, message["id"], document, environ, now)
        case "pagerduty":
            document = _for_pagerduty(to.partition("://")[2].strip("/"), message)
            return _webhook(_PAGERDUTY, alert, message["id"], document, environ, now)
        case "mailto":
            return _mail(to, alert, message, environ)
    if _OTHER.match(to):
        is_good = message["event"] in ("recovered", "test")
        return Relayed(to, message["subject"], message["text"], is_good, alert.allow_local)
    raise UnusableAlert(
        f"{where(to)} is no address that an alert can go to",
        "Use https://…, mailto:team@example.org, slack://…, pagerduty://…, command:./notify.sh, or what apprise knows.",
    )


_OTHER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.")


def where(to: str) -> str:
    """The address as it may be shown: what follows a server's name is often a secret.

    >>> where("https://hooks.example/T0/secret"), where("mailto:a@example.org"), where("slack://T/B/X")
    ('https://hooks.example/…', 'mailto:a@example.org', 'slack://…')
    """
    scheme, separator, rest = to.partition("://")
    if not separator:
        return to
    server = re.split(r"[/?#]", rest.rpartition("@")[2])[0] if scheme.lower() in ("http", "https") else ""
    return f"{scheme}://{server}/…" if server else f"{scheme}://…"


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the world and not to this machine, this network or a cloud's own services.

    An address that only wraps an IPv4 address is what it wraps.

    >>> [is_public(text) for text in ("8.8.8.8", "169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::a00:1", "2606:4700::1")]
    [True, False, False, False, True]
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        wrapped = found.ipv4_mapped or found.sixtofour
        if wrapped is None and found in _NAT64:
            wrapped = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if wrapped is not None:
            return is_public(str(wrapped))
        if found.teredo is not None:
            return False
    return found.is_global and not found.is_multicast


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def signature(secret: str, body: bytes, now: int) -> str:
    """The value of ``Lineal-Signature``: HMAC-SHA256 over the time, a dot and the body.

    >>> signature("s", b"{}", 1)[:12]
    't=1,v1=b2536'
    """
    made = hmac.new(secret.encode(), b"%d.%b" % (now, body), hashlib.sha256)
    return f"t={now},v1={made.hexdigest()}"


# --- webhooks --------------------------------------------------------------------------------------

_PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"


def _webhook(
    url: str,
    alert: Alert,
    message_id: str,
    document: Mapping[str, Any],
    environ: Mapping[str, str],
    now: int,
) -> Webhook:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UnusableAlert(f"{where(url)} is no URL: {error}") from None
    if not host or not url.isascii() or not url.isprintable() or " " in url:
        raise UnusableAlert(f"{where(url)} is no URL that can be asked for")
    if parts.username is not None:
        raise UnusableAlert(
            f"{where(url)} has a user in it", "Use an address with a token in its path, or a command."
        )
    tls = parts.scheme.lower() == "https"
    if not tls and not alert.allow_local:
        raise UnusableAlert(
            f"{where(url)} is not encrypted",
            "Use https://, or set allow_local = true for a server of your own.",
        )
    body = json.dumps(document, ensure_ascii=False).encode()
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "lineal",
        "Connection": "close",
        "Lineal-Message-Id": message_id,
        "Idempotency-Key": message_id,
    }
    if alert.secret:
        headers["Lineal-Signature"] = signature(_filled(alert.secret, environ), body, now)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Webhook(host, port or (443 if tls else 80), path, tls, body, headers, alert.allow_local)


def _slack(to: str) -> str:
    """``slack://T…/B…/X…``, the three parts of an incoming webhook, as its URL."""
    parts = [part for part in to.partition("://")[2].split("/") if part]
    if len(parts) != 3:
        raise UnusableAlert(
            "slack:// takes the three parts of an incoming webhook, slack://T…/B…/X…",
            "They follow https://hooks.slack.com/services/ in the address that Slack shows.",
        )
    return "https://hooks.slack.com/services/" + "/".join(parts)


def _for_slack(message: Mapping[str, Any]) -> str:
    """The message as Slack sets it: the subject bold, commands and what a program wrote in a fixed width, the rest as lines.

    Slack's own three characters are escaped; a name such as ``<!channel>`` calls nobody.
    """
    lines = [f"*{_escaped(message['subject']).replace('*', '∗')}*", *map(_escaped, message["notes"])]
    for one in message["failed"]:
        lines.append(f"{_code(one['stage'])} {_escaped(one['type'])}: {_escaped(one['message'])}")
        lines += [f"hint: {_escaped(one['hint'])}"] if one["hint"] else []
        if one["log"]:
            log = _escaped("\n".join(one["log"])).replace("`", "'")
            lines.append(f"```\n{log}\n```")
    lines += map(_escaped, further(message))
    facts = {"run": message["run_id"], "parameters": given(message), "host": message["host"]}
    lines.append(" · ".join(f"{name} {_escaped(value)}" for name, value in facts.items() if value))
    if message["link"]:
        lines.append(f"<{_escaped(message['link']).replace('|', '%7C')}|Show the run>")
    lines += [f"look: {' or '.join(map(_code, message['look']))}"] if message["look"] else []
    lines += [f"retry: {_code(message['retry'])}"] if wants_retry(message) else []
    return "\n".join(line for line in lines if line)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(text: str) -> str:
    return "`" + _escaped(text).replace("`", "'") + "`"


_WARNINGS = ("retry", "slow", "schema_drift", "nondeterminism", "late", "held_back")


def _for_pagerduty(routing_key: str, message: Mapping[str, Any]) -> dict[str, Any]:
    """An event of PagerDuty's Events API, version 2: trouble opens an incident, and its end closes the same one."""
    if not routing_key:
        raise UnusableAlert("pagerduty:// takes the integration's key", "Write pagerduty://${PAGERDUTY_KEY}.")
    event = message["event"]
    return {
        "routing_key": routing_key,
        "event_action": "resolve" if event == "recovered" else "trigger",
        "dedup_key": message["key"],
        "links": [{"href": message["link"], "text": "the run"}] if message["link"] else [],
        "payload": {
            "summary": message["subject"],
            "source": message["host"],
            "severity": "info" if event == "test" else "warning" if event in _WARNINGS else "error",
            "custom_details": dict(message),
        },
    }


# --- mail ------------------------------------------------------------------------------------------


def _mail(to: str, alert: Alert, message: Mapping[str, Any], environ: Mapping[str, str]) -> Mail:
    recipients = tuple(
        unquote(one).strip() for one in to.partition(":")[2].partition("?")[0].split(",") if one.strip()
    )
    wrong = [one for one in recipients if _MAILBOX.fullmatch(one) is None]
    if wrong or not recipients:
        raise UnusableAlert(f"{to} names no mailbox", "Write mailto:team@example.org.")
    server = _filled(alert.smtp, environ) or environ.get("LINEAL_SMTP_URL", "")
    if not server:
        raise VariableNotSet(
            "there is no mail server to send with",
            'Set smtp = "smtp://host:587" or the variable LINEAL_SMTP_URL.',
        )
    try:
        parts = urlsplit(server)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UnusableAlert(f"the mail server's URL is none: {error}") from None
    if parts.scheme not in ("smtp", "smtps") or not host:
        raise UnusableAlert("the mail server's URL has to be smtp://host:port or smtps://host:port")
    tls = parts.scheme == "smtps"
    user = environ.get("LINEAL_SMTP_USER") or unquote(parts.username or "")
    password = environ.get("LINEAL_SMTP_PASSWORD") or unquote(parts.password or "")
    sender = alert.sender or (user if _MAILBOX.fullmatch(user) else f"lineal@{_domain(message['host'])}")
    return Mail(
        host,
        port or (465 if tls else 587),
        tls,
        user,
        password,
        sender,
        recipients,
        message["subject"],
        message["text"],
        f"<{message['id']}@{_domain(message['host'])}>",
        message["at"],
    )


_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}")


def _domain(host: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", host).strip(".-") or "localhost"


# --- commands --------------------------------------------------------------------------------------


def _command(alert: Alert, message: Mapping[str, Any], environ: Mapping[str, str]) -> Command:
    try:
        words = tuple(_filled(word, environ) for word in shlex.split(alert.to.partition(":")[2]))
    except ValueError as error:
        raise UnusableAlert(f"{alert.to} is no command: {error}") from None
    if not words:
        raise UnusableAlert("command: names no command", "Write command:./notify.sh.")
    facts = ("event", "state", "target", "run_id", "subject")
    variables = {f"LINEAL_{name.upper()}": str(message[name] or "") for name in facts}
    variables["LINEAL_MESSAGE_ID"] = message["id"]
    return Command(words, json.dumps(message, ensure_ascii=False).encode(), variables)


# --- variables -------------------------------------------------------------------------------------


def _filled(text: str, environ: Mapping[str, str]) -> str:
    """``text`` with the values of the variables that it names as ``${NAME}``."""

    def value(found: re.Match[str]) -> str:
        if not environ.get(found[1]):
            raise VariableNotSet(
                f"the variable {found[1]} is not set", "An alert names it; set it where runs are started."
            )
        return environ[found[1]]

    return _VARIABLE.sub(value, text)


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
