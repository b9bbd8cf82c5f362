"""The read of emission: the recipients of a chunk as they are now, with what their template needs
and whether they may be written to.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from tables.audience.recipients import FIELDS, recipient_id
from tables.channels import CHANNELS
from tables.database.connection import Session

# Where things are in a row, because reading by name costs 0.1 us each; the fields follow in the
# order in which they were asked for.
#: One recipient, by the places below.
RecipientRow = tuple[Any, ...]
RECIPIENT_ID, CONTACT_ID, VARIANT_ID, IS_SUPPRESSED, ADDRESS, FIRST_FIELD = range(6)


async def read_chunk(
    session: Session,
    tenant: str,
    channel: str,
    fields: Sequence[str],
    number: int,
    start: int,
    stop: int,
) -> list[RecipientRow]:
    """The recipients [start, stop) in that order. Rows that were erased are absent, and erased
    contacts have no CONTACT_ID.

    `fields` are names of `FIELDS`, and fewer are faster; `attributes` come as the text of a JSON
    object. IS_SUPPRESSED is as of this moment, True or None. One statement, so one snapshot. About
    6 us a row in PostgreSQL, 3 us when the tenant has no suppressions.
    """
    cursor = (await session.driver()).cursor(binary=True)
    await cursor.execute(
        _sql(channel, tuple(fields)),
        {
            "tenant": tenant,
            "first": recipient_id(number, start),
            "end": recipient_id(number, stop),
        },
    )
    return await cursor.fetchall()


@lru_cache(maxsize=1000)
def _sql(channel: str, fields: tuple[str, ...]) -> str:
    # LATERAL with LIMIT cannot be flattened, so each recipient costs three index look-ups whatever
    # the statistics say: otherwise a plan made while a table was new scans all contacts, and hashes
    # all suppressions, for every grant of ten recipients.
    address = f"c.{CHANNELS[channel].column}"
    # attributes as text: decoding that takes 0.5 us, the driver's way through jsonb three times it
    columns = "".join(
        f", c.{FIELDS[field]}" + ("::text" if field == "attributes" else "") for field in fields
    )
    mine = f"FROM suppressions s WHERE s.tenant_id = %(tenant)s AND s.channel = '{channel}'"
    # A tenant that has no suppression of a kind pays one look-up of it per chunk instead of one per
    # recipient.
    suppressed = "".join(
        f" LEFT JOIN LATERAL (SELECT true AS found {mine} AND s.{kind} = {value}"
        f" AND (SELECT EXISTS (SELECT {mine} AND s.{kind} IS NOT NULL)) LIMIT 1) AS by_{kind}"
        " ON true"
        for kind, value in (("contact_id", "r.contact_id"), ("address", address))
    )
    return (
        "SELECT r.id, c.id, r.variant_id, by_contact_id.found OR by_address.found,"
        f" {address}{columns} FROM campaign_recipients r"
        " LEFT JOIN LATERAL (SELECT * FROM contacts c"
        " WHERE c.id = r.contact_id AND c.tenant_id = %(tenant)s LIMIT 1) AS c"
        f" ON true{suppressed}"
        " WHERE r.id >= %(first)s AND r.id < %(end)s AND r.tenant_id = %(tenant)s ORDER BY r.id"
    )
