"""The audience that a campaign would have if it started now, and the contacts that are left out,
counted by reason; nothing is written.

The counts are those of `audience.stage`: of the contacts in the segments the first reason that
applies is counted, `excluded-segment`, `suppressed`, `no-address`, `duplicate-address` (another
contact with the same address gets it), and the rest is the audience.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select

from tables.audience.staging import choose_joins, few_members, looked_up, set_joins
from tables.channels import CHANNELS
from tables.database.connection import Session
from tables.directory.barring import barred_contacts, has_hashes
from tables.models import Contact

REASONS = ("excluded-segment", "suppressed", "no-address", "duplicate-address")
_PATIENCE = "20s"  # of PostgreSQL, for a count that a person waits for
# A million rows pass from the workers to the leader all the same. A hash table that they share
# would not fit into a container's 64 MB of shared memory.
_PARALLEL = (
    "SET LOCAL parallel_tuple_cost = 0.01; SET LOCAL parallel_setup_cost = 100;"
    " SET LOCAL enable_parallel_hash = off"
)
_LOOKED_AT = 5_000  # members of a segment, to find a few who would get it


@dataclass(frozen=True, slots=True)
class Counted:
    """`in_segments` = `total` + all that is in `excluded`, which has every reason."""

    in_segments: int
    total: int
    excluded: Mapping[str, int]


class _Judged(NamedTuple):
    """How many contacts have a reason, the place in `REASONS` from 1 (0: they get it), and how many
    addresses they have.
    """

    reason: int
    contacts: int
    addresses: int


async def count_audience(
    session: Session,
    tenant: str,
    channel: str,
    segments: Sequence[UUID],
    excluded: Sequence[UUID],
    *,
    is_triggered: bool = False,
) -> Counted:
    """Needs a transaction. 1,000,000 contacts take PostgreSQL 1.5 s of CPU.

    A triggered campaign has no duplicates: each of its contacts is somebody. Without segments
    everybody may enter it.
    """
    await session.script(f"SET LOCAL statement_timeout = '{_PATIENCE}'")
    is_many = await choose_joins(session, segments) if segments else True
    if not segments:
        await set_joins(session, is_many=True)
    if is_many:
        await session.script(_PARALLEL)
    everybody = is_triggered and not segments
    rows = await session.rows(
        _Judged,
        _count_sql(channel, is_many, everybody, await has_hashes(session, tenant, channel)),
        tenant=tenant,
        excluded=list(excluded),
        segments=list(segments),
    )
    contacts = {row.reason: row.contacts for row in rows}
    addresses = sum(row.addresses for row in rows if row.reason == 0)
    duplicates = 0 if is_triggered else contacts.get(0, 0) - addresses
    counts = (*(contacts.get(reason, 0) for reason in (1, 2, 3)), duplicates)
    in_segments = sum(contacts.values())
    return Counted(in_segments, in_segments - sum(counts), dict(zip(REASONS, counts, strict=True)))


async def some_of_audience(
    session: Session,
    tenant: str,
    channel: str,
    segments: Sequence[UUID],
    excluded: Sequence[UUID],
    limit: int,
) -> list[Contact]:
    """Up to `limit` contacts who would get it, the same ones every time as long as nothing changes;
    fewer when they are hard to find.

    A triggered campaign without segments takes them from all contacts.
    """
    members = (
        f"""SELECT one.contact_id
              FROM unnest(%(segments)s::uuid[]) AS segment
             CROSS JOIN LATERAL (
                   SELECT contact_id FROM segment_members
                    WHERE segment_id = segment AND tenant_id = %(tenant)s
                    ORDER BY contact_id LIMIT {_LOOKED_AT}) AS one"""
        if segments
        else "SELECT id AS contact_id FROM contacts WHERE tenant_id = %(tenant)s ORDER BY id"
    )
    found = await session.values(
        f"""SELECT c.id
              FROM (SELECT DISTINCT contact_id FROM ({members} LIMIT {_LOOKED_AT}) AS few) AS m
              JOIN LATERAL (
                   SELECT * FROM contacts
                    WHERE id = m.contact_id AND tenant_id = %(tenant)s LIMIT 1) AS c ON true
                   {looked_up(channel, in_sight=True)}
             WHERE x.found IS NULL AND barred.found IS NULL
               AND c.{CHANNELS[channel].column} IS NOT NULL
             ORDER BY c.id LIMIT %(limit)s""",
        tenant=tenant,
        excluded=list(excluded),
        segments=list(segments),
        limit=limit,
    )
    return await session.every(select(Contact).where(Contact.id.in_(found)).order_by(Contact.id))


@lru_cache
def _count_sql(channel: str, is_many: bool, everybody: bool, hashes: bool) -> str:
    """Parameters are tenant, excluded and segments. Each contact gets its reason, 0 = none, and
    those with none meet by address.
    """
    address = CHANNELS[channel].compared_in("c")
    within = """AND c.id IN (
                       SELECT m.contact_id FROM segment_members m
                        WHERE m.segment_id = ANY (%(segments)s::uuid[])
                          AND m.tenant_id = %(tenant)s)"""
    barred = "b.reason" if is_many else "CASE WHEN x.found THEN 1 WHEN barred.found THEN 2 END"
    among_all = f"""FROM contacts c {_hashed(channel, hashes)}
                         WHERE c.tenant_id = %(tenant)s {"" if everybody else within}"""
    found = among_all if is_many else few_members(channel, in_sight=True)
    return f"""
        SELECT reason, sum(n)::bigint AS contacts, count(*) AS addresses
          FROM (SELECT reason, CASE WHEN reason = 0 THEN address END AS once, count(*) AS n
                  FROM (SELECT {address} AS address,
                               coalesce({barred}, CASE WHEN {address} IS NULL THEN 3 ELSE 0 END)
                               AS reason
                          {found}) AS judged
                 GROUP BY 1, 2) AS grouped GROUP BY reason"""


def _hashed(channel: str, hashes: bool) -> str:
    """The join for many contacts `c`: who is barred is collected first, because a join of a million
    rows takes 0.3 s, and three do 1 s.
    """
    return f"""
        LEFT JOIN (SELECT contact_id, min(reason) AS reason
                     FROM (SELECT contact_id, 1 AS reason FROM segment_members
                            WHERE segment_id = ANY (%(excluded)s::uuid[])
                            UNION ALL
                           SELECT contact_id, 2
                             FROM ({barred_contacts(channel, hashes=hashes)}) AS suppressed
                          ) AS every
                    GROUP BY contact_id) AS b ON b.contact_id = c.id"""
