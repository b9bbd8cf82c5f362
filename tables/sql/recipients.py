"""The ledger of recipients: its derived row ids, its chunks for emission, its pages for the API."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from uuid import UUID

import asyncpg

from streams.envelope import Record
from streams.errors import MalformedError
from streams.message_id import MAX_ORDINAL
from tables.channels import CHANNELS
from tables.sql.database import Connection

_VERSION_AND_VARIANT = (0x8 << 76) | (0x8 << 60)  # UUIDv8, RFC 9562, section 5.8

# template name -> column of contacts
FIELDS = MappingProxyType(
    {
        "externalId": "external_id",
        "email": "email",
        "phone": "phone",
        "pushToken": "push_token",
        "firstName": "first_name",
        "lastName": "last_name",
        "timeZone": "time_zone",
        "locale": "locale",
        "attributes": "attributes",
    }
)


def recipient_id(number: int, ordinal: int) -> UUID:
    """The row id of a recipient, as the SQL function of the same name; ids sort by (number, ordinal).

    `ordinal` may be one past the last, 2^24: the bound of a range, the first id of the next campaign.
    """
    if ordinal > MAX_ORDINAL:
        number, ordinal = number + 1, ordinal - MAX_ORDINAL - 1
    return UUID(int=number << 80 | _VERSION_AND_VARIANT | (ordinal >> 12) << 64 | (ordinal & 0xFFF) << 48)


def ordinal_of(row_id: UUID) -> int:
    """The ordinal in a row id."""
    return (row_id.int >> 64 & 0xFFF) << 12 | row_id.int >> 48 & 0xFFF
