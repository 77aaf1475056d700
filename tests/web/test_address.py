"""Where it is listened, and what that may be called."""

from __future__ import annotations

import pytest

from lineal.errors import UsageError
from lineal_web.address import Address, hosts_of


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8420", "127.0.0.1", 8420),
        ("localhost:0", "127.0.0.1", 0),
        ("[::1]:80", "::1", 80),
        ("0.0.0.0:8420", "0.0.0.0", 8420),
    ],
)
def test_an_address_is_an_ip_address_and_a_port(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8420",
        ":8420",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "example.org:80",
        "::1:80",
        "[::1]",
        "*:80",
        "127.0.0.1:8420/",
        "127.0.0.1:8420\n",
        "127.1:80",
        "[127.0.0.1:80",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no address to listen on"):
        Address.parse(text)


def test_only_loopback_is_this_machines_own() -> None:
    assert [
        Address(host, 1).is_loopback
        for host in ("127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "10.0.0.1")
    ] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


def test_it_is_called_by_its_address_by_localhost_where_that_leads_here_and_by_given_names() -> None:
    assert hosts_of(Address("10.0.0.1", 8420), []) == {"10.0.0.1:8420"}
    assert hosts_of(Address("::", 1), []) == {"[::]:1", "[::1]:1", "localhost:1"}
    assert hosts_of(Address("10.0.0.1", 80), []) == {"10.0.0.1:80", "10.0.0.1"}
    assert hosts_of(Address("10.0.0.1", 1), ["Lineal", "ml.example.org:443"]) == {
        "10.0.0.1:1",
        "lineal",
        "lineal:1",
        "ml.example.org:443",
    }


@pytest.mark.parametrize("name", ["", "*", "http://ml.example.org", "ml.example.org/", "a b", "a:b", "-a"])
def test_a_name_that_no_host_has_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no host's name"):
        hosts_of(Address("127.0.0.1", 1), [name])
