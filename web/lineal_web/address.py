"""Where it is listened, and by which names that may be called."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from lineal.errors import UsageError

_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/\s]+)):([0-9]{1,5})")
_NAME = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?"
)


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address of this machine, and a port: 0 for any that is free."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """From ``127.0.0.1:8420``, ``localhost:8420`` or ``[::1]:8420``; `UsageError` for anything else.

        >>> Address.parse("localhost:8420")
        Address(host='127.0.0.1', port=8420)
        """
        match = _ADDRESS.fullmatch(text)
        host, port = (match[1] or match[2], int(match[3])) if match is not None else ("", 0)
        try:
            # A name may mean another address tomorrow.
            found = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        except ValueError:
            found = None
        if found is None or port > 65535:
            raise UsageError(
                f"{text!r} is no address to listen on",
                "Write an IP address of this machine and a port: 127.0.0.1:8420, or 0.0.0.0:8420 for all of them.",
            )
        return cls(str(found), port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback


def hosts_of(address: Address, names: Iterable[str]) -> frozenset[str]:
    """What the header ``Host`` may say of who listens on ``address``: nothing else was meant for it.

    ``names`` are what it is called beyond that, with a port or with any of none and its own. Browsers are made to ask for
    127.0.0.1 by names of others; what they write into ``Host`` tells.

    >>> sorted(hosts_of(Address("127.0.0.1", 8420), ["ml.example.org"]))
    ['127.0.0.1:8420', 'localhost:8420', 'ml.example.org', 'ml.example.org:8420']
    """
    own = {str(address)}
    if address.is_loopback or ipaddress.ip_address(address.host).is_unspecified:
        loopback = "[::1]" if ":" in address.host else "127.0.0.1"
        own |= {f"{loopback}:{address.port}", f"localhost:{address.port}"}
    if address.port == 80:
        own |= {host.removesuffix(":80") for host in own}
    for name in names:
        if _NAME.fullmatch(name) is None:
            raise UsageError(f"{name!r} is no host's name", "Write it like ml.example.org or lineal:8420.")
        has_port = re.search(r":[0-9]+$", name) is not None and not name.endswith("]")
        own |= {name.lower()} if has_port else {name.lower(), f"{name.lower()}:{address.port}"}
    return frozenset(own)
