"""Test messages at rest: whether they may go to an address, how many a tenant has asked for, and
their way into the outbox.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from streams.errors import RateLimitedError
from streams.records.messages import Message, encode_message
from streams.topics import Name
from tables.channels import CHANNELS
from tables.database.connection import Connection
from tables.database.outbox import Outgoing, append
from tables.tenants.tenants import lock_tenant

PER_HOUR = 100  # test messages of a tenant
_HOUR = timedelta(hours=1)


async def suppressed_among(
    connection: Connection, tenant: str, channel: str, addresses: Sequence[str]
) -> set[str]:
    """Those of the addresses that nothing may be sent to: suppressed themselves, or a suppressed
    contact's.
    """
    rows = await connection.fetch(
        "SELECT address FROM suppressions WHERE tenant_id = $1 AND channel = $2::campaign_channel AND address = ANY ($3)"
        f" UNION SELECT c.{CHANNELS[channel].column} FROM contacts c JOIN suppressions s ON s.tenant_id = $1 AND s.contact_id = c.id"
        f" AND s.channel = $2::campaign_channel WHERE c.tenant_id = $1 AND c.{CHANNELS[channel].column} = ANY ($3)",
        *(tenant, channel, addresses),
    )
    return {row["address"] for row in rows}


async def check_room(connection: Connection, tenant: str, count: int, at: datetime) -> None:
    """Raises RateLimitedError when `count` more would be over the limit of any hour that ends now;
    `count` is at most that limit.
    """
    rows = await connection.fetch(
        "SELECT sent_at, messages FROM test_sends WHERE tenant_id = $1 AND sent_at > $2 ORDER BY sent_at",
        tenant,
        at - _HOUR,
    )
    over = sum(row["messages"] for row in rows) + count - PER_HOUR
    if over <= 0:
        return
    for row in rows:
        over -= row["messages"]
        if over <= 0:
            break
    wait = max(1, math.ceil((row["sent_at"] + _HOUR - at).total_seconds()))
    raise RateLimitedError(
        f"The limit is {PER_HOUR} test messages per tenant and hour; wait {wait} s.",
        retry_after=wait,
    )


async def send_tests(
    connection: Connection, tenant: str, messages: Sequence[Message], at: datetime
) -> None:
    """The messages leave when the transaction commits. Raises RateLimitedError."""
    await lock_tenant(connection, tenant)  # two requests at once must not both find the last room
    await check_room(connection, tenant, len(messages), at)
    await connection.execute(
        "DELETE FROM test_sends WHERE tenant_id = $1 AND sent_at <= $2", tenant, at - _HOUR
    )
    await connection.execute(
        "INSERT INTO test_sends (tenant_id, sent_at, messages) VALUES ($1, $2, $3)",
        tenant,
        at,
        len(messages),
    )
    await append(
        connection,
        [
            Outgoing(Name.MESSAGES, one.message_id, "", UUID(one.message_id), encode_message(one))
            for one in messages
        ],
    )
