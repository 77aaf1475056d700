"""Sends what apprise knows a service for. Imported where an address has none of Lineal's own schemes, and never by a run.

apprise makes its connections itself. Each one that this process makes meanwhile is looked at when it is made, whatever name led there:
also those that a redirect or a proxy asks for.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import apprise

from lineal.alerts.channels import Relayed, UnusableAlert, is_public, where
from lineal.alerts.message import hide

_SHORTEST_TOKEN = 4


def relay(relayed: Relayed) -> str | None:
    """Send it; what was the matter, or None. `UnusableAlert` for an address that apprise does not know, or that leads to a private one."""
    service = find_service(relayed)
    service.redirects = False
    kind = apprise.NotifyType.SUCCESS if relayed.is_good else apprise.NotifyType.FAILURE
    log, watched = _Log(), _Watched(relayed.allow_local)
    logger = logging.getLogger("apprise")
    logger.addHandler(log)
    try:
        with _watching(watched):
            arrived = service.notify(
                body=relayed.text,
                title=relayed.title,
                notify_type=kind,
                body_format=apprise.NotifyFormat.TEXT,
            )
    finally:
        logger.removeHandler(log)
    if watched.refused:
        raise UnusableAlert(
            f"{where(relayed.url)} leads to {watched.refused[0]}, which is in a private network; allow_local = true allows it"
        )
    if arrived:
        return None
    tokens = [part for part in re.split(r"[/:@?&=,]+", relayed.url) if len(part) >= _SHORTEST_TOKEN]
    return hide(log.said[0], tokens) if log.said else "apprise could not send it, and does not say why"


def find_service(relayed: Relayed) -> apprise.NotifyBase:
    """What apprise sends with; `UnusableAlert` for an address that it does not know."""
    service = apprise.Apprise.instantiate(relayed.url)
    if not isinstance(service, apprise.NotifyBase):
        raise UnusableAlert(f"{where(relayed.url)} is no address that Lineal or apprise knows")
    return service


class _Log(logging.Handler):
    """What apprise warns of, in the order in which it does."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@dataclass
class _Watched:
    allow_local: bool
    refused: list[str] = field(default_factory=list)


_watched: list[_Watched] = []


@contextmanager
def _watching(watched: _Watched) -> Iterator[None]:
    """Refuse connections to addresses that are not the world's, where they are not allowed."""
    if not _hooked:
        sys.addaudithook(_look)
        _hooked.append(True)
    _watched.append(watched)
    try:
        yield
    finally:
        _watched.remove(watched)


_hooked: list[bool] = []  # a hook stays as long as the process


def _look(event: str, given: tuple[object, ...]) -> None:
    if not _watched or event not in ("socket.connect", "socket.sendto"):
        return
    place = given[1]
    host = str(place[0]) if isinstance(place, tuple) else str(place)  # a path: of a socket of this machine
    for watched in _watched:
        if not watched.allow_local and not _is_worlds(host):
            watched.refused.append(host)
            raise ConnectionRefusedError(f"{host} is in a private network")


def _is_worlds(host: str) -> bool:
    try:
        return is_public(host)
    except ValueError:
        return False  # a name that was not looked up yet, or a path
