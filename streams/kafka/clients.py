"""The clients: the only place that tells aiokafka where Kafka is and how to get in."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from streams.kafka.access import tls
from streams.kafka.connections import guard_connections
from streams.kafka.hostile_batches import guard_consumers
from streams.kafka.tokens import tokens
from streams.settings import Settings

_Step = Callable[[], Awaitable[None]]

guard_connections()
guard_consumers()


def _is_news(record: logging.LogRecord) -> bool:
    """aiokafka says at every connection what `KafkaAccess.exposed` says once."""
    return record.msg != "Sending username and password in the clear"


logging.getLogger("aiokafka.conn").addFilter(_is_news)


class Consumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka is untyped
    """`async with` closes it also when its start fails; aiokafka's own leaves it open then."""

    async def __aenter__(self) -> Self:
        await _started(self.start, self.stop)
        return self


class Producer(AIOKafkaProducer):  # type: ignore[misc]
    """As Consumer."""

    async def __aenter__(self) -> Self:
        await _started(self.start, self.stop)
        return self


class Admin(AIOKafkaAdminClient):  # type: ignore[misc]
    """As Consumer; aiokafka's own is no context manager."""

    async def __aenter__(self) -> Self:
        await _started(self.start, self.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _started(start: _Step, close: _Step) -> None:
    try:
        await start()
    except BaseException:
        await close()
        raise


def consumer(settings: Settings, **options: Any) -> Consumer:
    """Not started. `options` are aiokafka's. Raises AccessRefusedError, as the next two do, when a
    file of the settings cannot be used.
    """
    return Consumer(bootstrap_servers=settings.kafka, **access(settings), **options)


def producer(settings: Settings, **options: Any) -> Producer:
    """Not started. `options` are aiokafka's."""
    return Producer(bootstrap_servers=settings.kafka, **access(settings), **options)


def admin(settings: Settings, **options: Any) -> Admin:
    """Not started. `options` are aiokafka's."""
    return Admin(bootstrap_servers=settings.kafka, **access(settings), **options)


def access(settings: Settings) -> dict[str, Any]:
    """aiokafka's arguments for TLS and SASL. Raises AccessRefusedError."""
    security, mechanism = settings.kafka_security, settings.kafka_mechanism
    arguments: dict[str, Any] = {"security_protocol": security}
    if security.endswith("SSL"):
        arguments["ssl_context"] = tls(settings)
    if security.startswith("SASL"):
        arguments["sasl_mechanism"] = mechanism
        if mechanism == "OAUTHBEARER":
            arguments["sasl_oauth_token_provider"] = tokens(settings)
        else:
            arguments["sasl_plain_username"] = settings.kafka_user
            arguments["sasl_plain_password"] = settings.kafka_password.get_secret_value()
    return arguments
