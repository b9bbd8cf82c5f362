"""Independent recomputation from the raw logs: nothing of the engine's own state or code decides
here what is true.

Reads `pipeline.messages.v1` with a read_committed consumer of another client library, NATS through
an ordinary consumer, and the simulator's own log. Invariants I1, I2, I4 and I5 of the design.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import httpx
from confluent_kafka import Consumer, TopicPartition
from nats.aio.client import Client

from connectors.nats.connection import connect_options
from streams.settings import Settings
from tests.confluent import access
from tests.e2e.world import Rest


@dataclass(frozen=True)
class SentMessage:
    """What a pipeline worker would see of one message. `at` is Kafka's CreateTime in seconds."""

    tenant_id: str
    campaign_id: str
    ordinal: int
    contact_id: str
    message_id: str
    at: float


def committed(settings: Settings, topic: str, partitions: int | None = None) -> Iterator[Any]:
    """Every committed record of a topic up to its present end."""
    consumer = Consumer(
        {
            **access(settings),
            "group.id": "checker",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    open_partitions = set(range(partitions or settings.partitions))
    consumer.assign(
        [
            TopicPartition(settings.topic_prefix + topic, partition, 0)
            for partition in open_partitions
        ]
    )
    try:
        while open_partitions:
            for record in consumer.consume(5000, timeout=1.0):
                if record.error() is None:
                    yield record
                else:
                    open_partitions.discard(record.partition())
    finally:
        consumer.close()


def sent_messages(settings: Settings) -> list[SentMessage]:
    """All messages that left, in the order of each partition."""
    found = []
    for record in committed(settings, "pipeline.messages.v1"):
        body = json.loads(record.value())
        ids = (
            body["tenantId"],
            body["campaignId"],
            body["recipientNumber"],
            body["contactId"],
            body["messageId"],
        )
        found.append(SentMessage(*ids, record.timestamp()[1] / 1000))
    return found


def assert_each_recipient_once(
    messages: list[SentMessage],
    audiences: Mapping[str, set[str]],
    skipped: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> None:
    """I1 and I5: every contact of every audience has exactly one message of its campaign or is
    skipped, and nobody else got any. Without skipped ones the ordinals are dense.
    """
    by_campaign: defaultdict[str, list[SentMessage]] = defaultdict(list)
    for message in messages:
        by_campaign[message.campaign_id].append(message)
    assert set(by_campaign) <= set(audiences)
    for campaign, audience in audiences.items():
        sent, left_out = by_campaign[campaign], set(skipped.get(campaign, ()))
        repeated = {
            ordinal: n
            for ordinal, n in Counter(message.ordinal for message in sent).items()
            if n > 1
        }
        assert not repeated, f"{campaign}: {len(repeated)} recipients got more than one message"
        contacts = {message.contact_id for message in sent}
        assert contacts == audience - left_out, (
            f"{campaign}: {len(audience - left_out - contacts)} people are missing,"
            f" {len(contacts - (audience - left_out))} should not have got it"
        )
        ordinals = {message.ordinal for message in sent}
        assert len(sent) == len(contacts) == len(ordinals)
        assert left_out or ordinals == set(range(len(audience)))
        assert len({message.message_id for message in sent}) == len(sent)


def most_in_any_window(messages: list[SentMessage], window: timedelta) -> int:
    """The highest number of messages within any sliding window, aligned to nothing."""
    times, start, most = sorted(message.at for message in messages), 0, 0
    for end, at in enumerate(times):
        while at - times[start] >= window.total_seconds():
            start += 1
        most = max(most, end - start + 1)
    return most


async def published_on_nats(
    settings: Settings, subject: str = "campaign.>"
) -> dict[str, list[dict[str, Any]]]:
    """Everything that the stream holds under the subject, by subject, read with an ordinary pull
    consumer.
    """
    client = Client()
    await client.connect(**connect_options(settings))
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    try:
        stream = client.jetstream()
        subscription = await stream.pull_subscribe(settings.topic_prefix + subject)
        waiting = (await subscription.consumer_info()).num_pending
        while waiting:
            for message in await subscription.fetch(min(waiting, 1000), timeout=60):
                found[message.subject.removeprefix(settings.topic_prefix)].append(
                    json.loads(message.data)
                )
                await message.ack()
                waiting -= 1
    finally:
        await client.close()
    return found


_MAY_FALL = {
    "machineOpenedCount",
    "machineClickedCount",
    "updatedAt",
    "openRate",
    "clickRate",
    "bounceRate",
    "skipped",
    "variants",
}


async def counts_never_fall(rest: Rest, campaign: str, every: float = 0.5) -> None:
    """I6: polls the stats for as long as it is left to run, and fails when a count goes back."""
    last: dict[str, Any] = {}
    while True:
        # no answer while something is killed is allowed; a count that falls is not
        with suppress(AssertionError, httpx.TransportError):
            now = await rest("GET", f"/campaigns/{campaign}/stats")
            fallen = {
                name: (last[name], now[name])
                for name in last
                if name not in _MAY_FALL and now[name] < last[name]
            }
            if fallen:
                raise RuntimeError(f"counts went back: {fallen}")
            last = now
        await asyncio.sleep(every)
