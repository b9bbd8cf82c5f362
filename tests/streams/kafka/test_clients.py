"""A client whose start fails is closed with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
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
