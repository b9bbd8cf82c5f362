"""Lists of contacts: a tenant's, those that a search finds, a segment's. They are sorted by id, and
a page begins at a cursor, so it costs the same however far it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Select, SQLColumnExpression, String, Uuid, column, func, select, table

from streams.errors import FieldError, broken
from tables.contacts import store
from tables.contacts.fields import SPELLINGS
from tables.database.arrays import among
from tables.database.connection import Session
from tables.database.search import beginning
from tables.models import Contact, SegmentMember
from tables.numbers import MOST_BEGINNINGS, beginnings

E = TypeVar("E")
_IN_SIGHT = table("contacts_in_sight", column("id", Uuid), column("tenant_id", String))
_EXPORTED = (*(getattr(Contact, column) for column in SPELLINGS), Contact.attributes)
# contacts that a search finds per column; what it costs does not grow with the directory
MOST_FOUND = 10_000
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]*")
# The columns of a search, each with an index of prefixes, and the parameter that it is compared
# with; pg_c_utf8 as in the indexes.
_SEARCHED = (
    ("email", "%(lower)s"),
    ("external_id", "%(exact)s"),
    *(("phone", f"%(phone{place})s") for place in range(MOST_BEGINNINGS)),
    ("lower(first_name COLLATE pg_c_utf8)", "lower(%(exact)s COLLATE pg_c_utf8)"),
    ("lower(last_name COLLATE pg_c_utf8)", "lower(%(exact)s COLLATE pg_c_utf8)"),
)
_BY_COLUMN = "UNION ALL".join(
    f"""
       (SELECT id
          FROM contacts_in_sight
         WHERE tenant_id = %(tenant)s AND {column} LIKE {pattern}
         ORDER BY {column} USING ~<~
         LIMIT {MOST_FOUND})
       """
    for column, pattern in _SEARCHED
)
_FOUND = f"""
SELECT id
  FROM ({_BY_COLUMN}) AS found
 WHERE %(after)s::uuid IS NULL OR id > %(after)s
 GROUP BY id
 ORDER BY id
 LIMIT %(limit)s"""
# The planner must see the words, for a plan made for any words cannot use the indexes.
_PLAN = """
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL enable_seqscan = off;
SET LOCAL jit = off"""


async def list_contacts(
    session: Session,
    tenant: str,
    *,
    search: str | None = None,
    after: UUID | None = None,
    limit: int = 100,
) -> list[Contact]:
    """Contacts by id, those after `after`. `search` is the beginning of an address, an externalId
    or a name; of all but externalIds the case does not matter. With a search it needs a
    transaction, and finds at most `MOST_FOUND` by each of them.
    """
    search = (search or "").replace("\0", "").strip()
    if search:
        found = await _found(session, tenant, search, after, limit)
        wanted = select(Contact).where(Contact.tenant_id == tenant, among(Contact.id, found))
        return await session.every(wanted.order_by(Contact.id))
    seen = _IN_SIGHT.c
    # lower: of idx_contacts_tenant, the names of tenants are lower case
    mine = (seen.tenant_id == tenant) & (func.lower(seen.tenant_id) == tenant)
    page = _page(select(seen.id).where(mine), seen.id, after, limit).subquery()
    of_page = select(Contact).join(page, Contact.id == page.c.id)
    return await session.every(of_page.where(Contact.tenant_id == tenant).order_by(Contact.id))


async def _found(
    session: Session, tenant: str, search: str, after: UUID | None, limit: int
) -> list[UUID]:
    is_number = _PHONE.fullmatch(search) is not None
    phones = beginnings("+" + re.sub(r"[^0-9]", "", search)) if is_number else ()
    await session.script(_PLAN)
    return await session.values(
        _FOUND,
        tenant=tenant,
        exact=beginning(search),
        lower=beginning(search.lower()),
        **{
            f"phone{place}": beginning(phone)
            for place, phone in zip_longest(range(MOST_BEGINNINGS), phones)
        },
        after=after,
        limit=limit,
    )


def _page(
    statement: Select[E], by_id: SQLColumnExpression[UUID], after: UUID | None, limit: int
) -> Select[E]:
    if after is not None:
        statement = statement.where(by_id > after)
    return statement.order_by(by_id).limit(limit)


async def list_members(
    session: Session,
    tenant: str,
    segment_id: UUID,
    *,
    after: UUID | None = None,
    limit: int = 100,
) -> list[Contact]:
    """The contacts of a segment by id, those after `after`."""
    members = _members(select(Contact), tenant, segment_id)
    return await session.every(_page(members, SegmentMember.contact_id, after, limit))


async def member_columns(
    session: Session, tenant: str, segment_id: UUID, *, after: UUID | None, limit: int
) -> list[tuple[Any, ...]]:
    """The contacts that `list_members` finds as tuples: the columns of `SPELLINGS` in their order,
    the id first, then the attributes. For many of them: as whole contacts they cost three times
    the CPU.
    """
    members = _members(select(*_EXPORTED), tenant, segment_id)
    page = _page(members, SegmentMember.contact_id, after, limit)
    return [tuple(row) for row in await session.execute(page)]


async def attribute_names(session: Session, tenant: str, segment_id: UUID) -> list[str]:
    """The names of all attributes that contacts of the segment have, sorted; about a second for a
    million contacts.
    """
    names = select(func.jsonb_object_keys(Contact.attributes, type_=String)).distinct()
    return sorted(await session.scalars(_members(names, tenant, segment_id)))


def _members(statement: Select[E], tenant: str, segment_id: UUID) -> Select[E]:
    """The statement, restricted to the contacts in a segment."""
    is_member = (SegmentMember.contact_id == Contact.id) & (
        SegmentMember.tenant_id == Contact.tenant_id
    )
    return statement.join(SegmentMember, is_member).where(
        SegmentMember.segment_id == segment_id, SegmentMember.tenant_id == tenant
    )


async def check_known(session: Session, tenant: str, contact_ids: Sequence[UUID]) -> None:
    """Raises CampaignError that names the first ids which the tenant does not have."""
    if unknown := await store.unknown(session, tenant, contact_ids):
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        rule = f"there is no contact {', '.join(map(str, unknown[:5]))}{more}"
        raise broken(FieldError("contactIds", rule))
