"""Test messages at rest: whether they may go to an address, how many a tenant has asked for, and
their way into the outbox.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from uuid import UUID

from sqlalchemy import delete, insert, select

from streams.errors import RateLimitedError
from streams.records.messages import BUILT_IN, Message, encode_message
from streams.topics import Name
from tables.channels import CHANNELS
from tables.database.connection import Session
from tables.database.outbox import Outgoing, append
from tables.directory.barring import suppressions
from tables.models import TestSend
from tables.tenants.tenants import lock_tenant

PER_HOUR = 100  # test messages of a tenant
_HOUR = timedelta(hours=1)


async def suppressed_among(
    session: Session, tenant: str, channel: str, addresses: Sequence[str]
) -> set[str]:
    """Those of the addresses that nothing may be sent to: suppressed themselves, or a suppressed
    contact's.
    """
    rules, mine = CHANNELS[channel], suppressions(channel)
    compared = "number_key(a.address)" if rules.column == "phone" else "a.address"
    barred = f"""
        SELECT a.address
          FROM unnest(%(addresses)s::text[]) AS a (address)
         WHERE EXISTS (SELECT {mine} AND s.address = {compared})
            OR EXISTS (SELECT {mine} AND s.address_hash = address_hash({compared}))
            OR EXISTS (SELECT FROM contacts c
                        WHERE c.tenant_id = %(tenant)s AND {rules.found_by("c", "a.address")}
                          AND EXISTS (SELECT {mine} AND s.contact_id = c.id))"""
    return set(await session.values(barred, tenant=tenant, addresses=list(addresses)))


async def check_room(session: Session, tenant: str, count: int, at: datetime) -> None:
    """Raises RateLimitedError when `count` more would be over the limit of any hour that ends now;
    `count` is at most that limit.
    """
    sent = await session.execute(
        select(TestSend.sent_at, TestSend.messages)
        .where(TestSend.tenant_id == tenant, TestSend.sent_at > at - _HOUR)
        .order_by(TestSend.sent_at)
    )
    rows = sent.all()
    so_far = list(accumulate(messages for _, messages in rows))
    over = (so_far[-1] if so_far else 0) + count - PER_HOUR
    if over <= 0:
        return
    # there is room once the oldest `over` messages are an hour old
    freed = next(sent for (sent, _), messages in zip(rows, so_far, strict=True) if messages >= over)
    wait = max(1, math.ceil((freed + _HOUR - at).total_seconds()))
    raise RateLimitedError(
        f"The limit is {PER_HOUR} test messages per tenant and hour; wait {wait} s.",
        retry_after=wait,
    )


async def send_tests(
    session: Session,
    tenant: str,
    messages: Sequence[Message],
    at: datetime,
    *,
    is_built_in: bool = False,
) -> None:
    """The messages leave when the transaction commits, by a route if they are built-in. Raises
    RateLimitedError.
    """
    await lock_tenant(session, tenant)  # two requests at once must not both find the last room
    await check_room(session, tenant, len(messages), at)
    await session.execute(
        delete(TestSend).where(TestSend.tenant_id == tenant, TestSend.sent_at <= at - _HOUR)
    )
    await session.execute(
        insert(TestSend).values(tenant_id=tenant, sent_at=at, messages=len(messages))
    )
    kind = BUILT_IN[0][1].decode() if is_built_in else ""
    await append(
        session,
        [
            Outgoing(Name.MESSAGES, one.message_id, kind, UUID(one.message_id), encode_message(one))
            for one in messages
        ],
    )
