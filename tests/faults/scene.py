"""A running installation on engines of its own, two tenants that are sending, and what must be true
of them whatever is done to the parts meanwhile.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
from pydantic import SecretStr

from connectors.local.engines.engine import OPEN, RunningEngine, free_port
from connectors.local.engines.kafka import Kafka
from connectors.local.engines.nats import Nats
from connectors.local.engines.postgres import Postgres
from connectors.setup.prepare import prepare
from streams.settings import Settings
from tests.e2e import world
from tests.e2e.checker import (
    SentMessage,
    assert_each_recipient_once,
    counts_never_fall,
    most_in_any_window,
    sent_messages,
)
from tests.e2e.conftest import Running, installed
from tests.e2e.processes import SHORTENED
from tests.e2e.truth import Truth
from tests.eventually import PAUSE, eventually
from tests.postgres import DatabaseError

HOUR = SHORTENED["hour"]
SENDER = {"fromName": "A", "fromEmail": "news@a.example", "trackOpens": True, "trackClicks": True}
_WITHIN = timedelta(seconds=300)


@dataclass(frozen=True)
class Site:
    """An installation with every process and the three engines it stands on."""

    running: Running
    kafka: RunningEngine
    postgres: RunningEngine
    nats: RunningEngine

    @property
    def settings(self) -> Settings:
        return self.running.settings


@contextmanager
def site(
    folder: Path,
    *,
    kafka_properties: Mapping[str, str] = MappingProxyType({}),
    postgres_settings: Mapping[str, str] = MappingProxyType({}),
    more: Mapping[str, object] = MappingProxyType({}),
    of_each: Callable[[str], Mapping[str, str]] = lambda name: {},
    places: Mapping[str, Path] = MappingProxyType({}),
) -> Iterator[Site]:
    """Starts all of it, and ends all of it. `more` are further settings of every process, `of_each`
    says what a process has in its environment beside the others', `places` where engines keep their
    files that do not in `folder`.
    """
    homes = {role: folder / role for role in ("kafka", "postgres", "nats")} | dict(places)
    # what a killed process has written survives without fsync
    unsafe = {"fsync": "off", "full_page_writes": "off", **postgres_settings}
    engines = [
        RunningEngine(engine, folder / f"{engine.role}.log")
        for engine in (
            Kafka(homes["kafka"], free_port(), free_port(), OPEN, properties=kafka_properties),
            Postgres(homes["postgres"], free_port(), OPEN, unsafe),
            Nats(homes["nats"], free_port(), OPEN),
        )
    ]
    kafka, postgres, nats = engines
    try:
        for engine in engines:
            engine.start(_WITHIN)
        made = Settings(
            kafka=kafka.address,
            postgres=f"{postgres.address.rpartition('/')[0]}/faults",
            nats=nats.address,
            topic_prefix=f"f{secrets.token_hex(4)}-",
            partitions=4,
            message_keys=(SecretStr(secrets.token_hex(32)),),
        )
        settings = made.model_copy(update={**SHORTENED, **more})
        asyncio.run(prepare(settings))
        with installed(settings, folder, more, of_each) as running:
            yield Site(running, kafka, postgres, nats)
    finally:
        for engine in engines:
            engine.stop()


@contextmanager
def explained(where: Site) -> Iterator[None]:
    """When the block fails, the test's report has the last complaints of every process."""
    logs = sorted(where.running.processes.folder.glob("*.log"))
    before = {log: log.stat().st_size for log in logs}
    try:
        yield
    except AssertionError:
        for log, size in before.items():
            said = log.read_bytes()[size:].decode(errors="replace").splitlines()
            wrong = [line[:600] for line in said if '"level":"INFO"' not in line]
            sys.stderr.write("\n".join([f"--- {log.name}", *wrong[-6:], ""]))
        raise


@dataclass(frozen=True)
class Sending:
    """A campaign; at most `limit` of its messages go out in any hour. `ends` is the status that it
    has when it is over.
    """

    rest: world.Rest
    tenant: world.Tenant
    campaign: str
    audience: set[str]
    limit: int
    ends: str = "completed"

    async def stats(self) -> dict[str, Any]:
        """Raises AssertionError while the API does not answer."""
        try:
            found: dict[str, Any] = await self.rest("GET", f"/campaigns/{self.campaign}/stats")
        except httpx.TransportError as error:
            raise AssertionError(str(error)) from error
        return found

    async def status(self) -> str:
        try:
            shown = await self.rest("GET", f"/campaigns/{self.campaign}")
        except httpx.TransportError as error:
            raise AssertionError(str(error)) from error
        return str(shown["status"])


@dataclass
class Scene:
    """Two tenants whose campaigns are being sent."""

    site: Site
    dice: random.Random
    sendings: Sequence[Sending]
    watching: Sequence[asyncio.Task[None]] = ()
    skips: bool = False  # whether recipients may be skipped, because the fault suppresses them

    @property
    def recipients(self) -> int:
        return sum(len(each.audience) for each in self.sendings)

    async def goes_on(self) -> None:
        """Waits until some more has been sent, or everything."""
        first = self.sendings[0]
        before = (await eventually(first.stats))["sentCount"]

        async def has_gone_on() -> bool:
            stats = await first.stats()
            return bool(stats["sentCount"] > before or await first.status() == "completed")

        await eventually(has_gone_on)


