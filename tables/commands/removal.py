"""Everything of a tenant is removed, once the grace of its deletion is over.

One step is one transaction of a bounded number of rows, on the locked row of the tenant. Identity:
a step finds what is there, so a repeat, another process or a successor goes on where the last
commit was. Keys and webhook secrets go first, so that nothing new comes in; what belongs to a
campaign, a segment or a contact goes before it; the tenant's own row is the last. The audit log
stays, and with it the name is not given again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from sqlalchemy import Select, delete, func, select

from streams.contracts.bodies import Explanation
from streams.contracts.commands import Cancel
from streams.contracts.fields import ACTIVE, Status
from streams.settings import Settings
from tables.audience.staging import drop_dead_stages
from tables.commands.execute import execute
from tables.database.connection import Session
from tables.models import Campaign, Tenant
from tables.tenants.audit import ENGINE, Action, note

REASON = "tenant-deleted"
_CANCELLED_AT_ONCE = 50


def _of_tenant(table: str, which: str = "tenant_id = %(tenant)s") -> str:
    some = f"SELECT ctid FROM {table} t WHERE {which} LIMIT %(limit)s"
    return f"DELETE FROM {table} WHERE ctid = ANY (ARRAY({some}))"


def _of_each(owner: str, table: str, key: str) -> str:
    """The rows of a table without an index by tenant, found through those that they belong to."""
    return f"""
