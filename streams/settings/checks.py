"""The rules of single values, and the sentences in which an operator reads what is wrong."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError


def sentences(wrong: ValidationError) -> list[str]:
    """The errors, one sentence a setting, without the values that were given."""
    found = []
    for error in wrong.errors(include_input=False):
        variable = "".join(f"CAMPAIGNS_{str(part).upper()}: " for part in error["loc"][:1])
        said = error["msg"].removeprefix("Value error, ")
        found.append(said if said.startswith("CAMPAIGNS_") else variable + said)
    return found


def listed(value: object) -> object:
    """The parts of a text with commas; anything else as it is."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def strong_or_none(key: SecretStr) -> SecretStr:
    """The key when it is long enough, or empty. Raises ValueError."""
    text = key.get_secret_value()
    if text and not 16 <= len(bytes.fromhex(text)) <= 64:
        raise ValueError("a key is 16 to 64 bytes in hexadecimal")
    return key


def networks(value: str) -> str:
    """The text when it is empty or names networks, with commas. Raises ValueError."""
    for network in value.split(",") if value else ():
        ip_network(network.strip())  # a ValueError names it
    return value


def servers_of_dns(value: str) -> str:
    """The text when it is empty or names servers by their addresses, with commas. Raises
    ValueError.
    """
    addressed(value)
    return value


def addressed(servers: str) -> list[tuple[str, int]]:
    """(address, port) of each server; port 53 where none is given. IPv6 with a port stands in
    brackets. Raises ValueError, also for a name: to find it would need a server.
    """
    found = []
    for server in servers.split(",") if servers else ():
        text = server.strip()
        try:
            found.append((str(ip_address(text)), 53))
            continue
        except ValueError:
            host, _, port = text.rpartition(":")
        try:
            address = str(ip_address(host.removeprefix("[").removesuffix("]")))
            if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
                raise ValueError(port)
        except ValueError as error:
            raise ValueError(
                "must be addresses such as 9.9.9.9, 127.0.0.1:5353 or [2620:fe::fe]:53"
            ) from error
        found.append((address, int(port)))
    return found


def confidential(url: str) -> str:
    """The URL when it is empty or a secret may be sent there. Raises ValueError."""
    if url and not is_private(url):
        raise ValueError("a secret is sent there: it must be an https:// URL")
    return url


def is_private(url: str) -> bool:
    """Whether no other machine can read or change what the URL answers: TLS, or loopback."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, by its name or its address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
