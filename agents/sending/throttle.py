"""Who may go now: grants the next recipients of every running campaign, within the limits of
campaign and tenant, fairly.

A grant, the cursor it moves, the counts it rests on and the input that led to it are one
transaction: a crash changes nothing or all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from aiokafka.errors import KafkaError
from mode import Service

from agents.sending.fair_queue import Allowances, Filling, fill, quota_key
from streams import metrics, topics
from streams.contracts.envelope import encode
from streams.exactly_once.agents import Body
from streams.exactly_once.transactions import Transaction
from streams.kafka import clients
from streams.process.app import App
from streams.records.sending import (
    BatchSent,
    Finished,
    Grant,
    Limits,
    Retire,
    SampleSent,
    Sending,
    Tick,
    decode_sending,
    lane,
)
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.throttle.faust_tables import SendingTables
from tables.throttle.quota import Allowance, Quota
from tables.throttle.state import Clock, TenantSending, apply, settle

_LOG_EVERY = timedelta(seconds=10)  # per campaign
_LOOK_EVERY = timedelta(seconds=5)  # a tick although no time has come, in case something was missed
_NEW = TenantSending()
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RateLimited:
    """A campaign that has something to send and no quota."""

    tenant_id: str
    campaign_id: str
    allowance: Allowance


@dataclass
class Decision:
    """What follows from what was heard: the tenants as they are now (None: forgotten), if they
    changed, and what to announce.
    """

    virtual: int
    tenants: dict[str, TenantSending | None] = field(default_factory=dict)
    grants: list[Grant] = field(default_factory=list)
    milestones: list[SampleSent | Finished] = field(default_factory=list)
    retired: list[Retire] = field(default_factory=list)
    limited: list[RateLimited] = field(default_factory=list)


def decide(
    tenants: Mapping[str, TenantSending],
    heard: Collection[str],
    clock: Clock,
    cap: int,
    allowances: Allowances,
) -> Decision:
    """Grants among the tenants of one partition: those that were heard of, those whose time has
    come and those that the cap held up.

    At most `cap` messages are in flight. Whatever may go is granted, unless the cap is reached. An
    ordinal is granted once, because the span it is in shrinks by it.
    """
    decision, fillings = Decision(clock.virtual), []
    for tenant_id, tenant in tenants.items():
        if is_due := tenant_id in heard or (tenant.wake is not None and tenant.wake <= clock.now):
            settled = settle(tenant_id, tenant, clock)
            decision.milestones += settled.milestones
            decision.retired += (Retire(tenant_id, number) for number in settled.left)
            if settled.tenant is None:
                decision.tenants[tenant_id] = None
                continue
            tenant = settled.tenant
        if is_due or tenant.is_hungry:
            fillings.append((is_due, Filling(tenant_id, tenant, clock.now, cap, allowances)))
    in_flight = sum(tenant.in_flight for tenant in tenants.values())
    decision.grants, decision.virtual = fill(
        (filling for _, filling in fillings), in_flight, cap, clock.virtual
    )
    for filling in (filling for is_due, filling in fillings if is_due or filling.had_turn):
        after, limited = filling.outcome()
        if after != tenants[filling.tenant_id]:
            decision.tenants[filling.tenant_id] = after
        for number, allowance in limited.items():
            decision.limited.append(
                RateLimited(filling.tenant_id, after.campaigns[number].campaign_id, allowance)
            )
    return decision


def throttle(app: App, settings: Settings) -> Body:
    """The agent on `campaigns.sending.v1`; declares its tables on `app`."""
    desk = _Desk(app, settings)

    async def body(tx: Transaction) -> None:
        desk.work(tx)

    return body


class _Desk:
    """The agent's hands: reads events and tables, lets `decide` decide, writes what follows."""

    def __init__(self, app: App, settings: Settings) -> None:
        self._settings, self._topics = settings, topics.of(settings)
        self._tables, self._quota, self._log = (
            SendingTables(app),
            Quota(app, settings),
            _RateLimitLog(),
        )

    def work(self, tx: Transaction) -> None:
        before = self._tables.tenants(tx.partition)
        tenants, clock, heard = dict(before), self._tables.clock, set[str]()
        for event in tx.events:
            if (record := self._read(tx, event)) is None:
                continue
            at = datetime.fromtimestamp(event.message.timestamp, UTC)
            clock = clock.heard(record, at, self._settings.hour)
            if not isinstance(record, Tick):
                tenants[record.tenant_id] = self._hear(
                    tenants.get(record.tenant_id, _NEW), record, max(at, clock.now), clock
                )
                heard.add(record.tenant_id)

        def allowances(key: str, limits: Limits, outstanding: int) -> Allowance:
            return self._quota.allowance(key, limits, outstanding, clock.now, clock.latest)

        decision = decide(tenants, heard, clock, clock.cap(self._settings.in_flight), allowances)
        changed = {
            tenant_id: tenant
            for tenant_id, tenant in tenants.items()
            if before.get(tenant_id) is not tenant
        } | decision.tenants
        for tenant_id, tenant in changed.items():
            self._tables.put(tx.partition, tenant_id, tenant)
        self._tables.clock = msgspec.structs.replace(clock, virtual=decision.virtual)
        self._announce(tx, decision, clock)

    def _read(self, tx: Transaction, event: Any) -> Sending | None:
        try:
            record: Sending = decode_sending(event.value or b"")
        except (msgspec.DecodeError, RecursionError) as error:
            tx.dead_letter(event, str(error), "malformed")
            return None
        if (
            not isinstance(record, Tick)
            and self._topics.partition(record.tenant_id) != tx.partition
        ):
            tx.dead_letter(event, "the tenant belongs to another partition", "wrong-partition")
            return None
        return record

    def _hear(
        self, tenant: TenantSending, record: Sending, at: datetime, clock: Clock
    ) -> TenantSending:
        if isinstance(record, Tick):
            return tenant
        if isinstance(record, BatchSent):
            # never earlier than now: a worker whose clock is slow must not put messages into
            # windows that no longer count
            self._quota.count(record.tenant_id, record.sent, at)
            self._quota.count(quota_key(record.tenant_id, record.number), record.sent, at)
        number = record.number
        if (
            number is not None
            and number not in tenant.campaigns
            and self._tables.has_ended(number, clock)
        ):
            return tenant
        return apply(tenant, record, clock.now)

    def _announce(self, tx: Transaction, decision: Decision, clock: Clock) -> None:
        name, lanes = self._topics.name, self._topics.partitions
        for grant in decision.grants:
            tx.send(name(Name.GRANTS), lane(grant.start, lanes), None, encode(grant))
        for milestone in decision.milestones:
            key = milestone.campaign_id
            tx.send(
                name(Name.MILESTONES), self._topics.partition(key), key.encode(), encode(milestone)
            )
        for retire in decision.retired:
            self._tables.end(retire.number, clock)
            for partition in range(lanes):
                tx.send(name(Name.GRANTS), partition, None, encode(retire))
        granted = sum(grant.stop - grant.start for grant in decision.grants)
        tx.on_commit(lambda: metrics.GRANTED.inc(granted))
        tx.on_commit(lambda: self._log.write(decision.limited, clock.now))


