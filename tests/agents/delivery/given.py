"""Tenants with routes, messages on the topic, and what was reported about them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from confluent_kafka import Producer

from agents.delivery.journal import Journal
from agents.delivery.worker import Deliver
from streams.contracts.envelope import rfc3339
from streams.exactly_once.tables import split_entry
from streams.records.message_id import MessageIds
from streams.records.messages import BUILT_IN, Message, encode_message
from streams.records.reported_events import Incoming, decode_incoming
from streams.records.sending import Settled, decode_sending
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.database.connection import Database
from tables.tenants import routes
from tables.tenants.routes import Credentials
from tables.tenants.tenants import create_tenant
from tests.connectors.delivery.providers import given as providers
from tests.connectors.routes import given
from tests.faults import raw_kafka

DOMAIN = given.DOMAIN
_CAMPAIGN = UUID("0190a000-0000-7000-8000-000000000001")


def made(settings: Settings, **changes: Any) -> Settings:
    """Relays on loopback are allowed, and an hour has six seconds."""
    return settings.model_copy(
        update={"routes": "any", "hour": timedelta(seconds=6), "day": timedelta(minutes=10)}
        | changes
    )


async def tenant(settings: Settings, name: str) -> None:
    async with Database(settings) as database, database.transaction() as session:
        await create_tenant(session, name)


async def route(
    settings: Settings, tenant_id: str, port: int, name: str = "relay", **changes: Any
) -> None:
    """Set up, or replaced."""
    async with Database(settings) as database, database.transaction() as session:
        wanted = given.route(port=port, **changes)
        await routes.put(session, routes.sealing(settings), tenant_id, name, wanted, None)


async def webhook(settings: Settings, tenant_id: str, url: str, **changes: Any) -> None:
    """An address of the tenant's own, set up or replaced."""
    key = Credentials("", f"whsec_{'YWJj' * 10}")
    async with Database(settings) as database, database.transaction() as session:
        wanted = providers.route("webhook", url, **{"fromDomains": [DOMAIN]} | changes)
        await routes.put(session, routes.sealing(settings), tenant_id, "hook", wanted, key)


class Messages:
    """Writes messages as emission does: `send` answers their ids."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._topics = settings, Topics(settings)
        self._ids, self._next = MessageIds.of(settings), 0
        self._producer = Producer({"bootstrap.servers": settings.kafka, "linger.ms": 0})

    def send(
        self,
        tenant_id: str,
        recipients: Sequence[str],
        *,
        is_built_in: bool = True,
        sender: str = f"news@{DOMAIN}",
        partition: int | None = None,
        age: timedelta = timedelta(0),
        number: int = 1,
        campaign_id: UUID = _CAMPAIGN,
    ) -> list[str]:
        """One message to each, over all partitions unless one is named."""
        made = []
        for recipient in recipients:
            ordinal, self._next = self._next, self._next + 1
            message_id = self._ids.make(number, ordinal, tenant_id, self._settings.key_epoch)
            message = Message(
                message_id=message_id,
                tenant_id=tenant_id,
                campaign_id=str(campaign_id),
                contact_id="0190a000-0000-7000-8000-000000000002",
                recipient_number=ordinal,
                channel="email",
                to=recipient,
                content={"subject": "Hé", "text": "Hello.\n.\nYours", "html": "<p>Hello</p>"},
                created_at=rfc3339(datetime.now(UTC) - age),
                sender={"name": "Acme", "email": sender},
                headers={"List-Unsubscribe": "<https://acme.example/u>"},
            )
            self._producer.produce(
                self._topics.name(Name.MESSAGES),
                encode_message(message),
                key=message_id.encode(),
                partition=ordinal % self._topics.partitions if partition is None else partition,
                headers=BUILT_IN if is_built_in else None,
            )
            made.append(message_id)
        self._producer.flush(30)
        return made


def reported(settings: Settings) -> list[Incoming]:
    """The events on `pipeline.events.v1`."""
    return [decode_incoming(record.value or b"") for record in _records(settings, Name.INCOMING)]


def told(settings: Settings) -> list[Settled]:
    """What the throttle was told."""
    records = (decode_sending(record.value or b"") for record in _records(settings, Name.SENDING))
    return [record for record in records if isinstance(record, Settled)]


def journal(settings: Settings) -> list[int]:
    """How many messages are open, by partition, as the state topic has it."""
    rows: list[dict[bytes, bytes]] = [{} for _ in range(settings.partitions)]
    for record in _records(settings, Name.DELIVER_STATE):
        table, key = split_entry(record.key or b"")
        if table == b"open" and record.value is None:
            rows[record.partition].pop(key, None)
        elif table == b"open" and record.value is not None:
            rows[record.partition][key] = record.value
    return [len(Journal(each)) for each in rows]


def _records(settings: Settings, name: Name) -> Iterable[raw_kafka.Raw]:
    topic = Topics(settings).name(name)
    for partition in raw_kafka.read_all(settings.kafka, topic, settings.partitions):
        yield from partition


def mail_of(message_id: str) -> str:
    """The Message-ID of a message."""
    return f"<{message_id}@{DOMAIN}>"


@asynccontextmanager
async def delivering(settings: Settings) -> AsyncIterator[Deliver]:
    """The service, started."""
    async with Deliver(None, settings) as service:
        yield service


def to(name: str, count: int) -> list[str]:
    """So many addresses."""
    return [f"{name}{number}@example.com" for number in range(count)]


def is_idle(service: Deliver) -> bool:
    lanes = list(service._lanes.values())
    return bool(lanes) and not any(len(lane) or lane.on_their_way for lane in lanes)


def on_their_way(service: Deliver) -> int:
    return sum(lane.on_their_way for lane in service._lanes.values())
