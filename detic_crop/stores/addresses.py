"""Addresses such as ``s3://bucket/photos``: what their parts are, and which of them are secret."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote, urljoin

_WEB = ("http", "https")


def scheme_of(text: str) -> str:
    """Return ``s3`` of ``s3://bucket/photos``; empty for a path."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text)
    return found[1].lower() if found else ""


def is_address(text: str) -> bool:
    """Return whether this names something outside this machine's file system; ``file://`` does not."""
    return scheme_of(text) not in ("", "file")


def is_web(address: str) -> bool:
    """Return whether this is an address of the web, which can be read but not listed or written."""
    return scheme_of(address) in _WEB


def redact(address: str) -> str:
    """Return the address without a signature in its query or a password before its host."""
    return f"{scheme_of(address)}://{_without_secrets(address)}"


def path_of(address: str) -> str:
    """Return bucket or host, and path, percent-decoded: no scheme, no query, no secrets."""
    path = _without_secrets(address)
    return unquote(path, errors="surrogateescape") if is_web(address) else path


def join(address: str, name: str) -> str:
    """Return the address of `name` below an address."""
    return f"{address.rstrip('/')}/{name}" if name else address


def resolve(address: str, relative: str) -> str:
    """Return the address that a relative path means in a list at `address`."""
    if is_web(address):
        return urljoin(address, relative)
    above = path_of(address).rpartition("/")[0]
    return f"{scheme_of(address)}://{posixpath.normpath(f'{above}/{relative}')}"


def _without_secrets(address: str) -> str:
    """Return what follows ``://``. urllib is not used: it refuses some addresses that a list may hold."""
    rest = address.partition("://")[2]
    if is_web(address):  # elsewhere both characters may stand in the name of an object
        rest = re.split("[?#]", rest, maxsplit=1)[0]
    host, slash, path = rest.partition("/")
    before, at, name = host.rpartition("@")
    if at and (is_web(address) or ":" in before):  # Azure's `container@account` is not a secret
        host = name
    return host + slash + path
