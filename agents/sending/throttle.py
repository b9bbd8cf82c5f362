"""The throttle's agent: grants the next recipients of every running campaign, within the limits of
campaign and tenant, fairly.

A grant, the cursor it moves, the counts it rests on and the input that led to it are one
transaction: a crash changes nothing or all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from agents.sending.fair_queue import Allowances, Filling, fill
from streams import metrics, topics
from streams.contracts.envelope import encode
from streams.exactly_once.agents import Body
from streams.exactly_once.transactions import Transaction
from streams.process.app import App
from streams.records.sending import (
    BatchSent,
    Finished,
    Grant,
    Limits,
    Retire,
    SampleSent,
    Sending,
    Settled,
    Tick,
    decode_sending,
    lane,
)
from streams.settings import Settings
from streams.topics import Name
from tables.throttle.clock import Clock
from tables.throttle.faust_tables import SendingTables
from tables.throttle.fold import apply
from tables.throttle.quota import Allowance, Quota, quota_key
from tables.throttle.settle import settle
from tables.throttle.state import TenantSending

_LOG_EVERY = timedelta(seconds=10)  # per campaign
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
    """The consequences of a transaction's records: the tenants that have changed (None: forgotten),
    and the records and log lines to write.
    """

    virtual: int
    tenants: dict[str, TenantSending | None] = field(default_factory=dict)
    grants: list[Grant] = field(default_factory=list)
    milestones: list[SampleSent | Finished] = field(default_factory=list)
    retired: list[Retire] = field(default_factory=list)
    limited: list[RateLimited] = field(default_factory=list)


def decide(
    tenants: Mapping[str, TenantSending],
    changed: Collection[str],
    clock: Clock,
    cap: int,
    allowances: Allowances,
) -> Decision:
    """Grants among the tenants of one partition: those that have `changed`, those whose time has
    come, and those that the cap held up.

    At most `cap` messages are in flight. Every ordinal that may go is granted, unless the cap is
    reached. An ordinal is granted once, because the span it is in shrinks by it.
    """
    decision, fillings = Decision(clock.virtual), []
    for tenant_id, tenant in tenants.items():
        is_due = tenant_id in changed or (tenant.wake is not None and tenant.wake <= clock.now)
        if is_due:
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
        after, limited = filling.result()
        if after != tenants[filling.tenant_id]:
            decision.tenants[filling.tenant_id] = after
        decision.limited += (
            RateLimited(filling.tenant_id, after.campaigns[number].campaign_id, allowance)
            for number, allowance in limited.items()
        )
    return decision


class Throttle:
    """The agent's effects around `decide`: reads records and tables, and writes the decision."""

    def __init__(self, app: App, settings: Settings) -> None:
        self._settings, self._topics = settings, topics.of(settings)
        self._tables, self._quota = SendingTables(app), Quota(app, settings)
        self._log = _RateLimitLog()

    async def body(self, tx: Transaction) -> None:
        """One transaction; awaits nothing."""
        before = self._tables.tenants(tx.partition)
        tenants, clock, changed = dict(before), self._tables.clock, set[str]()
        for event in tx.events:
            if (record := self._read(tx, event)) is None:
                continue
            at = datetime.fromtimestamp(event.message.timestamp, UTC)
            clock = clock.after(record, at, self._settings.hour)
            if not isinstance(record, Tick):
                tenant = tenants.get(record.tenant_id, _NEW)
                # never earlier than now: a worker whose clock is slow must not put messages into
                # windows that no longer count
                at = max(at, clock.now)
                tenants[record.tenant_id] = self._applied(tenant, record, at, clock)
                changed.add(record.tenant_id)

        def allowances(key: str, limits: Limits, outstanding: int) -> Allowance:
            return self._quota.allowance(key, limits, outstanding, clock.now, clock.latest)

        tx.not_before = clock.now
        decision = decide(tenants, changed, clock, clock.cap(self._settings.in_flight), allowances)
        applied = {
            tenant_id: tenant
            for tenant_id, tenant in tenants.items()
            if before.get(tenant_id) is not tenant
        }
        for tenant_id, after in (applied | decision.tenants).items():
            self._tables.put(tx.partition, tenant_id, after)
        self._tables.clock = msgspec.structs.replace(clock, virtual=decision.virtual)
        self._write(tx, decision, clock)

    def _read(self, tx: Transaction, event: Any) -> Sending | None:
        try:
            record: Sending = decode_sending(event.value or b"")
        except (msgspec.DecodeError, RecursionError) as error:
            tx.dead_letter(event, str(error), "malformed")
            return None
        if isinstance(record, Tick) or self._topics.partition(record.tenant_id) == tx.partition:
            return record
        tx.dead_letter(event, "the tenant belongs to another partition", "wrong-partition")
        return None

    def _applied(
        self, tenant: TenantSending, record: Sending, at: datetime, clock: Clock
    ) -> TenantSending:
        """The tenant after the record; messages that were sent are counted in the quota at `at`."""
        if isinstance(record, Tick):
            return tenant
        number = record.number
        if isinstance(record, BatchSent):
            self._quota.count(quota_key(record.tenant_id), record.sent, at)
            self._quota.count(quota_key(record.tenant_id, number), record.sent, at)
        if number is None or number in tenant.campaigns:
            is_feedback = isinstance(record, BatchSent | Settled)
            return apply(tenant, record, at if is_feedback else clock.now)
        has_ended = self._tables.has_ended(number, clock)
        return tenant if has_ended else apply(tenant, record, clock.now)

    def _write(self, tx: Transaction, decision: Decision, clock: Clock) -> None:
        name, lanes = self._topics.name, self._topics.partitions
        for grant in decision.grants:
            tx.send(name(Name.GRANTS), lane(grant.start, lanes), None, encode(grant))
        for milestone in decision.milestones:
            key = milestone.campaign_id
            place = name(Name.MILESTONES), self._topics.partition(key)
            tx.send(*place, key.encode(), encode(milestone))
        for retire in decision.retired:
            self._tables.end(retire.number, clock)
            for partition in range(lanes):
                tx.send(name(Name.GRANTS), partition, None, encode(retire))
        granted = sum(grant.stop - grant.start for grant in decision.grants)
        tx.on_commit(lambda: metrics.GRANTED.inc(granted))
        tx.on_commit(lambda: self._log.write(decision.limited, clock.now))


def throttle(app: App, settings: Settings) -> Body:
    """The agent on `campaigns.sending.v1`; declares its tables on `app`."""
    return Throttle(app, settings).body


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
            delay = None if until is None else round((until - now) / timedelta(milliseconds=1))
            fields = {
                "tenantId": one.tenant_id,
                "campaignId": one.campaign_id,
                "currentRate": one.allowance.used,
                "maxRate": one.allowance.limit,
                "delayMs": None if delay is None else max(0, delay),
            }
            _log.info("[THROTTLE] campaign rate limited", extra=fields)
        if len(self._written) > 1000:
            self._written = {
                campaign: at for campaign, at in self._written.items() if clock - at < every
            }
