"""Materialised stats: the rows of `campaign_stats`, and with them, in one transaction, the
performance facts that say the same.

A row is replaced only by a newer one: its live version, audience, winner and completeness never go
back, so a slow second writer changes nothing. Each change of a campaign's row is a `revision`, and
the ids of its facts derive from that: a transaction that is repeated writes nothing or the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import and_, bindparam, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.sql.dml import ReturningInsert

from streams.contracts.envelope import rfc3339
from streams.contracts.fields import MAX_INTEGER
from streams.records.analytics import TYPE, Performance, enveloped, record_id
from streams.records.stats import Counts
from streams.topics import Name
from tables.database.connection import Session
from tables.database.outbox import Outgoing, append
from tables.database.statements import Reading
from tables.models import Campaign
from tables.models import CampaignStats as StoredStats
from tables.stats.totals import CampaignStats, rates

# The specification's name of a count, by its name in the live stats.
COLUMNS: Mapping[str, str] = {
    name: "complaint_count" if name == "complained" else f"{name}_count"
    for name in Counts.__struct_fields__
}
# Campaigns that differ from the live stats, and series with children among the live campaigns.
_CHANGED = """
SELECT c.id
  FROM unnest(%(numbers)s::bigint[], %(versions)s::bigint[]) AS live(number, version)
  JOIN campaigns c USING (number)
  LEFT JOIN campaign_stats s ON s.campaign_id = c.id AND s.variant_id IS NULL
 WHERE s.campaign_id IS NULL OR s.live_version < live.version
    OR s.total_recipients < coalesce(c.total_recipients, 0)
