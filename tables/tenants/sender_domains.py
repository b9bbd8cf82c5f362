"""The domains that a tenant sends from: added with a token of its own, verified by the TXT record
that holds it, removed.

A domain is verified as long as the last answer of DNS was its record; nothing looks by itself. A
verified domain covers its subdomains, as at Amazon SES (docs.aws.amazon.com/ses/latest/dg,
creating-identities). Two tenants may verify the same domain: each shows that it controls it. Name,
token and record are as draft-ietf-dnsop-domain-verification-techniques recommends.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import ColumnElement, Select, delete, func, select, update
from sqlalchemy.dialects import postgresql

from streams.errors import ConflictError, NotFoundError
from tables.database.connection import Session
from tables.models import SenderDomain
from tables.tenants.audit import ENGINE, Action, Author, note
from tables.tenants.tenants import lock_tenant

MOST_DOMAINS = 100  # of a tenant, verified or not
_TOKEN = 16  # bytes


class Finding(StrEnum):
    """The answer of DNS about the record of a domain."""

    VERIFIED = "verified"
    NO_SUCH_NAME = "no-such-name"
    NO_TXT = "no-txt"
    OTHER_TOKEN = "other-token"
    OTHER_VALUES = "other-values"


async def add_domain(
    session: Session, tenant: str, domain: str, by: Author = ENGINE
) -> SenderDomain:
    """A domain in the spelling of `sender_domain`, with the record to set; not verified yet.

    Raises NotFoundError for an unknown tenant, and ConflictError when the tenant has the domain, or
    MOST_DOMAINS of them.
    """
    await lock_tenant(session, tenant)
    of_it = select(func.count()).where(SenderDomain.tenant_id == tenant)
    if (count := await session.scalar(of_it) or 0) >= MOST_DOMAINS:
        raise ConflictError(
            f"The tenant has {count} sender domains, the limit is {MOST_DOMAINS}; remove one first."
            " A domain covers its subdomains."
        )
    new = postgresql.insert(SenderDomain).values(
        tenant_id=tenant, domain=domain, token=secrets.token_hex(_TOKEN)
    )
    made = await session.first(new.on_conflict_do_nothing().returning(SenderDomain))
    if made is None:
        raise ConflictError(f"The tenant has the sender domain {domain} already.")
    await note(session, tenant, by, Action.DOMAIN_ADDED, subject=domain)
    return made


async def list_domains(
    session: Session, tenant: str, *, limit: int = MOST_DOMAINS, offset: int = 0
) -> tuple[list[SenderDomain], int]:
    """A page, by name, and how many there are."""
    mine = select(SenderDomain).where(SenderDomain.tenant_id == tenant)
    return await session.page(mine.order_by(SenderDomain.domain), limit, offset)


async def get_domain(session: Session, tenant: str, domain: str) -> SenderDomain:
    """Raises NotFoundError."""
    return await _found(session, select(SenderDomain).where(_is(tenant, domain)), domain)


async def lock_domain(session: Session, tenant: str, domain: str) -> SenderDomain:
    """`get_domain`, and no other transaction changes or removes it until this one ends."""
    one = select(SenderDomain).where(_is(tenant, domain))
    return await _found(session, one.with_for_update(), domain)


async def note_finding(
    session: Session, asked: SenderDomain, finding: Finding, by: Author = ENGINE
) -> SenderDomain:
    """The domain after DNS has answered about it as it was when it was `asked`: verified or, when
    the answer is not its record, not verified any more.

    Raises NotFoundError, and ConflictError when it was removed and added again meanwhile: its
    record is another one now.
    """
    since = func.coalesce(SenderDomain.verified_at, func.now())
    changed = (
        update(SenderDomain)
        .where(_is(asked.tenant_id, asked.domain), SenderDomain.token == asked.token)
        .values(
            checked_at=func.now(),
            finding=finding,
            verified_at=since if finding is Finding.VERIFIED else None,
        )
        .returning(SenderDomain)
    )
    after = await session.first(changed)
    if after is None:
        await get_domain(session, asked.tenant_id, asked.domain)
        raise ConflictError(
            f"{asked.domain} was removed and added again meanwhile; its record is another one now."
        )
    told = {"finding": finding.value}
    action, subject = Action.DOMAIN_CHECKED, asked.domain
    await note(session, asked.tenant_id, by, action, subject=subject, details=told)
    return after


async def remove_domain(session: Session, tenant: str, domain: str, by: Author = ENGINE) -> None:
    """Forget the domain and its token. Raises NotFoundError."""
    if not await session.changed(delete(SenderDomain).where(_is(tenant, domain))):
        raise _unknown(domain)
    await note(session, tenant, by, Action.DOMAIN_REMOVED, subject=domain)


async def among(session: Session, tenant: str, domains: Sequence[str]) -> list[SenderDomain]:
    """Those of these domains that the tenant has added, the longest first."""
    mine = select(SenderDomain).where(
        SenderDomain.tenant_id == tenant, SenderDomain.domain.in_(domains)
    )
    return await session.every(mine.order_by(func.length(SenderDomain.domain).desc()))


def _is(tenant: str, domain: str) -> ColumnElement[bool]:
    return (SenderDomain.tenant_id == tenant) & (SenderDomain.domain == domain)


async def _found(session: Session, statement: Select[SenderDomain], domain: str) -> SenderDomain:
    found = await session.first(statement)
    if found is None:
        raise _unknown(domain)
    return found


def _unknown(domain: str) -> NotFoundError:
    return NotFoundError(f"There is no sender domain {domain}.")