@contextmanager
def noted(violations: list[str]) -> Iterator[None]:
    """What is not as it must be becomes a sentence of the list."""
    try:
        yield
    except (AssertionError, RuntimeError) as wrong:
        violations.append(str(wrong).strip() or repr(wrong))


@asynccontextmanager
async def scene(where: Site, seed: int, *sizes: tuple[int, int]) -> AsyncIterator[Scene]:
    """Starts a campaign for each (recipients, limit in an hour), waits until all are sending, and
    watches their counts (I6) to the end.
    """
    dice, sendings = random.Random(seed), list[Sending]()
    connection = await world.connect(where.settings.postgres)
    for size, limit in sizes:
        tenant = await world.tenant(connection, f"t{secrets.token_hex(4)}", hourly=limit)
        await world.people(connection, tenant, "all", size)
        rest = world.Rest(where.running.url, tenant.key)
        template = await world.template(connection, tenant)
        campaign = await rest.started(template, [tenant.segments["all"]], settings=SENDER)
        sendings.append(Sending(rest, tenant, campaign, tenant.people["all"], limit))
    await connection.close()
    made = Scene(where, dice, sendings)
    for sending in sendings:

        async def has_begun(sending: Sending = sending) -> bool:
            return bool((await sending.stats())["sentCount"])

        await eventually(has_begun)
    made.watching = [
        asyncio.create_task(counts_never_fall(sending.rest, sending.campaign))
        for sending in sendings
    ]
    try:
        yield made
    finally:
        for task in made.watching:
            task.cancel()
        await asyncio.gather(*made.watching, return_exceptions=True)
        for sending in sendings:
            await sending.rest.close()


@dataclass(frozen=True)
class Outcome:
    """`events` reports were decided; `violations` has a sentence for each broken invariant."""

    events: int
    violations: list[str]


@dataclass(frozen=True)
class Logs:
    """What an outcome is compared with: all messages that were sent, and what became of those of a
    campaign.
    """

    messages: Callable[[], list[SentMessage]]
    truth: Callable[[str], Truth]

    @classmethod
    def of(cls, where: Site) -> Logs:
        """The logs of a site, from their beginning."""
        return cls(
            lambda: sent_messages(where.settings),
            lambda campaign: Truth.of(where.running.truth, campaign),
        )


async def outcome(
    of: Scene, within: float = 300, *, logs: Logs | None = None, every: float = PAUSE
) -> Outcome:
    """Waits for the end of every campaign and compares I1, I2, I4, I5, I6 and I7 with the raw logs;
    nothing of the engine's state decides what is true. Counts must be exact within so many seconds;
    the API is asked `every` so many.
    """
    logs, violations = logs or Logs.of(of.site), list[str]()
    for sending in of.sendings:
        with noted(violations):  # I7

            async def is_completed(sending: Sending = sending) -> bool:
                return await sending.status() == sending.ends

            await eventually(is_completed, every=every)
    campaigns = {sending.campaign: sending.audience for sending in of.sendings}
    messages = [
        message
        for message in await asyncio.to_thread(logs.messages)
        if message.tenant_id in {sending.tenant.id for sending in of.sendings}
    ]
    skipped = dict[str, set[str]]()
    if of.skips:
        with noted(violations):
            # recipients' statuses are projected a moment after a campaign is completed
            skipped = await eventually(lambda: skipped_people(of, len(messages)), every=every)
    with noted(violations):
        assert_each_recipient_once(messages, campaigns, skipped)
    events = 0
    for sending in of.sendings:
        theirs = [message for message in messages if message.campaign_id == sending.campaign]
        truth = logs.truth(sending.campaign)
        events += sum(map(len, truth.reported.values()))
        with noted(violations):
            most = most_in_any_window(theirs, HOUR)
            assert most <= sending.limit, f"{most} messages in an hour of {sending.limit}"
        with noted(violations):
            await eventually(
                lambda: _is_exact(logs, sending, theirs, skipped),  # noqa: B023
                within,
                every,
            )
    for task in of.watching:
        task.cancel()
        with noted(violations), suppress(asyncio.CancelledError):
            await task
    return Outcome(events, violations)


async def skipped_people(
    of: Scene, sent: int, recipients: int | None = None
) -> dict[str, set[str]]:
    """By campaign, once they are all of the recipients whom the `sent` messages leave out. Raises
    AssertionError before, and while PostgreSQL is away.
    """
    try:
        found = await _skipped_by_now(of)
    except DatabaseError as away:
        raise AssertionError(str(away)) from away
    wanted = of.recipients if recipients is None else recipients
    assert sum(map(len, found.values())) + sent == wanted
    return found


async def _skipped_by_now(of: Scene) -> dict[str, set[str]]:
    connection = await world.connect(of.site.settings.postgres)
    try:
        return {
            sending.campaign: {
                str(row["contact_id"])
                for row in await connection.fetch(
                    "SELECT contact_id FROM campaign_recipients WHERE campaign_id = $1"
                    " AND failure_reason LIKE 'skipped:%'",
                    sending.campaign,
                )
            }
            for sending in of.sendings
        }
    finally:
        await connection.close()


async def _is_exact(
    logs: Logs, sending: Sending, messages: list[SentMessage], skipped: dict[str, set[str]]
) -> bool:
    expected = {
        "totalRecipients": len(sending.audience),
        "sentCount": len(messages),
        "skippedCount": len(skipped.get(sending.campaign, ())),
        **logs.truth(sending.campaign).stats(),
    }
    stats = await sending.stats()
    assert {name: stats[name] for name in expected} == expected
    return True
