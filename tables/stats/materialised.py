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

from streams.contracts.envelope import rfc3339
from streams.records.analytics import TYPE, Performance, enveloped, record_id
from streams.records.stats import Counts
from streams.topics import Name
from tables.database.connection import Connection
from tables.database.outbox import Outgoing, append
from tables.stats.totals import CampaignStats, rates

# What the specification calls a count, by what the live stats call it.
COLUMNS: Mapping[str, str] = {
    name: "complaint_count" if name == "complained" else f"{name}_count"
    for name in Counts.__struct_fields__
}
# What differs from the live stats, and, for series, whatever has children among them.
_CHANGED = """
SELECT c.id FROM unnest($1::bigint[], $2::bigint[]) AS live(number, version)
  JOIN campaigns c USING (number)
  LEFT JOIN campaign_stats s ON s.campaign_id = c.id AND s.variant_id IS NULL
 WHERE s.campaign_id IS NULL OR s.live_version < live.version OR s.total_recipients < coalesce(c.total_recipients, 0)
UNION SELECT c.parent_id FROM campaigns c WHERE c.number = ANY($1) AND c.parent_id IS NOT NULL"""
_UNFINISHED = """
SELECT c.id FROM campaigns c
 WHERE c.status = 'completed' AND c.completed_at > $1
   AND NOT EXISTS (SELECT FROM campaign_stats s WHERE s.campaign_id = c.id AND s.variant_id IS NULL AND s.is_complete)"""
_UNCROWNED = """
SELECT v.campaign_id FROM campaign_variants v
 WHERE v.is_winner
   AND NOT EXISTS (SELECT FROM campaign_stats s WHERE s.campaign_id = v.campaign_id AND s.variant_id IS NULL AND s.winner = v.variant_id)"""
_FIRST_UNFINISHED = f"SELECT min(completed_at) FROM campaigns WHERE id IN ({_UNFINISHED})"
# A series is the sum of its children.
_SUBJECTS = """
SELECT c.id, c.tenant_id, c.name, c.channel::text, c.type::text, c.status::text, c.parent_id, c.correlation_id, w.variant_id AS winner,
       coalesce(parts.numbers, ARRAY[c.number]) AS numbers,
       coalesce(CASE WHEN c.type = 'recurring' THEN parts.total ELSE c.total_recipients END, 0)::bigint AS total_recipients,
       coalesce(CASE WHEN c.type = 'recurring' THEN parts.done ELSE c.sent_count + c.skipped_count END, 0)::bigint AS done
  FROM campaigns c
  LEFT JOIN campaign_variants w ON w.campaign_id = c.id AND w.is_winner
  LEFT JOIN LATERAL (
       SELECT array_agg(o.number ORDER BY o.number) AS numbers,
              sum(o.total_recipients) AS total, sum(o.sent_count + o.skipped_count) AS done
         FROM campaigns o WHERE o.parent_id = c.id) parts ON c.type = 'recurring'
 WHERE c.id = ANY($1::uuid[]) ORDER BY c.number"""
_MOST = 2**31 - 1  # the columns are the specification's integers
_COUNTS = ", ".join(COLUMNS.values())
_PLACES = ", ".join(f"${n}" for n in range(11, 11 + len(COLUMNS)))
_FRESH = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS.values())
_AGGREGATE = f"""
INSERT INTO campaign_stats AS s
       (campaign_id, total_recipients, live_version, winner, is_complete, skipped, hours, counted_at, updated_at, revision, {_COUNTS})
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, {_PLACES})
    ON CONFLICT (campaign_id, variant_id) DO UPDATE
   SET total_recipients = excluded.total_recipients, live_version = excluded.live_version, winner = excluded.winner,
       is_complete = excluded.is_complete, skipped = excluded.skipped, hours = excluded.hours, counted_at = excluded.counted_at,
       updated_at = excluded.updated_at, revision = s.revision + 1, {_FRESH}
 WHERE excluded.live_version >= s.live_version AND excluded.total_recipients >= s.total_recipients
   AND excluded.is_complete >= s.is_complete AND (s.winner IS NULL OR excluded.winner IS NOT NULL)
   AND (excluded.live_version, excluded.total_recipients, excluded.is_complete, excluded.winner)
       IS DISTINCT FROM (s.live_version, s.total_recipients, s.is_complete, s.winner)
RETURNING revision"""
_VARIANT_PLACES = ", ".join(f"${n}" for n in range(6, 6 + len(COLUMNS)))
_VARIANT = f"""
INSERT INTO campaign_stats (campaign_id, variant_id, total_recipients, live_version, updated_at, {_COUNTS})
VALUES ($1, $2, $3, $4, $5, {_VARIANT_PLACES})
    ON CONFLICT (campaign_id, variant_id) DO UPDATE
   SET total_recipients = excluded.total_recipients, live_version = excluded.live_version, updated_at = excluded.updated_at, {_FRESH}"""
