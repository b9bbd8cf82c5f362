"""A client whose start fails is closed with it, and one whose broker falls silent notices."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError
from pydantic import SecretStr

from streams.kafka import clients
from streams.settings import Settings

NOWHERE = Settings(
    kafka="127.0.0.1:1",
    postgres="postgresql://nowhere/none",
    nats="nats://nowhere:1",
    message_keys=(SecretStr("00" * 32),),
)


@pytest.mark.parametrize("make", [clients.consumer, clients.producer, clients.admin])
async def test_a_client_that_does_not_reach_kafka_is_closed(
    make: Callable[[Settings], Any],
) -> None:
    client = make(NOWHERE)
    with pytest.raises(KafkaConnectionError):
        async with client:
            raise AssertionError("it has started")
    assert client._closed


async def test_a_broker_that_falls_silent_is_noticed_within_ten_seconds(kafka: str) -> None:
    """By the kernel, which is told so for every connection; tests/faults/cut_off.py cuts some."""
    host, _, port = kafka.rpartition(":")
    connection = await create_conn(host, int(port))
    wire = connection._writer.get_extra_info("socket")

    def seconds(option: int) -> float:
        return float(wire.getsockopt(socket.IPPROTO_TCP, option))

    attempts = seconds(socket.TCP_KEEPINTVL) * seconds(socket.TCP_KEEPCNT)
    assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert seconds(socket.TCP_KEEPIDLE) + attempts <= 10
    assert 0 < seconds(socket.TCP_USER_TIMEOUT) / 1000 <= 10
    await connection.close()