UNION
SELECT c.parent_id FROM campaigns c
 WHERE c.number = ANY(%(numbers)s) AND c.parent_id IS NOT NULL"""
_UNFINISHED = """
SELECT c.id FROM campaigns c
 WHERE c.status = 'completed' AND c.completed_at > %(since)s
   AND NOT EXISTS (SELECT FROM campaign_stats s
                    WHERE s.campaign_id = c.id AND s.variant_id IS NULL AND s.is_complete)"""
_UNCROWNED = """
SELECT v.campaign_id FROM campaign_variants v
 WHERE v.is_winner
   AND NOT EXISTS (SELECT FROM campaign_stats s
                    WHERE s.campaign_id = v.campaign_id AND s.variant_id IS NULL
                      AND s.winner = v.variant_id)"""
_FIRST_UNFINISHED = f"SELECT min(completed_at) FROM campaigns WHERE id IN ({_UNFINISHED})"
# A series is the sum of its children.
_SUBJECTS = """
SELECT c.id, c.tenant_id, c.name, c.channel::text, c.type::text, c.status::text, c.parent_id,
       c.correlation_id, w.variant_id AS winner,
       coalesce(parts.numbers, ARRAY[c.number]) AS numbers,
       coalesce(CASE WHEN c.type = 'recurring' THEN parts.total
                     ELSE c.total_recipients END, 0)::bigint AS total_recipients,
       coalesce(CASE WHEN c.type = 'recurring' THEN parts.done
                     ELSE c.sent_count + c.skipped_count END, 0)::bigint AS done
  FROM campaigns c
  LEFT JOIN campaign_variants w ON w.campaign_id = c.id AND w.is_winner
  LEFT JOIN LATERAL (
       SELECT array_agg(o.number ORDER BY o.number) AS numbers,
              sum(o.total_recipients) AS total, sum(o.sent_count + o.skipped_count) AS done
         FROM campaigns o WHERE o.parent_id = c.id) parts ON c.type = 'recurring'
 WHERE c.id = ANY(%(ids)s::uuid[]) ORDER BY c.number"""
# The columns of the aggregate's row that a newer one replaces, beside the counts.
_AGGREGATE = (
    "total_recipients",
    "live_version",
    "winner",
    "is_complete",
    "skipped",
    "hours",
    "counted_at",
    "updated_at",
)


class Subject(msgspec.Struct, frozen=True):
    """A campaign whose stats are to be materialised: the sum of the campaigns `numbers`, which are
    its own or, of a series, its children.

    `done`: recipients sent to or skipped, as the throttle has reported it; known once it is
    completed.
    """

    id: UUID
    tenant_id: str
    name: str
    channel: str
    type: str
    status: str
    parent_id: UUID | None
    correlation_id: str | None
    winner: str | None
    numbers: list[int]
    total_recipients: int
    done: int


@dataclass(frozen=True)
class Calculated:
    """A subject with its live stats, which are all the facts that the reader has seen until
    `at`.
    """

    subject: Subject
    stats: CampaignStats
    at: datetime

    @property
    def is_complete(self) -> bool:
        """Nothing more is sent, and every sent message is counted."""
        total = self.stats.total
        return (
            self.subject.status == "completed" and total.sent + total.skipped >= self.subject.done
        )


async def changed(session: Session, versions: Mapping[int, int]) -> set[UUID]:
    """Of the campaigns with these live versions by number, those whose rows are behind; with every
    series that has children among them.
    """
    return set(
        await session.values(_CHANGED, numbers=list(versions), versions=list(versions.values()))
    )


async def unfinished(session: Session, since: datetime) -> set[UUID]:
    """The campaigns completed since then whose rows do not hold the complete counts yet."""
    return set(await session.values(_UNFINISHED, since=since))


async def first_unfinished(session: Session, since: datetime) -> datetime | None:
    """When the first of `unfinished` was completed."""
    first: datetime | None = await session.value(_FIRST_UNFINISHED, since=since)
    return first


async def uncrowned(session: Session) -> set[UUID]:
    """The campaigns whose rows do not know their winner yet."""
    return set(await session.values(_UNCROWNED))


async def subjects(session: Session, ids: Sequence[UUID]) -> list[Subject]:
    """In the order in which every writer takes them."""
    return await session.rows(Subject, _SUBJECTS, ids=list(ids))


async def write(session: Session, calculated: Calculated) -> bool:
    """Replace the rows of the campaign and put its performance facts into the outbox; False when
    what is stored is as new, or newer.
    """
    revision = await session.scalar(_replacing(calculated))
    if revision is None:
        return False
    if calculated.stats.variants:  # written by this transaction alone: the row above is locked
        await session.execute(_variants(calculated))
    await append(session, _facts(calculated, revision))
    return True


def _replacing(calculated: Calculated) -> ReturningInsert[int]:
    """The upsert of the aggregate's row, unless what is stored is as new, or newer."""
    subject, stats = calculated.subject, calculated.stats
    made = insert(StoredStats).values(
        campaign_id=subject.id,
        total_recipients=min(subject.total_recipients, MAX_INTEGER),
        live_version=stats.version,
        winner=subject.winner,
        is_complete=calculated.is_complete,
        skipped=stats.skipped,
        hours={str(hour): counts for hour, counts in stats.hours.items()},
        counted_at=stats.updated_at,
        updated_at=calculated.at,
        revision=1,
        **_fitting(stats.total),
    )
    new, old = made.excluded, StoredStats
    fresh = {name: new[name] for name in (*_AGGREGATE, *COLUMNS.values())}
    said = (old.live_version, old.total_recipients, old.is_complete, old.winner)
    return made.on_conflict_do_update(
        index_elements=[old.campaign_id, old.variant_id],
        set_=fresh | {"revision": old.revision + 1},
        where=and_(
            new.live_version >= old.live_version,
            new.total_recipients >= old.total_recipients,
            new.is_complete >= old.is_complete,
            or_(old.winner.is_(None), new.winner.is_not(None)),
            tuple_(*(new[column.key] for column in said)).is_distinct_from(tuple_(*said)),
        ),
    ).returning(old.revision)


