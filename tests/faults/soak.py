"""Everything at once, for as long as is asked: tenants come, send campaigns of every kind one after
the other, and are deleted; people open, click and unsubscribe; and one fault follows the other.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from connectors.local.engines.engine import EngineError
from streams.topics import TOPICS, Topics
from tests.confluent import access
from tests.e2e import world
from tests.e2e.checker import SentMessage, counts_never_fall, most_in_any_window
from tests.eventually import eventually
from tests.faults.business import HOURLY, KINDS, Business, Customer
from tests.faults.disturbances import DISTURBANCES
from tests.faults.levels import Level, level
from tests.faults.samples import ALLOWED, Samples, bound_stream, kind
from tests.faults.scene import (
    HOUR,
    Logs,
    Scene,
    Sending,
    Site,
    noted,
    outcome,
    skipped_people,
)
from tests.faults.witness import Truths, Witness
from tests.postgres import Client

#: What is kept for days is kept for minutes here, so that there is something to remove in a run.
MORE: Mapping[str, object] = {
    "day": timedelta(minutes=1),
    "stats_retention": timedelta(minutes=2),
    "stats_refresh_interval": timedelta(seconds=15),
    "api_rate_limit": 0,  # the checkers ask all the time
    "api_tenant_rate_limit": 0,
}
KAFKA: Mapping[str, str] = {
    "log.retention.check.interval.ms": "5000",
    "log.cleaner.backoff.ms": "5000",
    "log.cleaner.delete.retention.ms": "20000",
    "offsets.topic.segment.bytes": "1048576",
    "transaction.state.log.segment.bytes": "1048576",
    "metadata.log.segment.ms": "60000",
    "metadata.log.max.record.bytes.between.snapshots": "262144",
    "metadata.max.retention.ms": "240000",
}
POSTGRES: Mapping[str, str] = {
    "autovacuum_naptime": "5s",
    "checkpoint_timeout": "30s",
    "max_wal_size": "64MB",
    "min_wal_size": "32MB",
}
_SEGMENT = {"segment.ms": "20000", "file.delete.delay.ms": "2000"}
_KEPT = {
    "delete": {"retention.ms": "240000", **_SEGMENT},
    "compact": {"delete.retention.ms": "20000", **_SEGMENT},
}
_STREAM = 16 << 20  # bytes

_TENANTS, _PEOPLE = 3, 900  # at once; of each: at HOURLY a campaign takes 18 s at least
_WALK_INS, _CHUNK = 6, 90  # groups of people for triggered campaigns
_LONGEST = 400  # characters of a violation in the file
_PATIENCE = timedelta(seconds=300)
_LAST_FAULT = 45.0  # seconds before the end
_GRACE = "1 minute"  # shorter than `stats_retention`, as 7 days are than 90
_DOOM = (
    "UPDATE tenants SET suspended_at = now(), delete_after = now() + $2::text::interval"
    " WHERE id = $1"
)
#: What ends a process or a stream ends its leaks, too: these come in the first third alone.
FORGETTING = {
    "kill -9 of every process",
    "rolling restart",
    "a frozen worker wakes up",
    "pause, resume, another limit",
    "one request twenty times",
    "NATS loses its disk",
}


def shorten(where: Site) -> None:
    """Topics keep their records for minutes."""
    topics, admin = Topics(where.settings), AdminClient(access(where.settings))
    asked = [
        ConfigResource(
            ResourceType.TOPIC,
            topics.name(name),
            incremental_configs=[
                ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
                for setting, value in _KEPT[topic.config["cleanup.policy"]].items()
            ],
        )
        for name, topic in TOPICS.items()
    ]
    for future in admin.incremental_alter_configs(asked).values():
        future.result()


@dataclass
class Soak:
    """One run. `violations` has a sentence for each broken invariant."""

    where: Site
    seconds: float
    seed: int
    witness: Witness
    truths: Truths
    samples: Samples
    file: Path  # that has the figures, until now
    violations: list[str] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)  # campaigns, by kind
    recipients: int = 0
    events: int = 0
    faults: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    tenants: int = 0
    _live: dict[str, Sending] = field(default_factory=dict)
    _calm: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """The whole of it; ends when every campaign is over and checked."""
        async with self.samples.taken():
            self._restarts = self._restarted()
            async with asyncio.TaskGroup() as parts:
                parts.create_task(self._faults())
                for slot in range(_TENANTS):
                    parts.create_task(self._slot(slot))
        with noted(self.violations):
            await eventually(self._is_drained, every=1)
        for tenant, count in self.witness.unexpected.items():
            self.violations.append(f"{count} messages of {tenant}, which was gone")

    @property
    def is_over(self) -> bool:
        return self.samples.age >= self.seconds

    def levels(self) -> dict[str, Level]:
        """Of everything that was sampled."""
        return {
            name: level(found, self.seconds, ALLOWED[kind(name)])
            for name, found in sorted(self.samples.series.items())
        }

    async def _slot(self, slot: int) -> None:
        """One tenant after the other; the first ones of the slots end one after the other, too."""
        life, share = max(60.0, self.seconds / 4.5), (slot + 1) / _TENANTS
        dice = random.Random(f"{self.seed}:{slot}")
        while not self.is_over:
            await self._tenant(dice, life * share)
            share = 1.0

    async def _tenant(self, dice: random.Random, life: float) -> None:
        of, end, checks = await self._opened(), self.samples.age + life, list[Any]()
        async with asyncio.TaskGroup() as group:
            while not self.is_over and self.samples.age < end:
                for name in dice.sample(sorted(KINDS), len(KINDS)):
                    with noted(self.violations):
                        checks.append(await self._campaign(of, name))
                        group.create_task(checks[-1])
                    if self.is_over:
                        break
        with noted(self.violations):
            most = most_in_any_window(await self._messages(of.tenant.id), HOUR)
            assert most <= HOURLY, f"{of.tenant.id}: {most} messages in an hour of {HOURLY}"
        await self._closed(of)

    async def _opened(self) -> Business:
        name = f"t{secrets.token_hex(4)}"
        tenant = world.Tenant(name, "")
        walk_ins = [f"walk-in-{number}-" for number in range(_WALK_INS)]
        template = ""

        async def work(connection: Client) -> None:
            nonlocal tenant, template
            tenant = await world.tenant(connection, name, hourly=HOURLY)
            await world.people(connection, tenant, "all", _PEOPLE)
            for group in walk_ins:
                await world.people(connection, tenant, group, _CHUNK)
            template = str(await world.template(connection, tenant))

        await self._in_calm(work)
        self.tenants += 1
        return Business(tenant, Customer(self.where.running.url, tenant.key), template, walk_ins)

    async def _closed(self, of: Business) -> None:
        """The tenant is deleted after its grace."""
        await of.rest.close()
        await self._in_calm(lambda connection: connection.execute(_DOOM, of.tenant.id, _GRACE))
        self.witness.forget(of.tenant.id)

    async def _in_calm(self, work: Callable[[Client], Awaitable[None]]) -> None:
        """On a connection of its own, between two faults."""
        async with self._calm:
            connection = await world.connect(self.where.settings.postgres)
            try:
                await work(connection)
            finally:
                await connection.close()

    async def _campaign(self, of: Business, name: str) -> Any:
        """Sends one; returns its check, to be awaited."""
        before = frozenset(of.rest.suppressed)
        sending = await KINDS[name](of)
        watch = asyncio.create_task(counts_never_fall(sending.rest, sending.campaign, every=1))
        self._live[sending.campaign] = sending
        try:
            if sending.ends == "cancelled":
                await eventually(lambda: _is_sent(sending), every=0.5)
                await of.rest.insist("POST", f"/campaigns/{sending.campaign}/cancel")

            async def is_over() -> bool:
                return await sending.status() == sending.ends

            await eventually(is_over, every=0.5)
        except BaseException:
            watch.cancel()
            raise
        finally:
            del self._live[sending.campaign]
        self.sent[name] += 1
        return self._check(Scene(self.where, random.Random(0), [sending], [watch], True), before)

    async def _check(self, of: Scene, before: frozenset[str]) -> None:
        """As every fault's outcome is checked. Who was suppressed before is in no audience, and who
        was skipped or left out had said no, or could not be reached.
        """
        (sending,) = of.sendings
        customer, campaign, tenant = sending.rest, sending.campaign, sending.tenant.id
        assert isinstance(customer, Customer)
        with noted(self.violations):
            everything = await self._messages(tenant)
            theirs = [message for message in everything if message.campaign_id == campaign]
            written_to = {message.contact_id for message in theirs}
            late = before & written_to
            assert not late, f"{campaign}: {len(late)} had been suppressed"
            known = customer.barred | self._lost(everything)
            wrong = sending.audience - written_to - known
            assert not wrong, f"{campaign}: {len(wrong)} were left out without a reason"
            total = await eventually(lambda: _total(sending), every=1)
            skipped = await eventually(
                lambda: skipped_people(of, len(theirs), total),  # of the audience as it was made
                every=1,
            )
            made = replace(sending, audience=written_to | skipped[campaign])
            found = await outcome(
                replace(of, sendings=[made]), logs=Logs(lambda: theirs, self.truths.of), every=1
            )
            self.recipients += len(made.audience)
            self.events += found.events
            self.violations += [f"{campaign}: {sentence}" for sentence in found.violations]

    def _lost(self, messages: list[SentMessage]) -> set[str]:
        """Contacts who cannot be reached, or who have said no, to whatever campaign."""
        campaigns = {message.campaign_id for message in messages}
        kinds = ("bounced", "unsubscribed", "complained")
        ids = {one for campaign in campaigns for one in self.truths.of(campaign)(*kinds)}
        return {message.contact_id for message in messages if message.message_id in ids}

    async def _messages(self, tenant: str) -> list[SentMessage]:
        return await asyncio.to_thread(self.witness.messages, tenant)

    def _order(self, dice: random.Random) -> Iterator[str]:
        """Every fault once in any order, and again."""
        while True:
            for name in dice.sample(sorted(DISTURBANCES), len(DISTURBANCES)):
                if name not in FORGETTING or self.samples.age < self.seconds / 3:
                    yield name

    async def _faults(self) -> None:
        dice = random.Random(self.seed)
        order = self._order(dice)
        while self.samples.age < self.seconds - _LAST_FAULT:
            await bound_stream(self.where, _STREAM)
            await asyncio.sleep(dice.uniform(2, 10))
            name = next(order)
            with noted(self.violations):
                sendings = await eventually(self._busiest, every=0.5)
                async with self._calm:
                    await self._fault(name, Scene(self.where, dice, sendings))
            self.write()

    async def _fault(self, name: str, of: Scene) -> None:
        began = time.monotonic()
        try:
            await DISTURBANCES[name](of)
            over = time.monotonic()
            await of.goes_on()
            self.faults[name].append(time.monotonic() - over)
        except (AssertionError, RuntimeError, httpx.HTTPError) as error:
            after = time.monotonic() - began
            for engine in (self.where.kafka, self.where.postgres, self.where.nats):
                if isinstance(error, EngineError) and not engine.engine.is_ready():
                    engine.start(_PATIENCE)  # it was not ready in time, and was ended
            raise AssertionError(f"{name}, after {after:.0f} s: {error!r}") from error

    async def _busiest(self) -> list[Sending]:
        """The campaigns that are being sent, the one with the most before it first; none unless
        that is more than half of it.
        """
        found = list[tuple[int, Sending]]()
        for sending in list(self._live.values()):
            stats = await sending.stats()
            left = len(sending.audience) - stats["sentCount"] - stats["skippedCount"]
            if stats["sentCount"] and await sending.status() == "running":
                found.append((left, sending))
        found.sort(key=lambda one: -one[0])
        if not found or found[0][0] <= _PEOPLE // 2:
            return []
        return [sending for _, sending in found]

    async def _is_drained(self) -> bool:
        await self.samples.take()
        return bool(self.samples.series["rows of outbox"][-1][1] == 0)

    def _restarted(self) -> dict[str, int]:
        processes = self.where.running.processes.processes
        return {name: process.restarts for name, process in processes.items()}

    def report(self) -> dict[str, Any]:
        """The figures of the run, as they go into a file."""
        return {
            "seconds": self.seconds,
            "seed": self.seed,
            "campaigns": dict(self.sent),
            "recipients": self.recipients,
            "events": self.events,
            "tenants": self.tenants,
            "faults": {
                name: {"times": len(found), "went on within": round(max(found), 1)}
                for name, found in sorted(self.faults.items())
            },
            "restarts": self._restarted(),
            "violations": [sentence[:_LONGEST] for sentence in self.violations],
            "levels": {
                name: {
                    "start": found.start,
                    "middle third": found.middle,
                    "last third": found.last,
                    "verdict": found.complaint or "levels off",
                }
                for name, found in self.levels().items()
            },
            "series": {
                name: [(round(at, 1), value) for at, value in found]
                for name, found in sorted(self.samples.series.items())
            },
        }

    def write(self) -> None:
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(json.dumps(self.report()) + "\n")


async def _total(sending: Sending) -> int:
    return int((await sending.stats())["totalRecipients"])


async def _is_sent(sending: Sending) -> bool:
    stats = await sending.stats()
    return bool(stats["sentCount"] + stats["skippedCount"] == len(sending.audience))


async def soaked(where: Site, minutes: float, seed: int, file: Path) -> Soak:
    """A run of so many minutes, whose figures go into the file however it ends."""
    await asyncio.to_thread(shorten, where)
    async with AsyncExitStack() as stack:
        witness = stack.enter_context(Witness(where.settings))
        truths = Truths(where.running.truth)
        soak = Soak(where, minutes * 60, seed, witness, truths, Samples(where), file)
        try:
            await soak.run()
        finally:
            soak.write()
        return soak
