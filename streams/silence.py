"""When the other end of a connection counts as gone that has fallen silent: its machine has lost
its power, or the network is cut, and nobody says so. One rule for Kafka, PostgreSQL and NATS.

The kernel keeps it. A server that is frozen or busy still acknowledges, since its kernel does; one
that is cut off does not. Without the rule a request to it would be waited for until its own
time-out, and whoever only listens would listen for two hours, as long as Linux waits by default.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

_SILENT = 8  # seconds
_IDLE, _INTERVAL, _PROBES = 2, 2, 3
_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _INTERVAL),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES),
    # of data that is not acknowledged: RFC 5482, https://man7.org/linux/man-pages/man7/tcp.7.html
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENT * 1000),
)

#: libpq's parameters for this end.
#: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-KEEPALIVES
LIBPQ: Mapping[str, str] = {
    "keepalives_idle": str(_IDLE),
    "keepalives_interval": str(_INTERVAL),
    "keepalives_count": str(_PROBES),
    "tcp_user_timeout": str(_SILENT * 1000),
}
#: PostgreSQL's settings for its end: it keeps the locks of a process that it cannot reach until it
#: has noticed.
#: https://www.postgresql.org/docs/current/runtime-config-connection.html#RUNTIME-CONFIG-TCP-SETTINGS
POSTGRESQL: Mapping[str, str] = {
    "tcp_keepalives_idle": str(_IDLE),
    "tcp_keepalives_interval": str(_INTERVAL),
    "tcp_keepalives_count": str(_PROBES),
    "tcp_user_timeout": str(_SILENT * 1000),
}


def notice(writer: asyncio.StreamWriter) -> None:
    """Have the connection end soon once nothing comes back. Raises OSError for one that is closed
    already.
    """
    wire = writer.get_extra_info("socket")
    if wire is None:
        raise ConnectionResetError("the connection was closed as soon as it was open")
    for option in _OPTIONS:
        wire.setsockopt(*option)
