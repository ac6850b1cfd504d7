"""Which addresses a served page has, and which are told."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import closing

import pytest
from starlette.applications import Starlette

from detic_crop.web import connections, server
from detic_crop.web.lan import lan_addresses


def test_addresses_are_those_of_a_network() -> None:
    for address in lan_addresses():
        known = ipaddress.ip_address(address)
        assert not known.is_loopback
        assert not known.is_unspecified
        family = socket.AF_INET if known.version == 4 else socket.AF_INET6
        with socket.socket(
            family, socket.SOCK_STREAM
        ) as ours:  # only an address of this machine can be bound
            ours.bind((address, 0))


def test_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name is looked up, and nothing is sent."""

    def fail(*arguments: object) -> None:
        raise AssertionError("the network was asked")

    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection"):
        monkeypatch.setattr(socket, name, fail)
    lan_addresses()


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("0.0.0.0", ["localhost", "192.0.2.7", "[2001:db8::7]"]),
    ],
)
def test_each_address_is_told(host: str, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "lan_addresses", lambda: ["192.0.2.7", "2001:db8::7"])
    monkeypatch.setattr(connections.Server, "run", lambda self, sockets: None)
    addresses: list[str] = []
    with closing(server.listen(host, 0)) as listener:
        port = listener.getsockname()[1]
        server.serve(Starlette(), "review", listener, host, False, addresses.append)
    assert [address.partition("/?token=")[0] for address in addresses] == [f"http://{n}:{port}" for n in told]
    assert len({address.partition("=")[2] for address in addresses}) == 1
