"""The way out when PostgreSQL or Kafka was restored: finds what the two know of each other, and
mends it, so that nobody gets a message twice and no campaign takes the number of another.

Order of effects of a repair: one SQL transaction with all changes of campaigns, their audit rows
and outbox records; when Kafka went back, then its state of sending, and last its mark. Until the
last of them every process refuses to start. Killed in between, or repeated, it finds what is left.
Nothing is deleted but that state of sending: no campaign, no count, no recipient.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from streams.errors import CampaignError, Fate
from streams.exactly_once import renewal
from streams.exactly_once.crash_points import crash_point
from streams.exactly_once.renewal import PartitionContent
from streams.kafka import clients, marks, reading
from streams.process.consumers import group_of
from streams.records.marks import Mark
from streams.settings import Settings
from streams.topics import TOPICS, Name, Topics
from tables.audience.projection import forget_positions
from tables.campaigns.changes import Change
from tables.commands import reconciling
from tables.commands.reconciling import Finding, KafkaSide, Loss
from tables.database.connection import Database, Session
from tables.database.failures import NOT_MIGRATED
from tables.database.outbox import keep_relays_away
from tables.installation import rounds
from tables.installation.rounds import RoundCounts, Setback
from tables.stats.views import SendingView, StatsView, complete_views
from tables.throttle.state import CampaignSending

# Whatever reads their records again finds what it had made of them; and what was on its way to
# relays is passed over, which is no matter of the campaign.
_HARMLESS = (Name.EXPAND_STATE, Name.FOLD_STATE, Name.FACTS, Name.DELIVER_STATE, Name.MESSAGES)
_ROLES = ("control", "expand", "emit", "stats", "deliver")
_PATIENCE = 60.0  # seconds without a record
_COORDINATED = 30.0  # seconds until a new Kafka coordinates groups
_SKEW = 600_000  # milliseconds between the clocks of PostgreSQL and of a worker


class AtWorkError(CampaignError):
    """Processes are at work that would write while it is mended."""

    fate, status, code, title = Fate.REJECT, 409, "at-work", "Processes are at work"


class NotPreparedError(CampaignError):
    """There is nothing to compare yet."""

    fate, status, code, title = Fate.REJECT, 409, "not-prepared", "Not prepared"


@dataclass
class Report:
    """The findings, in sentences, and whether they have been mended. `damaged`: topics, as Kafka
    has them.
    """

    mismatch: str = ""
    findings: list[Finding] = field(default_factory=list)
    strays: dict[int, tuple[str, CampaignSending]] = field(default_factory=dict)
    next_number: int | None = None
    damaged: list[str] = field(default_factory=list)
    is_repaired: bool = False

    @property
    def is_fine(self) -> bool:
        return not self.mismatch


@dataclass(frozen=True)
class _Both:
    """Both sides, and what is wrong with them. `setback`: which of the two is behind the other;
    None when it is only a part of Kafka.
    """

    postgres: RoundCounts
    mark: Mark | None
    held: Sequence[PartitionContent]
    setback: Setback | None
    sentence: str

    @property
    def lost(self) -> Loss:
        is_behind = self.setback is Setback.POSTGRES and self.mark is not None
        return Loss(
            in_kafka=self.setback is Setback.KAFKA or bool(self.damaged),
            until=self.mark.at if is_behind and self.mark is not None else None,
        )

    @property
    def damaged(self) -> list[Name]:
        """Topics that have lost what decides about sending."""
        found = dict[Name, None]()
        for one in self.held:
            if self.mark is not None and one.installation != self.mark.installation:
                found[one.state] = None
            found.update(dict.fromkeys(one.recreated))
        return [name for name in found if name not in _HARMLESS]

    @property
    def identity(self) -> str:
        known = self.mark or self.postgres
        assert known.installation is not None
        return known.installation

    @property
    def incomplete(self) -> list[PartitionContent]:
        """Partitions of state that are to be made whole, harmful or not."""
        return [one for one in self.held if one.installation != self.identity or one.recreated]


async def reconcile(settings: Settings, *, repair: bool) -> Report:
    """Compare, and mend if told so. Blocks for as long as reading the state topics takes.

    Raises AtWorkError, NotPreparedError, `DependencyDownError`, `PostgresError` and aiokafka's
    `KafkaError`.
    """
    async with Database(settings, "campaigns-reconcile", max_size=2) as database:
        if (both := await _look(database, settings)) is None:
            return Report()
        async with complete_views(settings) as (stats, sending):
            heard, open_ones = _heard(stats, sending)
        changes = await _changes(settings, both.postgres) if both.lost.until else {}
        damaged = [Topics(settings).name(name) for name in both.damaged]
        report = Report(both.sentence, damaged=damaged)
        if repair:
            await _check_idle(settings)

        async def work(session: Session) -> list[Change]:
            await _judge(session, both, heard, open_ones, changes, report)
            return await _mend(session, both, report) if repair else []

        for change in await database.once(work):
            change.log()
        if repair:
            crash_point("mended", "reconcile")
            await _renew(database, settings, both)
            report.is_repaired = True
        return report


async def _look(database: Database, settings: Settings) -> _Both | None:
    """None: the two fit, or have not been joined yet. Raises NotPreparedError."""
    await _check_topics(settings)
    mark = await marks.read(settings)
    try:
        postgres = await database.once(rounds.known) or rounds.NOTHING
    except NOT_MIGRATED as error:
        raise NotPreparedError("The database is not prepared: `campaigns prepare` does.") from error
    if mark is None and (postgres.installation is None or not postgres.acknowledged):
        return None
    held, wrong = await renewal.look(settings), rounds.compared(postgres, mark)
    if wrong is not None:
        return _Both(postgres, mark, held, *wrong)
    both = _Both(postgres, mark, held, None, "")
    if lost := both.damaged or sorted({one.state for one in both.incomplete}):
        topics = Topics(settings)
        sentence = rounds.lost_state([topics.name(name) for name in lost]).sentence
        return replace(both, sentence=sentence)
    return None


def _heard(
    stats: StatsView, sending: SendingView
) -> tuple[dict[int, KafkaSide], dict[int, tuple[str, CampaignSending]]]:
    heard = dict[int, KafkaSide]()
    for number in stats.numbers():
        total = stats.campaign(number).total
        heard[number] = KafkaSide(sent=total.sent, skipped=total.skipped)
    open_ones = {number: (tenant, campaign) for tenant, number, campaign in sending.every()}
    for number, (_, campaign) in open_ones.items():
        counted = heard.get(number, KafkaSide())
        heard[number] = KafkaSide(campaign, counted.sent, counted.skipped)
    return heard, open_ones


async def _judge(
    session: Session,
    both: _Both,
    heard: Mapping[int, KafkaSide],
    open_ones: Mapping[int, tuple[str, CampaignSending]],
    changes: Mapping[str, datetime],
    report: Report,
) -> None:
    """Fills the report; writes nothing."""
    rows = await reconciling.affected(session, list(heard))
    for campaign in rows:
        about = heard.get(campaign.number)
        ready = about.sending.ready if about is not None and about.sending is not None else 0
        found = reconciling.judge(
            campaign,
            about,
            both.lost,
            has_rows=await reconciling.has_row(session, campaign, ready),
            changed_at=changes.get(str(campaign.id)),
        )
        if found is not None:
            report.findings.append(found)
    there = {(campaign.tenant_id, campaign.number) for campaign in rows}
    report.strays = {
        number: (tenant, one)
        for number, (tenant, one) in open_ones.items()
        if (tenant, number) not in there
    }
    highest = max([*heard, both.mark.number if both.mark is not None else 0])
    if highest > both.postgres.number:
        report.next_number = rounds.number_above(highest)


async def _mend(session: Session, both: _Both, report: Report) -> list[Change]:
    """The changes of status, to be logged after the commit. Raises AtWorkError."""
    if not await keep_relays_away(session):
        raise AtWorkError("A control worker is at work: stop every process of the engine first.")
    at, lost = await session.clock(), both.lost
    made = [await reconciling.mend(session, found, lost, at) for found in report.findings]
    await reconciling.let_go(session, report.strays)
    if report.next_number is not None:
        await rounds.give_no_number_below(session, report.next_number)
    if lost.in_kafka:
        await forget_positions(session)
    if both.setback is Setback.POSTGRES and both.mark is not None:
        await rounds.follow(session, both.mark)
    return [change for change in made if change is not None]


async def _renew(database: Database, settings: Settings, both: _Both) -> None:
    """Kafka's side, where it went back: its mark is the last."""
    if not both.lost.in_kafka:
        await renewal.renew(settings, both.incomplete, both.identity)
    else:
        await renewal.renew(settings, both.held, both.identity)
        crash_point("renewed", "reconcile")
        known = await database.once(rounds.join)
        await marks.write(settings, known.mark())
    await database.once(lambda session: rounds.note(session, ""))


