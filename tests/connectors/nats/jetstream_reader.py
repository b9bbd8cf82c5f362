"""Reads a whole JetStream stream, independently of the code under test."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError


@dataclass(frozen=True)
class Stored:
    """One message of the stream."""

    subject: str
    message_id: str
    tenant_id: str
    payload: dict[str, Any]


async def stored(url: str, stream: str) -> list[Stored]:
    """Every message in the stream, in its order."""
    client = await nats.connect(url)
    try:
        context = client.jetstream()
        expected = (await client.jsm().stream_info(stream)).state.messages
        subscription = await context.pull_subscribe(
            "",
            stream=stream,
            config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE),
        )
        found: list[Stored] = []
        while len(found) < expected:
            for message in await subscription.fetch(min(500, expected - len(found)), timeout=60):
                headers = message.headers or {}
                found.append(
                    Stored(
                        message.subject,
                        headers["Nats-Msg-Id"],
                        headers["tenantId"],
                        json.loads(message.data),
                    )
                )
        return found
    finally:
        await client.close()


async def count(url: str, stream: str) -> int:
    """How many messages the stream holds; 0 when there is no stream."""
    client = await nats.connect(url)
    try:
        return int((await client.jsm().stream_info(stream)).state.messages)
    except NotFoundError:
        return 0
    finally:
        await client.close()