_STORED = f"SELECT variant_id, live_version, skipped, hours, counted_at, {_COUNTS} FROM campaign_stats WHERE campaign_id = $1"


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
    """A subject with its live stats, which are all the facts that the reader has seen until `at`."""

    subject: Subject
    stats: CampaignStats
    at: datetime

    @property
    def is_complete(self) -> bool:
        """Nothing more is sent, and what was sent is counted."""
        total = self.stats.total
        return (
            self.subject.status == "completed" and total.sent + total.skipped >= self.subject.done
        )


async def changed(connection: Connection, versions: Mapping[int, int]) -> set[UUID]:
    """Of the campaigns with these live versions by number, those whose rows are behind; with every
    series that has children among them.
    """
    return {
        row["id"]
        for row in await connection.fetch(_CHANGED, list(versions), list(versions.values()))
    }


async def unfinished(connection: Connection, since: datetime) -> set[UUID]:
    """The campaigns completed since then whose rows do not hold the complete counts yet."""
    return {row["id"] for row in await connection.fetch(_UNFINISHED, since)}


async def first_unfinished(connection: Connection, since: datetime) -> datetime | None:
    """When the first of `unfinished` was completed."""
    first: datetime | None = await connection.fetchval(_FIRST_UNFINISHED, since)
    return first


async def uncrowned(connection: Connection) -> set[UUID]:
    """The campaigns whose rows do not know their winner yet."""
    return {row["campaign_id"] for row in await connection.fetch(_UNCROWNED)}


async def subjects(connection: Connection, ids: Sequence[UUID]) -> list[Subject]:
    """In the order in which every writer takes them."""
    return [Subject(**dict(row)) for row in await connection.fetch(_SUBJECTS, ids)]


async def write(connection: Connection, calculated: Calculated) -> bool:
    """Replace the rows of the campaign and put its performance facts into the outbox; False when
    what is stored is as new, or newer.
    """
    subject, stats, at = calculated.subject, calculated.stats, calculated.at
    revision = await connection.fetchval(
        _AGGREGATE,
        *(
            subject.id,
            min(subject.total_recipients, _MOST),
            stats.version,
            subject.winner,
            calculated.is_complete,
        ),
        *(
            stats.skipped,
            {str(hour): counts for hour, counts in stats.hours.items()},
            stats.updated_at,
            at,
            1,
        ),
        *_fitting(stats.total),
    )
    if revision is None:
        return False
    for (
        variant_id,
        counts,
    ) in stats.variants.items():  # nobody else writes them: the row above is locked
        values = (
            variant_id,
            min(counts.sent + counts.skipped, _MOST),
            stats.version,
            at,
            *_fitting(counts),
        )
        await connection.execute(_VARIANT, subject.id, *values)
    await append(connection, _facts(calculated, revision))
    return True


async def stored(connection: Connection, campaign_id: UUID) -> CampaignStats | None:
    """What was materialised of a campaign of the caller's tenant, None when nothing was."""
    rows = {row["variant_id"]: row for row in await connection.fetch(_STORED, campaign_id)}
    if (total := rows.pop(None, None)) is None:
        return None
    counts = {
        variant: Counts(**{name: row[column] for name, column in COLUMNS.items()})
        for variant, row in [(None, total), *rows.items()]
    }
    return CampaignStats(
        total=counts.pop(None),
        variants=dict(sorted((str(variant), of) for variant, of in counts.items())),
        hours={int(hour): (opened, clicked) for hour, (opened, clicked) in total["hours"].items()},
        skipped=total["skipped"],
        version=total["live_version"],
        updated_at=total["counted_at"],
    )


def _fitting(counts: Counts) -> tuple[int, ...]:
    """As the columns can hold them: a series that is sent to a million every hour has more after
    three months. The facts are exact.
    """
    return tuple(min(count, _MOST) for count in msgspec.structs.astuple(counts))


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