async def _check_topics(settings: Settings) -> None:
    topics = Topics(settings)
    async with clients.admin(settings) as admin:
        missing = {topics.name(name) for name in TOPICS} - set(await admin.list_topics())
    if missing:
        raise NotPreparedError(
            f"{len(missing)} topics are missing, such as {min(missing)}: run `campaigns prepare`"
            " first; it makes them, and refuses the rest."
        )


async def _check_idle(settings: Settings) -> None:
    """Raises AtWorkError while one of the agents' workers is in its group."""
    admin, at_work = clients.admin(settings), list[str]()
    await admin.start()
    try:
        for group in (group_of(settings, role) for role in _ROLES):
            at_work += [group] if await _has_members(admin, group) else []
    finally:
        await admin.close()
    if at_work:
        raise AtWorkError(
            f"Workers are at work ({', '.join(sorted(at_work))}): stop every process of the engine"
            " first; one that was killed counts for another CAMPAIGNS_SESSION_TIMEOUT."
        )


async def _has_members(admin: AIOKafkaAdminClient, group: str) -> bool:
    """One group at a time: aiokafka 0.14 cannot read an answer about several."""
    deadline = time.monotonic() + _COORDINATED
    while True:
        try:
            (answer,) = await admin.describe_consumer_groups([group])
        except GroupCoordinatorNotAvailableError:  # a new Kafka makes its topic of groups now
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
        else:
            ((_, _, _, _, _, members, *_),) = answer.groups
            return bool(members)


