"""A world around the real throttle, without a broker: its log, its state topic, emission with any
delay, and time.

Everything that was emitted, and when, is written down here, so that laws are checked against that
and never against the throttle's state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple

from agents.sending.throttle import throttle
from streams.contracts.envelope import encode
from streams.exactly_once.agents import Body
from streams.exactly_once.tables import PartitionState
from streams.exactly_once.transactions import Transaction
from streams.process.app import App, create_app
from streams.records.sending import (
    BatchSent,
    Finished,
    Grant,
    Limits,
    PlanOpened,
    Retire,
    RowsReady,
    SampleSent,
    Sending,
    Span,
    Tick,
    decode_grant,
    decode_milestone,
)
from streams.settings import Settings
from streams.topics import Name
from tables.throttle.state import TenantSending, decode_tenant

START = datetime(2026, 1, 28, 9, tzinfo=UTC)


class Sent(NamedTuple):
    """Messages that were emitted at one instant."""

    at: datetime
    tenant: str
    number: int
    start: int
    stop: int
    variant: str | None


@lru_cache
def settings_with(
    hour: timedelta = timedelta(hours=1),
    day: timedelta = timedelta(days=1),
    in_flight: int = 30_000,
) -> Settings:
    return Settings(
        kafka="127.0.0.1:1",
        postgres="",
        nats="",
        partitions=1,
        hour=hour,
        day=day,
        in_flight=in_flight,
        message_keys=("00" * 16,),
    )


@lru_cache
def agent(settings: Settings) -> tuple[App, Body]:
    """The real agent; it keeps nothing that a world could leave behind for the next one."""
    app = create_app("control", settings)
    return app, throttle(app, settings)


class World:
    """One partition. `log` is what was written to the throttle; `heard` says how much of it has
    been processed.
    """

    def __init__(self, settings: Settings) -> None:
        self.now, self.settings = START, settings
        self.control = timedelta(0)  # how far the clock of the throttle's worker is ahead
        self.log: list[tuple[datetime, Sending]] = []
        self.heard = 0
        self.app, self.body = agent(settings)
        self.stored: dict[bytes, bytes] = {}  # the compacted state topic
        self.granted: list[Grant] = []  # committed, in order
        self.outstanding: list[Grant] = []
        self.decided: dict[Grant, datetime] = {}  # the time that the record of a grant carries
        self.sent: list[Sent] = []
        self.milestones: list[SampleSent | Finished] = []
        self.retired: list[Retire] = []
        self.dead: list[bytes] = []
        self.restart()

    def restart(self) -> None:
        """The process dies: whatever was not committed is gone."""
        self.state = PartitionState(0, self.app.tables.transactional, None)
        for key, value in self.stored.items():
            self.state.restore(key, value)
        self.state.restored()

    def write(self, *records: Sending) -> None:
        """Something reaches the log now, by the clock of the throttle's worker."""
        self.log += ((self.now + self.control, record) for record in records)

    def open(
        self,
        number: int,
        total: int,
        tenant: str = "acme",
        *,
        ready: int | None = None,
        **plan: Any,
    ) -> None:
        """A campaign with one span, unless the plan says otherwise; its rows are all there, unless
        `ready` says otherwise.
        """
        plan = {"spans": (Span(0, total),), "limits": Limits(), "tenant_limits": Limits(), **plan}
        rows = RowsReady(tenant, number, total if ready is None else ready)
        self.write(PlanOpened(tenant, f"campaign-{number}", number, "email", total, **plan), rows)

    def hear(self, most: int = 1_000_000, *, crash: bool = False) -> list[Grant]:
        """One transaction with up to `most` records; a crash loses it before its commit. Answers
        the grants.
        """
        events = [
            self._event(offset)
            for offset in range(self.heard, min(len(self.log), self.heard + most))
        ]
        if not events:
            return []
        tx = Transaction("throttle", "campaigns.sending.v1", 0, events, "dead")
        with (
            self.state.current(),
            suppress(StopIteration),
        ):  # it never awaits anything, so it needs no event loop
            self.body(tx).__await__().__next__()
        if crash:
            self.restart()
            return []
        return self._commit(tx, len(events))

    def _event(self, offset: int) -> Any:
        at, record = self.log[offset]
        value = record if isinstance(record, bytes) else encode(record)
        return SimpleNamespace(
            key=b"",
            value=value,
            headers=(),
            message=SimpleNamespace(offset=offset, timestamp=at.timestamp(), headers=()),
        )

    def _commit(self, tx: Transaction, events: int) -> list[Grant]:
        for key, value in self.state.changes():
            if value is None:
                self.stored.pop(key, None)
            else:
                self.stored[key] = value
        self.heard += events
        grants = []
        for (topic, _), records in tx.outbox.items():
            for _, value, _ in records:
                assert value is not None
                if topic == Name.MILESTONES:
                    self.milestones.append(decode_milestone(value))
                elif topic == Name.GRANTS:
                    grant = decode_grant(value)
                    self.retired.append(grant) if isinstance(grant, Retire) else grants.append(
                        grant
                    )
                else:
                    self.dead.append(value)
        tx.committed()
        self.granted += grants
        self.outstanding += grants
        self.decided |= dict.fromkeys(grants, tx.dated(self.now + self.control))
        return grants

    def emit(
        self,
        grants: Iterable[Grant] | None = None,
        *,
        skip: int = 0,
        clock: timedelta = timedelta(0),
    ) -> None:
        """Emission gets round to these grants, or all; its feedback is in the log at once, by a
        worker whose clock may differ.
        """
        for grant in list(self.outstanding if grants is None else grants):
            self.outstanding.remove(grant)
            at = max(self.now + clock, self.decided[grant])
            skipped = min(skip, grant.stop - grant.start)
            self.sent.append(
                Sent(
                    at,
                    grant.tenant_id,
                    grant.number,
                    grant.start + skipped,
                    grant.stop,
                    grant.variant_id,
                )
            )
            self.log.append(
                (
                    at,
                    BatchSent(
                        grant.tenant_id, grant.number, grant.stop - grant.start - skipped, skipped
                    ),
                )
            )

    def pass_time(self, time: timedelta) -> None:
        self.now += time

    @property
    def tenants(self) -> dict[str, TenantSending]:
        """The rows as somebody reads them from the state topic."""
        prefix = b'sending\0"'
        return {
            key[len(prefix) : -1].decode(): decode_tenant(row)
            for key, row in self.stored.items()
            if key.startswith(prefix)
        }

    def run(self, until: timedelta = timedelta(days=400)) -> None:
        """Everything works and time passes, until nothing is left to do."""
        end = self.now + until
        while self.now < end:
            self.emit()
            if self.heard == len(self.log):
                wake = min(
                    (tenant.wake for tenant in self.tenants.values() if tenant.wake is not None),
                    default=None,
                )
                if wake is None:
                    return
                self.now = max(self.now, wake - self.control)
                self.write(Tick())
            self.hear()

    def most_in_any(self, length: timedelta, tenant: str, number: int | None = None) -> int:
        """The most messages in any sliding period, both ends included, by the timestamps of what
        was emitted.
        """
        sent = sorted(
            (s.at, s.stop - s.start)
            for s in self.sent
            if s.tenant == tenant and number in (None, s.number)
        )
        most = total = first = 0
        for at, messages in sent:
            total += messages
            while sent[first][0] < at - length:
                total -= sent[first][1]
                first += 1
            most = max(most, total)
        return most

    def ordinals(self) -> dict[int, list[int]]:
        """What was granted of each campaign, in order."""
        found: defaultdict[int, list[int]] = defaultdict(list)
        for grant in self.granted:
            found[grant.number] += range(grant.start, grant.stop)
        return found
