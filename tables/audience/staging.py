"""The audience of a campaign: staged once as a table of contacts in random order, then written to
the ledger page by page.

The audience is the contacts in any of the campaign's segments, minus those in an excluded one,
minus suppressed contacts and addresses, minus those without an address for the channel; of several
contacts with one address, one. The order is a hash of (campaign, address), so that any prefix is a
random sample; ordinals are its positions, dense from 0. Hashing the address instead of the contact
lets one sort find both the duplicates and the order: 2.7 s for 1,000,000 contacts where two sorts
take 4.

Everything here is idempotent by campaign: the stage is a logged table that outlives a crash, and a
page is there as a whole or not at all.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update

from streams.contracts import events
from streams.contracts.ab_tests import BLOCK, Sample, sample
from streams.contracts.envelope import rfc3339
from streams.contracts.fields import ACTIVE, Status
from streams.records.expansions import Page, Stage
from streams.records.sending import Closed, Limits
from streams.settings import Settings
from tables.audience.recipients import recipient_id
from tables.campaigns.ab_tests import test_of
from tables.campaigns.campaign import change_campaign
from tables.campaigns.changes import Change, publish
from tables.channels import CHANNELS
from tables.database.connection import Session
from tables.database.failures import LOCK_NOT_AVAILABLE, PostgresError, sqlstate
from tables.database.outbox import to_throttle
from tables.directory.barring import has_hashes, is_free, look_ups
from tables.models import Campaign, CampaignRecipient
from tables.tenants.tenants import get_tenant

_FEW = 50_000  # members; up to here three index look-ups each beat reading all contacts
# The variant is `Sample.variant` in SQL.
_WRITE = f"""
INSERT INTO campaign_recipients
       (id, tenant_id, campaign_id, contact_id, address_version, variant_id)
