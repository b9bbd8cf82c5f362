"""A tenant's own limits, changed in the row and told to the throttle in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

from streams.contracts.envelope import encode
from streams.records.sending import LimitsChanged
from streams.topics import Name
from tables.campaigns.campaign import lock_tenant
from tables.database.connection import Connection
from tables.database.outbox import Outgoing, append
from tables.tenants.tenants import Tenant, get_tenant

_COLUMNS = frozenset({"hourly_limit", "daily_limit"})


async def change_limits(
    connection: Connection, tenant_id: str, changes: Mapping[str, int | None]
) -> Tenant:
    """Set `hourly_limit` and `daily_limit`; None = no limit. Campaigns that are being sent obey as
    soon as the throttle hears of it.

    Needs a transaction. Raises NotFoundError.
    """
    await lock_tenant(connection, tenant_id)  # orders the records of two changes as the changes
    before = await get_tenant(connection, tenant_id)
    columns = {
        name: value
        for name, value in changes.items()
        if name in _COLUMNS and value != getattr(before, name)
    }
    if not columns:
        return before
    assignments = ", ".join(f"{name} = ${place}" for place, name in enumerate(columns, 2))
    await connection.execute(
        f"UPDATE tenants SET {assignments} WHERE id = $1", tenant_id, *columns.values()
    )
    after = await get_tenant(connection, tenant_id)
    record = LimitsChanged(tenant_id=tenant_id, limits=after.limits)
    # the id is stored with the record, so a repeat of the relay has the same one
    await append(connection, [Outgoing(Name.SENDING, tenant_id, "", uuid4(), encode(record))])
    return after