class _RateLimitLog:
    """The `[THROTTLE]` line, at most once in ten seconds for a campaign."""

    def __init__(self) -> None:
        self._written: dict[str, float] = {}

    def write(self, limited: Collection[RateLimited], now: datetime) -> None:
        clock, every = time.monotonic(), _LOG_EVERY.total_seconds()
        for one in limited:
            if clock - self._written.get(one.campaign_id, -every) < every:
                continue
            self._written[one.campaign_id] = clock
            until = one.allowance.until
            fields = {
                "tenantId": one.tenant_id,
                "campaignId": one.campaign_id,
                "currentRate": one.allowance.used,
                "maxRate": one.allowance.limit,
                "delayMs": None
                if until is None
                else max(0, round((until - now) / timedelta(milliseconds=1))),
            }
            _log.info("[THROTTLE] campaign rate limited", extra=fields)
        if len(self._written) > 1000:
            self._written = {
                campaign: at for campaign, at in self._written.items() if clock - at < every
            }


class _Alarm(msgspec.Struct):
    """The one field of a tenant's row that the ticker reads."""

    wake: datetime | None = None


_decode_alarm = msgspec.json.Decoder(_Alarm).decode


class Ticker(Service):  # type: ignore[misc]  # mode is untyped
    """Tells a partition that a tenant's time has come, since tables change only in an agent. A lost
    tick is followed by another.
    """

    def __init__(self, app: App, settings: Settings) -> None:
        super().__init__()
        self._app, self._settings = app, settings
        self._topic = Topics(settings).name(Name.SENDING)
        # four looks per window of a shortened hour: what one misses by more than a window costs
        # 1/60 of the rate
        self.interval = max(0.02, min(settings.tick, settings.hour / 240).total_seconds())
        self._ticked: dict[int, float] = {}

    async def on_start(self) -> None:
        self._producer = clients.producer(self._settings)
        await self._producer.start()

    async def on_stop(self) -> None:
        await self._producer.stop()

    @Service.task  # type: ignore[untyped-decorator]
    async def _tick(self) -> None:
        while not self.should_stop:
            due = [
                number
                for number, state in self._app.exactly_once.owned.items()
                if self._is_due(number, state.rows["sending"])
            ]
            results = await asyncio.gather(
                *(
                    self._producer.send_and_wait(self._topic, encode(Tick()), partition=p)
                    for p in due
                ),
                return_exceptions=True,
            )
            for result in results:
                if isinstance(result, KafkaError):
                    _log.warning("no tick for the throttle: %s", type(result).__name__)
                elif isinstance(result, BaseException):
                    raise result
            await self.sleep(self.interval)

    def _is_due(self, number: int, rows: Mapping[str, bytes]) -> bool:
        now, clock = datetime.now(UTC), time.monotonic()
        wakes = (_decode_alarm(row).wake for row in rows.values())
        due = any(wake is not None and wake <= now for wake in wakes) or (
            bool(rows) and clock - self._ticked.get(number, 0) > _LOOK_EVERY.total_seconds()
        )
        if due:
            self._ticked[number] = clock
        return due