SELECT recipient_id(%(number)s, ordinal), %(tenant)s, %(campaign)s, contact_id, address_version,
       CASE WHEN ordinal < %(cut)s::int - cardinality(%(rest)s::text[])
            THEN (%(block)s::text[])[ordinal %% {BLOCK} + 1]
            WHEN ordinal < %(cut)s
            THEN (%(rest)s::text[])[ordinal - %(cut)s + cardinality(%(rest)s::text[]) + 1] END
  FROM {{table}}
 WHERE ordinal >= %(start)s AND ordinal < %(stop)s ORDER BY ordinal"""
_DEAD_STAGES = """
SELECT s.relname
  FROM pg_class s LEFT JOIN campaigns c ON c.number = substr(s.relname, 7)::bigint
 WHERE s.relkind = 'r' AND s.relnamespace = current_schema()::regnamespace
   AND s.relname ~ '^stage_[0-9]{1,15}$'
   AND (c.number IS NULL OR c.status NOT IN ('running', 'paused'))"""
_FEW_MEMBERS = """
SELECT count(*)
  FROM (SELECT FROM segment_members WHERE segment_id = ANY(%(segments)s) LIMIT %(most)s) AS few"""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Audience:
    """The audience as it was staged: `total` recipients, and the limits of their campaign."""

    campaign: Campaign
    total: int
    tenant_limits: Limits


async def stage(session: Session, wanted: Stage) -> int | None:
    """Make the stage table and answer the size of the audience; None when the campaign is not
    running any more, or is another tenant's.

    A repeat finds what the first made. Takes seconds for a million, without a lock on the campaign,
    so that it can be paused or cancelled.
    """
    await _alone(session, wanted.number)
    campaign = await _campaign(session, wanted)
    if campaign is None or campaign.status not in ACTIVE:
        return None
    if campaign.total_recipients is not None:
        return campaign.total_recipients
    table = _table(campaign.number)
    if await _exists(session, table):
        return int(await session.value(f"SELECT count(*) FROM {table}"))
    is_many = await choose_joins(session, campaign.segment_ids)
    hashes = await has_hashes(session, campaign.tenant_id, campaign.channel)
    query = audience_query(campaign.channel, campaign.number, is_many=is_many, hashes=hashes)
    made = await session.run(
        f"CREATE TABLE {table} WITH (autovacuum_enabled = off) AS {query}",
        tenant=campaign.tenant_id,
        segments=list(campaign.segment_ids),
        excluded=list(campaign.exclude_segment_ids),
    )
    # written in the order of ordinals, so the index is 100 kB and a page reads its own blocks only
    await session.script(
        f"CREATE INDEX ON {table} USING brin (ordinal) WITH (pages_per_range = 16)"
    )
    await session.run("SELECT ensure_recipient_partitions(%(number)s)", number=campaign.number)
    return made


async def note_directory(session: Session, wanted: Stage, *, is_down: bool) -> None:
    """Keep in the campaign's row whether its audience waits for a directory service. A repeat
    writes nothing.

    The version stays: an outage must not refuse a person's edit by `If-Match`.
    """
    await session.execute(
        update(Campaign)
        .where(
            Campaign.number == wanted.number,
            Campaign.id == UUID(wanted.campaign_id),
            Campaign.tenant_id == wanted.tenant_id,
            Campaign.is_directory_down != is_down,
        )
        .values(is_directory_down=is_down)
    )


def audience_query(channel: str, number: int, *, is_many: bool = True, hashes: bool = True) -> str:
    """SELECT of (contact_id, address_version, ordinal), with the parameters tenant, segments and
    excluded. Without `hashes` the tenant has no suppressed ones.
    """
    address = CHANNELS[channel].compared_in("c")
    version = f"nullif(c.{CHANNELS[channel].column}_version, 0)"
    place = f"hashtextextended({address}, {number})"
    return f"""
        SELECT contact_id, address_version,
               (row_number() OVER (ORDER BY place, address) - 1)::int AS ordinal
          FROM (SELECT DISTINCT ON ({place}, {address})
                       {place} AS place, {address} AS address, c.id AS contact_id,
                       {version} AS address_version
                  {_among_all(channel, hashes=hashes) if is_many else _one_by_one(channel)}
                 ORDER BY {place}, {address}, uuid_hash_extended(c.id, {number}), c.id) once"""


def _among_all(channel: str, *, hashes: bool) -> str:
    """The rest of a SELECT, from FROM: the contacts `c` of the audience, by sets that are joined as
    a whole.
    """
    return f"""FROM contacts c
                 WHERE c.tenant_id = %(tenant)s
                   AND {CHANNELS[channel].compared_in("c")} IS NOT NULL
                   AND c.id IN (
                       SELECT m.contact_id FROM segment_members m
                        WHERE m.segment_id = ANY(%(segments)s::uuid[]) AND m.tenant_id = %(tenant)s)
                   AND NOT EXISTS (
                       SELECT FROM segment_members x
                        WHERE x.segment_id = ANY(%(excluded)s::uuid[]) AND x.contact_id = c.id)
                   AND {is_free(channel, "c", hashes=hashes)}"""


def _one_by_one(channel: str) -> str:
    """The same contacts."""
    return f"""{few_members(channel, in_sight=False)}
                 WHERE {CHANNELS[channel].compared_in("c")} IS NOT NULL
                   AND x.found IS NULL AND barred.found IS NULL"""


def few_members(channel: str, *, in_sight: bool) -> str:
    """The rest of a SELECT, from FROM: every contact `c` in the segments, whether it is in an
    excluded one (`x.found`) and whether it is barred (`barred.found`). `in_sight`: see `look_ups`.

    LATERAL with LIMIT cannot be flattened, so each member costs index look-ups whatever the
    statistics say: of a tenant that they do not know yet they say that it has one contact, and then
    each member was compared with each contact, minutes for 9,000.
    """
    return f"""
          FROM (SELECT DISTINCT m.contact_id FROM segment_members m
                 WHERE m.segment_id = ANY(%(segments)s::uuid[]) AND m.tenant_id = %(tenant)s) AS m
         CROSS JOIN LATERAL (
               SELECT * FROM contacts
                WHERE id = m.contact_id AND tenant_id = %(tenant)s LIMIT 1) AS c
               {looked_up(channel, in_sight=in_sight)}"""


def looked_up(channel: str, *, in_sight: bool) -> str:
    """The joins of `few_members` for contacts `c`: three index look-ups each."""
    return f"""
          LEFT JOIN LATERAL (
               SELECT true AS found FROM segment_members m
                WHERE m.segment_id = ANY (%(excluded)s::uuid[]) AND m.contact_id = c.id
                LIMIT 1) AS x ON true
               {look_ups(channel, "c", in_sight=in_sight)}"""


async def choose_joins(session: Session, segments: Sequence[UUID]) -> bool:
    """True for many members. That decides: a directory just imported has no or wrong statistics,
    and a wrong choice costs minutes.
    """
    members = await session.value(_FEW_MEMBERS, segments=list(segments), most=_FEW + 1)
    await set_joins(session, is_many=members > _FEW)
    return bool(members > _FEW)


async def set_joins(session: Session, *, is_many: bool) -> None:
    """Until the transaction ends all contacts are read and hashed, or each is looked up."""
    choice = (
        "enable_nestloop = off"
        if is_many
        else "enable_hashjoin = off; SET LOCAL enable_mergejoin = off;"
        " SET LOCAL enable_seqscan = off"
    )
    # a client that is killed must not keep the successor waiting for a table that is never
    # committed
    await session.script(
        "SET LOCAL client_connection_check_interval = 500; SET LOCAL work_mem = '256MB';"
        f" SET LOCAL jit = off; SET LOCAL {choice}"
    )


async def announce(
    session: Session, settings: Settings, wanted: Stage, total: int, at: datetime
) -> Audience | Change | None:
    """Make the size of the audience known: the campaign's `total_recipients` and its event
    `campaign.started`.

    None when the campaign is not running any more. A campaign over the limit is cancelled: the
    change, to be logged after the commit.
    """
    campaign = await _campaign(session, wanted, is_locked=True)
    if campaign is None or campaign.status not in ACTIVE:
        return None
    if total > settings.max_recipients:
        return await fail(
            session,
            wanted,
            f"recipient-limit: {total:,} recipients, the limit is {settings.max_recipients:,}",
            at,
        )
    if campaign.total_recipients is None:
        campaign = await change_campaign(session, campaign, at, total_recipients=total)
        started = events.Started(
            *campaign.head,
            total,
            rfc3339(campaign.started_at or at),
            rfc3339(campaign.scheduled_at) if campaign.scheduled_at else None,
        )
        await publish(session, campaign, started, events.Cause(wanted.correlation_id, at))
    if total == 0:
        await session.script(f"DROP TABLE IF EXISTS {_table(campaign.number)}")
    return Audience(campaign, total, (await get_tenant(session, campaign.tenant_id)).limits)


async def fail(session: Session, wanted: Stage, reason: str, at: datetime) -> Change | None:
    """Cancel a campaign that can never be sent, say why, tell the throttle, and drop its stage. A
    repeat changes nothing (None).
    """
    campaign = await _campaign(session, wanted, is_locked=True)
    if campaign is None or campaign.status not in ACTIVE:
        return None
    after = await change_campaign(
        session, campaign, at, status=Status.CANCELLED, status_reason=reason[:200]
    )
    cause, fields = events.Cause(wanted.correlation_id, at), (*after.head, rfc3339(at), 0, reason)
    closed = Closed(tenant_id=after.tenant_id, number=after.number)
    await publish(session, after, events.Cancelled(*fields), cause)
    internal = to_throttle(closed, after.id, after.version)
    await publish(session, after, events.Failed(*fields), cause, internal)
    await session.script(f"DROP TABLE IF EXISTS {_table(after.number)}")
    return Change.of(after, campaign.status, cause)


async def write_page(session: Session, page: Page, stop: int) -> bool:
    """Put recipients [page.start, stop) into the ledger; the last page drops the stage. False: the
    campaign is over, nothing more to write.

    A repeat finds them written; where the stage is gone, the last page has been.
    """
    await _alone(session, page.number)
    campaign = await _campaign(session, page)
    table = _table(page.number)
    if campaign is None or campaign.status not in (*ACTIVE, Status.COMPLETED):
        await session.script(f"DROP TABLE IF EXISTS {table}")
        return False
    if not await _exists(session, table):
        return True
    first = select(CampaignRecipient.id).where(
        CampaignRecipient.id == recipient_id(page.number, page.start)
    )
    if await session.scalar(first) is None:
        test = test_of(campaign)
        split = sample(test, page.total) if test else Sample(0, (), ())
        await session.run(
            _WRITE.format(table=table),
            number=page.number,
            tenant=campaign.tenant_id,
            campaign=campaign.id,
            start=page.start,
            stop=stop,
            cut=split.cut,
            block=list(split.block),
            rest=list(split.rest),
        )
    if stop >= page.total:
        await session.script(f"DROP TABLE {table}")
    return True


async def drop_dead_stages(session: Session) -> int:
    """Drop the stages of campaigns that are over; answers how many. One that is still being read is
    left for the next time.
    """
    dropped = 0
    for stage_name in await session.values(_DEAD_STAGES):
        try:
            async with session.begin_nested():
                await session.script(
                    f"SET LOCAL lock_timeout = '100ms'; DROP TABLE IF EXISTS {stage_name}"
                )
            dropped += 1
        except PostgresError as error:
            if sqlstate(error) != LOCK_NOT_AVAILABLE:
                raise
            _log.info(
                "a stage is still being read, it is dropped later", extra={"stage": stage_name}
            )
    return dropped


async def _alone(session: Session, number: int) -> None:
    """Until this transaction ends no other one stages or writes this campaign: a worker that was
    replaced may still be at work.
    """
    await session.run(
        "SELECT pg_advisory_xact_lock(hashtextextended('audience', %(number)s))", number=number
    )


async def _exists(session: Session, table: str) -> bool:
    found = await session.value("SELECT to_regclass(%(table)s)::text", table=table)
    return found is not None


async def _campaign(
    session: Session, wanted: Stage | Page, *, is_locked: bool = False
) -> Campaign | None:
    # deleted ones are found, too: they are over, not unknown
    found = select(Campaign).where(
        Campaign.number == wanted.number,
        Campaign.id == UUID(wanted.campaign_id),
        Campaign.tenant_id == wanted.tenant_id,
    )
    return await session.first(found.with_for_update(key_share=True) if is_locked else found)


def _table(number: int) -> str:
    return f"stage_{number:d}"
