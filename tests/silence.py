"""How soon a connection ends whose other end has fallen silent, as its socket has it."""

from __future__ import annotations

import socket

AT_MOST = 10.0  # seconds


def seconds_until_noticed(wire: socket.socket) -> float:
    """With nothing on its way, or with data that is not acknowledged, whichever takes longer."""
    assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    def of(option: int) -> int:
        return wire.getsockopt(socket.IPPROTO_TCP, option)

    probed = of(socket.TCP_KEEPIDLE) + of(socket.TCP_KEEPINTVL) * of(socket.TCP_KEEPCNT)
    unacknowledged = of(socket.TCP_USER_TIMEOUT) / 1000
    assert unacknowledged  # 0: a quarter of an hour
    return max(probed, unacknowledged)
