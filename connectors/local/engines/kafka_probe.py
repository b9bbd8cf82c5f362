"""The question whether a local broker answers, in the bytes of Kafka's protocol
(https://kafka.apache.org/protocol).

A supervisor asks it twice a second; a client library would warn of the password that it sends in
clear, each time.
"""

from __future__ import annotations

import socket
import struct

from connectors.local.engines.engine import Account

_WITHIN = 2.0  # seconds for each answer
_METADATA, _HANDSHAKE, _AUTHENTICATE = (3, 4), (17, 1), (36, 0)  # keys and versions of requests
# Of no topic, and none is created.
_NO_TOPICS = struct.pack(">iB", 0, 0)


def names_a_broker(port: int, account: Account | None, host: str = "127.0.0.1") -> bool:
    """Whether the broker on this port names a live one, itself, to a client that signs in by
    SASL/PLAIN when there is an account. Accepting connections is not enough: a broker does so
    seconds earlier. Blocks for seconds at most.
    """
    try:
        with socket.create_connection((host, port), timeout=_WITHIN) as connection:
            if account is not None and not _signs_in(connection, account):
                return False
            answer = _asked(connection, _METADATA, _NO_TOPICS)
            _, brokers = struct.unpack_from(">ii", answer)  # after the time that it throttled
            return bool(brokers)
    except (OSError, struct.error):
        return False


def _signs_in(connection: socket.socket, account: Account) -> bool:
    """PLAIN (RFC 4616): who it is for, which is left out, the user and the password."""
    message = b"\0" + account.user.encode() + b"\0" + account.password.encode()
    handshake = _asked(connection, _HANDSHAKE, struct.pack(">h5s", 5, b"PLAIN"))
    if struct.unpack_from(">h", handshake) != (0,):  # an error code
        return False
    said = _asked(connection, _AUTHENTICATE, struct.pack(">i", len(message)) + message)
    return struct.unpack_from(">h", said) == (0,)


def _asked(connection: socket.socket, request: tuple[int, int], body: bytes) -> bytes:
    """Sends one request and returns its answer, without its length and correlation id."""
    sent = struct.pack(">hhih5s", *request, 1, 5, b"probe") + body
    connection.sendall(struct.pack(">i", len(sent)) + sent)
    (length,) = struct.unpack(">i", _received(connection, 4))
    return _received(connection, length)[4:]


def _received(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        piece = connection.recv(count - len(received))
        if not piece:
            raise OSError("the broker has closed the connection")
        received += piece
    return received
