"""The SQL by which every reader of contacts finds those that nothing may be sent to on a channel: a
suppressed contact, a suppressed address whoever has it, and an address of which only the hash is
kept.

Parameters are `tenant` and the alias of a contact. A hash costs 2 us, so addresses are hashed only
for a tenant that has suppressed hashes. Statements of the API read `suppressions_in_sight`, because
a policy is in the way of the indexes (tables/tenancy); workers, whom none restricts, read the
table.
"""

from __future__ import annotations

from tables.channels import CHANNELS
from tables.database.connection import Session


def suppressions(channel: str, *, in_sight: bool = True) -> str:
    """The rest of a SELECT, from FROM: the tenant's suppressions `s` on this channel."""
    source = "suppressions_in_sight" if in_sight else "suppressions"
    return f"FROM {source} s WHERE s.tenant_id = %(tenant)s AND s.channel = '{channel}'"


async def has_hashes(session: Session, tenant: str, channel: str) -> bool:
    """Whether addresses have to be hashed to be compared; for `is_free`, whose sets a condition in
    SQL would keep from being read in parallel.
    """
    query = f"SELECT EXISTS (SELECT {suppressions(channel)} AND s.address_hash IS NOT NULL)"
    return bool(await session.value(query, tenant=tenant))


def look_ups(channel: str, contact: str, *, in_sight: bool) -> str:
    """The join that looks each contact up in the suppressions: `barred.found` is true or NULL.

    LATERAL with LIMIT cannot be flattened, so each contact costs index look-ups whatever the
    statistics say. A tenant without suppressions of a kind pays one look-up of it per statement.
    """
    rows = suppressions(channel, in_sight=in_sight)
    found = " UNION ALL ".join(
        f"(SELECT true AS found {rows} AND s.{column} = {value}"
        f" AND (SELECT EXISTS (SELECT {rows} AND s.{column} IS NOT NULL)))"
        for column, value in _kinds(channel, contact).items()
    )
    return f"LEFT JOIN LATERAL ({found} LIMIT 1) AS barred ON true"


def is_free(channel: str, contact: str, *, hashes: bool = True) -> str:
    """The condition that nothing bars the contact, for a worker's sets, joined as a whole. Without
    `hashes` the tenant has no suppressed ones.
    """
    rows = suppressions(channel, in_sight=False)
    return " AND ".join(
        f"NOT EXISTS (SELECT {rows} AND s.{column} = {value})"
        for column, value in _kinds(channel, contact).items()
        if hashes or column != "address_hash"
    )


def barred_contacts(channel: str, *, hashes: bool = True) -> str:
    """SELECTs of `contact_id` joined by UNION ALL: every contact of the tenant that is barred."""
    address = CHANNELS[channel].compared_in("a")
    pairs = {"address": address} | ({"address_hash": f"address_hash({address})"} if hashes else {})
    by_address = "".join(
        f""" UNION ALL
        SELECT a.id
          FROM contacts a
          JOIN (SELECT s.{column} {suppressions(channel)} AND s.{column} IS NOT NULL) AS s
            ON {value} = s.{column}
         WHERE a.tenant_id = %(tenant)s"""
        for column, value in pairs.items()
    )
    return f"SELECT contact_id {suppressions(channel)} AND s.contact_id IS NOT NULL{by_address}"


def _kinds(channel: str, contact: str) -> dict[str, str]:
    """Column of suppressions -> the value by which it bars the contact of this alias."""
    address = CHANNELS[channel].compared_in(contact)
    return {
        "contact_id": f"{contact}.id",
        "address": address,
        "address_hash": f"address_hash({address})",
    }
