"""The connection to NATS: nats-py's client with the servers, the identity and the TLS that the
settings name.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nkeys
from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import (
    ConnectionClosedError,
    Error,
    OutboundBufferLimitError,
    SecureConnWantedError,
    UnexpectedEOF,
)

from connectors.nats.failures import (
    CertificateWantedError,
    NatsDownError,
    NatsRefusedError,
    explained,
    lacks_permission,
)
from streams import silence
from streams.settings import Settings, nats_access

_STEP = 2  # seconds for each step of connecting to a server, and for closing
# A lost connection is tried again so often on every server of the cluster; then nats-py gives up,
# and the next connection starts from the servers in the settings.
_RETRIES, _PAUSE = 2, 0.2
_HEARTBEAT = 10  # seconds; two without an answer are a lost connection
_CREDENTIALS = re.compile(
    r"BEGIN NATS USER JWT-+\s+\S+\s.*BEGIN USER NKEY SEED-+\s+(\S+)\s", re.DOTALL
)


class NatsClient(Client):
    """nats-py's client with four corrections, each checked by a test on a real server, and a short
    way for many messages and for their answers.

    Where TLS is asked for, a server without it is refused before anything is sent: nats-py would go
    on in clear and send the password. After a failed handshake nats-py would wait for ever for the
    end of that connection. Bytes that were not written when a connection was lost can be forgotten:
    nats-py would write it to the next server before the stream there is known. A server that has
    fallen silent is noticed by the kernel: nats-py would wait for the answers to two of its pings.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        asked = nats_access.servers(settings.nats).ask_for_tls
        self._has_certificate = bool(settings.nats_certificate_file)
        self._needs_tls = bool(asked or settings.nats_ca_file or self._has_certificate)
        self.is_encrypted = self.asks_for_certificate = False
        self.faults = deque[Exception](maxlen=20)  # the latest that nats-py has met
        self._answers_to: Callable[[bytes, bytes], None] | None = None
        self._answers_id = -1  # of the subscription

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection:
            if isinstance(self._transport, TcpTransport) and self._transport._io_writer:
                silence.notice(self._transport._io_writer)
            if self._needs_tls and info.get("tls_available"):
                info["tls_required"] = True
            self.is_encrypted = bool(info.get("tls_required"))
            if self._needs_tls and not self.is_encrypted:
                raise SecureConnWantedError
            self.asks_for_certificate = self.is_encrypted and bool(info.get("tls_verify"))
            if self.asks_for_certificate and not self._has_certificate:
                raise CertificateWantedError
        await super()._process_info(info, initial_connection)

    async def note(self, error: Exception) -> None:
        """nats-py's `error_cb`; its own would log a traceback for every attempt."""
        self.faults.append(error)
        if not self.is_connected:
            self._cut()

    async def hear(self, subject: str, answered: Callable[[bytes, bytes], None]) -> None:
        """Call back with subject and payload of every message to the subject, at once: nats-py
        would make a message object, a queue and a task's turn of each, 8 us of CPU.
        """
        subscription = await self.subscribe(subject)
        self._answers_to, self._answers_id = answered, subscription._id

    async def publish_many(self, commands: bytes) -> None:
        """Give the commands of many messages (`HPUB …`) to the socket as one piece of bytes.

        Raises what `publish` raises. The caller has checked subjects, headers and sizes.
        """
        if self.is_closed:
            raise ConnectionClosedError
        if not self.is_connected:
            raise OutboundBufferLimitError
        await self._send_command(commands)
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        if sid == self._answers_id and self._answers_to is not None:
            self._answers_to(subject, data)
        else:
            await super()._process_msg(sid, subject, reply, data, headers)

    def forget_unwritten(self) -> None:
        """Drop what has been published and not yet given to the socket."""
        self._pending = []
        self._pending_data_size = 0

    async def end(self) -> None:
        """Close, within seconds whatever the server does; what was not written is not sent."""
        self.forget_unwritten()
        closing = asyncio.ensure_future(self.close())
        await asyncio.wait([closing], timeout=_STEP)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)  # a broken one says so again: no news
        self._cut()

    def _cut(self) -> None:
        """Let go of the socket. TLS would wait half a minute for the server's goodbye, which one
        that refuses need not say, and would leave the socket to the garbage collector.
        """
        transport, self._transport = self._transport, None
        if isinstance(transport, TcpTransport) and transport._io_writer is not None:
            transport._io_writer.transport.abort()