class _About(msgspec.Struct, rename="camel"):
    campaign_id: str = ""


class _Event(msgspec.Struct):
    """The part of a lifecycle event that is read."""

    timestamp: datetime
    data: _About


_decode_event = msgspec.json.Decoder(_Event).decode


async def _changes(settings: Settings, postgres: RoundCounts) -> dict[str, datetime]:
    """By campaign's id, the time of its last event, of those that were published since PostgreSQL's
    last round.
    """
    topics, found = Topics(settings), dict[str, datetime]()
    sources = [
        TopicPartition(topics.name(Name.EVENTS), partition)
        for partition in range(topics.count(Name.EVENTS))
    ]
    since = postgres.announced_at
    async with clients.consumer(
        settings,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    ) as consumer:
        starts = await consumer.beginning_offsets(sources)
        ends = await consumer.end_offsets(sources)
        if since is not None:
            wanted = dict.fromkeys(sources, round(since.timestamp() * 1000) - _SKEW)
            for source, later in (await consumer.offsets_for_times(wanted)).items():
                starts[source] = ends[source] if later is None else later.offset

        def take(_: TopicPartition, records: Sequence[Any]) -> None:
            for record in records:
                _note(record.value, found)

        await reading.read(consumer, starts, ends, _PATIENCE, take)
    return found


def _note(value: bytes | None, found: dict[str, datetime]) -> None:
    try:
        event = _decode_event(value or b"")
    except (msgspec.DecodeError, ValueError):
        return  # no event of ours
    known = found.get(event.data.campaign_id)
    found[event.data.campaign_id] = max(event.timestamp, known or event.timestamp)
