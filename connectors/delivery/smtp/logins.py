"""How a client proves who it is (RFC 4954): PLAIN, LOGIN, CRAM-MD5 and XOAUTH2."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Callable, Generator, Mapping, Set
from dataclasses import dataclass, field
from types import MappingProxyType

_MAX_COMMAND = 510  # octets before CRLF: RFC 5321, section 4.5.3.1.4

#: Yields the lines to send without CRLF, takes the decoded challenge after each.
Conversation = Generator[bytes, bytes, None]


@dataclass(frozen=True)
class Login:
    """`secret` is a password, or with `is_token` an OAuth 2.0 access token."""

    username: str
    secret: str = field(repr=False)
    is_token: bool = False


def _plain(login: Login) -> Conversation:
    """RFC 4616. Raises ValueError: NUL separates the parts."""
    if "\0" in login.username + login.secret:
        raise ValueError("a NUL in a user name or password")
    return _first(b"PLAIN", f"\0{login.username}\0{login.secret}".encode())


def _login(login: Login) -> Conversation:
    """draft-murchison-sasl-login: user name and password are asked for in this order."""
    yield b"AUTH LOGIN"
    yield b64encode(login.username.encode())
    yield b64encode(login.secret.encode())


def _cram_md5(login: Login) -> Conversation:
    """RFC 2195."""
    challenge = yield b"AUTH CRAM-MD5"
    digest = hmac.new(login.secret.encode(), challenge, "md5").hexdigest()
    yield b64encode(f"{login.username} {digest}".encode())


def _xoauth2(login: Login) -> Conversation:
    """developers.google.com/workspace/gmail/imap/xoauth2-protocol: a refusal comes as a challenge,
    and the reply to it when it is answered with an empty line.
    """
    yield from _first(
        b"XOAUTH2", f"user={login.username}\x01auth=Bearer {login.secret}\x01\x01".encode()
    )
    yield b""


def _first(mechanism: bytes, response: bytes) -> Conversation:
    """The response with the command, or after an empty challenge when a line cannot hold both."""
    command, encoded = b"AUTH " + mechanism, b64encode(response)
    if len(command) + 1 + len(encoded) <= _MAX_COMMAND:
        yield command + b" " + encoded
    else:
        yield command
        yield encoded


#: In order of preference; inside of TLS a password needs no digest.
_PASSWORDS: Mapping[str, Callable[[Login], Conversation]] = MappingProxyType(
    {"PLAIN": _plain, "LOGIN": _login, "CRAM-MD5": _cram_md5}
)
_TOKENS: Mapping[str, Callable[[Login], Conversation]] = MappingProxyType({"XOAUTH2": _xoauth2})


def conversation(login: Login, offered: Set[str]) -> Conversation | None:
    """Return the conversation of the first mechanism that the server offers; None when it offers
    none for this kind of secret. Raises ValueError for a secret that cannot be sent.
    """
    known = _TOKENS if login.is_token else _PASSWORDS
    return next((talk(login) for name, talk in known.items() if name in offered), None)