def _variants(calculated: Calculated) -> Insert:
    made = insert(StoredStats).values(
        [
            {
                "campaign_id": calculated.subject.id,
                "variant_id": variant_id,
                "total_recipients": min(counts.sent + counts.skipped, MAX_INTEGER),
                "live_version": calculated.stats.version,
                "updated_at": calculated.at,
                **_fitting(counts),
            }
            for variant_id, counts in calculated.stats.variants.items()
        ]
    )
    fresh = ("total_recipients", "live_version", "updated_at", *COLUMNS.values())
    return made.on_conflict_do_update(
        index_elements=[StoredStats.campaign_id, StoredStats.variant_id],
        set_={name: made.excluded[name] for name in fresh},
    )


_STORED = select(StoredStats).where(StoredStats.campaign_id == bindparam("campaign_id"))


async def sent_by_number(session: Session, tenant: str) -> dict[int, int]:
    """Messages sent of each of the tenant's campaigns that has materialised stats."""
    found = await session.execute(
        select(Campaign.number, func.max(StoredStats.sent_count))
        .join(StoredStats, StoredStats.campaign_id == Campaign.id)
        .where(Campaign.tenant_id == tenant, StoredStats.variant_id.is_(None))
        .group_by(Campaign.number)
    )
    return dict(found.tuples().all())


async def stored(session: Session | Reading, campaign_id: UUID) -> CampaignStats | None:
    """The materialised stats of a campaign of the caller's tenant; None when there are none."""
    found = await session.every(_STORED, {"campaign_id": campaign_id})
    rows = {row.variant_id: row for row in found}
    if (total := rows.get(None)) is None:
        return None
    counts = {
        variant: Counts(**{name: getattr(row, column) for name, column in COLUMNS.items()})
        for variant, row in rows.items()
    }
    return CampaignStats(
        total=counts.pop(None),
        variants=dict(sorted((str(variant), of) for variant, of in counts.items())),
        hours={int(hour): (opened, clicked) for hour, (opened, clicked) in total.hours.items()},
        skipped=total.skipped,
        version=total.live_version,
        updated_at=total.counted_at,
    )


def _fitting(counts: Counts) -> dict[str, int]:
    """The counts by column, as the columns can hold them: a series that is sent to a million every
    hour has more after three months. The facts are exact.
    """
    return {column: min(getattr(counts, name), MAX_INTEGER) for name, column in COLUMNS.items()}


def _facts(calculated: Calculated, revision: int) -> list[Outgoing]:
    """One record for the campaign and one for each variant."""
    subject, stats = calculated.subject, calculated.stats
    made = [_fact(calculated, revision, None, subject.total_recipients, stats.total)]
    made += [
        _fact(calculated, revision, variant, it.sent + it.skipped, it)
        for variant, it in stats.variants.items()
    ]
    origin = (subject.tenant_id, subject.correlation_id or str(subject.id), rfc3339(calculated.at))
    return [
        Outgoing(
            Name.PERFORMANCE,
            str(subject.id),
            TYPE,
            record_id(subject.id, revision, fact.variant_id or None),
            enveloped(fact, *origin),
        )
        for fact in made
    ]


def _fact(
    calculated: Calculated, revision: int, variant_id: str | None, recipients: int, counts: Counts
) -> Performance:
    subject, percent = calculated.subject, rates(counts)
    more: dict[str, str | bool] = {} if variant_id is None else {"variant_id": variant_id}
    if variant_id is not None and subject.winner is not None:
        more["is_winner"] = variant_id == subject.winner
    if subject.parent_id is not None:
        more["parent_id"] = str(subject.parent_id)
    return Performance(
        campaign_id=str(subject.id),
        campaign_name=subject.name,
        channel=subject.channel,
        type=subject.type,
        status=subject.status,
        at=calculated.stats.updated_at or rfc3339(calculated.at),
        revision=revision,
        is_complete=calculated.is_complete,
        total_recipients=recipients,
        open_rate=percent.open_rate,
        click_rate=percent.click_rate,
        bounce_rate=percent.bounce_rate,
        **{column: getattr(counts, name) for name, column in COLUMNS.items()},
        **more,  # type: ignore[arg-type]
    )
