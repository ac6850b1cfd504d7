"""The addresses by which other machines reach this one, as its own tables have them: nobody is asked."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct

EVERYWHERE = ("0.0.0.0", "::")
"""Addresses that a server is bound to if it listens on every network."""

_ASK_ADDRESS = 0x8915  # SIOCGIFADDR of Linux
_OUTSIDE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))  # of documents: nobody has them


def lan_addresses() -> list[str]:
    """Return the addresses of this machine's networks, the one of its usual way out first; maybe none."""
    found = dict.fromkeys([*_ways_out(), *_of_interfaces()])
    return [address for address in found if _is_of_lan(address)]


def _ways_out() -> list[str]:
    """Return from which address this machine would send; a UDP socket that sends nothing tells."""
    found = []
    for family, target in _OUTSIDE:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((target, 9))
            found.append(str(asked.getsockname()[0]))
    return found


def _of_interfaces() -> list[str]:
    """Return the IPv4 address of each network, where the system lists them."""
    try:
        import fcntl

        names = [name for _, name in socket.if_nameindex()]
    except (ModuleNotFoundError, AttributeError, OSError):  # Windows
        return []
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for name in names:
            with contextlib.suppress(OSError, UnicodeError):
                request = struct.pack("256s", name.encode()[:15])
                answer = fcntl.ioctl(asked.fileno(), _ASK_ADDRESS, request)
                found.append(socket.inet_ntoa(answer[20:24]))
    return found


def _is_of_lan(address: str) -> bool:
    known = ipaddress.ip_address(address)
    return not (known.is_loopback or known.is_unspecified or known.is_link_local)