def connect_options(settings: Settings) -> dict[str, Any]:
    """nats-py's arguments for `connect`. Raises NatsRefusedError when a file cannot be used."""
    return {
        "servers": list(nats_access.servers(settings.nats).urls),
        "name": f"{settings.topic_prefix}campaigns",
        **_identity(settings),
        "tls": _tls(settings),
        "connect_timeout": _STEP,
        "max_reconnect_attempts": _RETRIES,
        "reconnect_time_wait": _PAUSE,
        "ping_interval": _HEARTBEAT,
        # Nothing is published while there is no connection, and publishing waits for no socket:
        # the publisher bounds what is on its way.
        "pending_size": 0,
    }


async def connect(settings: Settings, **callbacks: Any) -> NatsClient:
    """Connect to a server that accepts this process; `callbacks` are nats-py's.

    Raises NatsRefusedError when none accepts it and one refuses for good, otherwise NatsDownError.
    """
    options, client = connect_options(settings), NatsClient(settings)
    try:
        await client.connect(error_cb=client.note, **options, **callbacks)
        if not client.is_connected:  # nats-py takes the end of the stream for a PONG
            raise UnexpectedEOF
    except (OSError, Error, TimeoutError, ValueError) as error:
        await client.end()
        raise explained(
            client.faults or [error], settings, asks_for_certificate=client.asks_for_certificate
        ) from error
    except BaseException:
        await client.end()
        raise
    client.faults.clear()
    return client


async def found(settings: Settings) -> str:
    """A sentence about the server that answers. Raises NatsDownError or NatsRefusedError."""
    client = await connect(settings)
    try:
        await client.jsm().account_info()
        version, url = client.connected_server_version, client.connected_url
        tls = "TLS" if client.is_encrypted else "no TLS"
        place = url.netloc if url is not None else "a server that has just gone"
        return f"nats-server {version.major}.{version.minor} at {place} with JetStream and {tls}"
    except Error as error:
        refused = lacks_permission(client.faults)
        raise refused or NatsDownError(f"JetStream does not answer: {error}") from error
    finally:
        await client.end()


def _identity(settings: Settings) -> dict[str, Any]:
    if path := settings.nats_credentials_file:
        _check_seed(nats_access.CREDENTIALS_FILE, path, _seed_of_credentials(path))
        return {"user_credentials": path}
    if path := settings.nats_nkey_file:
        _check_seed(nats_access.NKEY_FILE, path, _read(nats_access.NKEY_FILE, path))
        return {"nkeys_seed": path}
    in_url = nats_access.servers(settings.nats)
    if token := settings.nats_token.get_secret_value() or in_url.token:
        return {"token": token}
    if user := settings.nats_user or in_url.user:
        password = settings.nats_password.get_secret_value() or in_url.password
        return {"user": user, "password": password}
    return {}


def _tls(settings: Settings) -> ssl.SSLContext:
    """Verifies the server's certificate and its host name, always."""
    if authority := settings.nats_ca_file:
        _read(nats_access.CA_FILE, authority)
    try:
        context = ssl.create_default_context(cafile=authority or None)
    except ssl.SSLError as error:
        raise NatsRefusedError(
            f"{nats_access.CA_FILE}: {authority} holds no certificate in PEM."
        ) from error
    if certificate := settings.nats_certificate_file:
        _read(nats_access.CERTIFICATE_FILE, certificate)
        if key := settings.nats_key_file:
            _read(nats_access.KEY_FILE, key)
        try:
            context.load_cert_chain(certificate, key or None, password="")
        except ssl.SSLError as error:
            raise NatsRefusedError(
                f"{nats_access.CERTIFICATE_FILE}: {certificate} and its private key are not a pair "
                "in PEM without a password."
            ) from error
    return context


def _seed_of_credentials(path: str) -> str:
    found = _CREDENTIALS.search(_read(nats_access.CREDENTIALS_FILE, path))
    if found is None:
        raise NatsRefusedError(f"{nats_access.CREDENTIALS_FILE}: {path} is no .creds file.")
    return found[1]


def _read(variable: str, path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise NatsRefusedError(f"{variable}: {path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise NatsRefusedError(f"{variable}: {path} is not text.") from error


def _check_seed(variable: str, path: str, seed: str) -> None:
    try:
        is_user = nkeys.from_seed(bytearray(seed.strip().encode())).public_key.startswith(b"U")
    except Exception:  # noqa: BLE001  # nkeys raises whatever it meets, and might quote the seed
        is_user = False
    if not is_user:
        raise NatsRefusedError(f"{variable}: {path} holds no seed of a user's nkey.")