DELETE FROM {table}
 WHERE ctid = ANY (ARRAY(
       SELECT e.ctid
         FROM {owner} o, LATERAL (
              SELECT ctid FROM {table} WHERE {key} = o.id LIMIT %(limit)s) e
        WHERE o.tenant_id = %(tenant)s
        LIMIT %(limit)s))"""


# The ledger is partitioned by its id, which begins with the campaign's number.
_RECIPIENTS = """
DELETE FROM campaign_recipients
 WHERE tenant_id = %(tenant)s
   AND id = ANY (ARRAY(
       SELECT e.id
         FROM campaigns c, LATERAL (
              SELECT id FROM campaign_recipients
               WHERE id >= recipient_id(c.number, 0) AND id < recipient_id(c.number + 1, 0)
               LIMIT %(limit)s) e
        WHERE c.tenant_id = %(tenant)s
        LIMIT %(limit)s))"""
# Normally there are none, so none of them is looked for by an index.
_REFUSED = """key = %(tenant)s
    OR key IN (SELECT id::text FROM campaigns WHERE tenant_id = %(tenant)s)
    OR position(convert_to('"tenantId":"' || %(tenant)s || '"', 'UTF8') IN payload) > 0"""
_CHILDLESS = (
    "tenant_id = %(tenant)s AND NOT EXISTS (SELECT FROM campaigns c WHERE c.parent_id = t.id)"
)
# of idx_contacts_tenant and idx_suppressions_list
_LOWER = "lower(tenant_id) = %(tenant)s AND tenant_id = %(tenant)s"

#: Table -> the statement that removes at most `limit` rows of the tenant, in this order.
PARTS: Mapping[str, str] = MappingProxyType(
    {
        "api_keys": _of_tenant("api_keys"),
        "webhook_secrets": _of_tenant("webhook_secrets"),
        "webhook_subscriptions": _of_tenant("webhook_subscriptions"),
        "webhook_tokens": _of_tenant("webhook_tokens"),
        "sender_domains": _of_tenant("sender_domains"),
        "routes": _of_tenant("routes"),
        "route_usage": _of_tenant("route_usage"),
        "doubts": _of_tenant("doubts"),
        "outbox_refused": _of_tenant("outbox_refused", _REFUSED),
        "campaign_recipients": _RECIPIENTS,
        "campaign_entries": _of_each("campaigns", "campaign_entries", "campaign_id"),
        "campaign_contents": _of_each("campaigns", "campaign_contents", "campaign_id"),
        "campaign_variants": _of_each("campaigns", "campaign_variants", "campaign_id"),
        "campaign_stats": _of_each("campaigns", "campaign_stats", "campaign_id"),
        "ab_test_decisions": _of_each("campaigns", "ab_test_decisions", "campaign_id"),
        "complaint_pauses": _of_each("campaigns", "complaint_pauses", "campaign_id"),
        "campaigns": _of_tenant("campaigns", _CHILDLESS),
        "templates": _of_tenant("templates"),
        "segment_members": _of_each("segments", "segment_members", "segment_id"),
        "segments": _of_tenant("segments"),
        "whatsapp_users": _of_tenant("whatsapp_users"),
        "contacts": _of_tenant("contacts", _LOWER),
        # after the contacts: removing one writes its addresses here
        "former_addresses": _of_tenant("former_addresses"),
        "suppressions": _of_tenant("suppressions", _LOWER),
        "opt_ins": _of_tenant("opt_ins"),
        "answers": _of_tenant("answers"),
        "test_sends": _of_tenant("test_sends"),
    }
)


@dataclass(frozen=True)
class Step:
    """The work of one transaction: `count` rows of `table` removed, or campaigns cancelled where
    there is no table. Nothing is left to do for a step that counts 0.
    """

    count: int = 0
    table: str = ""

    @property
    def is_cancelling(self) -> bool:
        """The throttle has to hear of it before the rows go: wait for the next round."""
        return self.count > 0 and not self.table


async def next_doomed(session: Session) -> str | None:
    """The tenant whose grace was over first; None without one."""
    over = select(Tenant.id).where(Tenant.delete_after <= func.now())
    return await session.scalar(over.order_by(Tenant.delete_after, Tenant.id).limit(1))


async def step(
    session: Session, settings: Settings, tenant_id: str, at: datetime, limit: int
) -> Step:
    """Cancel what is not over, or remove up to `limit` rows of the first table that has some."""
    if await session.scalar(_doomed(tenant_id).with_for_update(read=True)) is None:
        return Step()
    if cancelled := await _cancel_some(session, settings, tenant_id, at):
        return Step(cancelled)
    for table, sql in PARTS.items():
        if removed := await session.run(sql, tenant=tenant_id, limit=limit):
            if table == "campaigns":
                await drop_dead_stages(session)
            return Step(removed, table)
    return Step()


async def finish(session: Session, tenant_id: str, limit: int) -> bool:
    """Remove the tenant's own row, so that nothing can refer to it any more; for a tenant of which
    a whole round found nothing. False when a row has been added since.
    """
    if await session.scalar(_doomed(tenant_id).with_for_update()) is None:
        return False
    found = [await session.run(sql, tenant=tenant_id, limit=limit) for sql in PARTS.values()]
    if any(found):
        return False
    await session.execute(delete(Tenant).where(Tenant.id == tenant_id))
    await note(session, tenant_id, ENGINE, Action.TENANT_DELETED, subject=f"tenant {tenant_id}")
    return True


def _doomed(tenant_id: str) -> Select[str]:
    """The tenant, if its grace is over."""
    return select(Tenant.id).where(Tenant.id == tenant_id, Tenant.delete_after <= func.now())


async def _cancel_some(session: Session, settings: Settings, tenant_id: str, at: datetime) -> int:
    """Cancel some of the campaigns that are not over: the throttle forgets them."""
    unfinished = select(Campaign.id).where(
        Campaign.tenant_id == tenant_id,
        Campaign.status.in_((Status.SCHEDULED, *ACTIVE)),
        Campaign.deleted_at.is_(None),
    )
    found = (await session.scalars(unfinished.limit(_CANCELLED_AT_ONCE))).all()
    for campaign_id in found:
        command = Cancel(
            tenant_id=tenant_id,
            correlation_id=f"{REASON}:{campaign_id}",
            campaign_id=campaign_id,
            body=Explanation(reason=REASON),
            at=at,
        )
        await execute(session, settings, command, scope="command")
    return len(found)
