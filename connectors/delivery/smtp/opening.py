"""Opens a session with a mail server: reached, greeted, secured, logged in."""

from __future__ import annotations

import asyncio
import binascii
import re
import ssl
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from connectors.delivery.smtp.connection import Connection, SessionError, said
from connectors.delivery.smtp.logins import Login, conversation
from connectors.delivery.smtp.session import Patience, Session

_NAME = re.compile(r"[A-Za-z0-9.:\[\]-]+")


@dataclass(frozen=True)
class Relay:
    """A mail server, and how to get in. `name` is this client's in EHLO: a domain name or an
    address literal. With `tls` the server's certificate has to satisfy `context`, and a server
    that does not offer STARTTLS is told nothing more. Without `tls` the secret travels in clear.
    `address` is connected to in place of those that the host's name has by now.
    """

    host: str
    port: int
    name: str
    tls: Literal["implicit", "starttls", "none"] = "starttls"
    login: Login | None = None
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context, repr=False)
    patience: Patience = field(default_factory=Patience)
    address: str = ""


async def open_session(relay: Relay) -> Session:
    """Connect, secure the connection and log in. Raises SessionError, and ValueError for a name or
    a secret that cannot be sent.
    """
    if not _NAME.fullmatch(relay.name):
        raise ValueError(f"{relay.name!r} is no name for EHLO")
    loop, is_wrapped = asyncio.get_running_loop(), relay.tls == "implicit"
    session = Session(relay.patience)
    try:
        async with asyncio.timeout(relay.patience.connect):
            await loop.create_connection(
                lambda: session.connection,
                relay.address or relay.host,
                relay.port,
                ssl=relay.context if is_wrapped else None,
                server_hostname=relay.host if is_wrapped else None,
            )
    # TimeoutError and ssl.SSLError are OSErrors; UnicodeError: a host that no name server can know
    except (OSError, UnicodeError) as error:
        raise SessionError(f"{relay.host}:{relay.port} is not reached: {said(error)}") from error
    try:
        session.begin(await _offers(session.connection, relay))
    except BaseException:
        session.abort()
        raise
    return session


async def _offers(connection: Connection, relay: Relay) -> Mapping[str, str]:
    """The extensions that the server offers in the end."""
    patience = relay.patience
    greeting = await connection.greeting()
    if greeting.code != 220:
        raise SessionError("the server takes no mail", greeting)
    offers = await _greet(connection, relay)
    if relay.tls == "starttls":
        if "STARTTLS" not in offers:
            raise SessionError("the server does not offer STARTTLS")
        await connection.start_tls(relay.context, relay.host, patience.connect)
        offers = await _greet(connection, relay)
    if relay.login is not None:
        await _log_in(connection, relay.login, offers.get("AUTH", ""), patience.command)
    return offers


async def _greet(connection: Connection, relay: Relay) -> Mapping[str, str]:
    name, seconds = relay.name.encode(), relay.patience.command
    reply = await connection.command(b"EHLO " + name, seconds)
    if reply.code == 250:
        words = (line.upper().partition(" ") for line in reply.text.split("\n")[1:])
        return {word: parameters for word, _, parameters in words if word}
    if reply.code in (500, 502):  # a server older than RFC 1869
        reply = await connection.command(b"HELO " + name, seconds)
    if reply.code != 250:
        raise SessionError("the server refuses the greeting", reply)
    return {}


async def _log_in(connection: Connection, login: Login, offered: str, seconds: float) -> None:
    talk = conversation(login, set(offered.split()))
    if talk is None:
        kind = "an access token" if login.is_token else "a password"
        raise SessionError(f"the server offers no login with {kind}")
    reply = await connection.command(next(talk), seconds)
    while reply.code == 334:
        try:
            line = talk.send(b64decode(reply.text, validate=True))
        except (StopIteration, binascii.Error):
            break
        reply = await connection.command(line, seconds)
    if reply.code != 235:
        raise SessionError("the server refuses the login", reply)
