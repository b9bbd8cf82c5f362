"""The secrets that a tenant's providers sign webhooks with: sealed at rest (`seals`), opened only
to verify a webhook, never shown.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec
from sqlalchemy import delete, func, inspect, select
from sqlalchemy.dialects import postgresql

from streams.errors import NotFoundError
from streams.settings import Settings
from tables import models
from tables.database.connection import Session
from tables.models import WebhookSubscription, WebhookToken
from tables.tenants.audit import ENGINE, Action, Author, note
from tables.tenants.seals import Seal
from tables.tenants.tenants import lock_tenant

_PURPOSE = b"campaigns: webhook secrets"
_ASKED = timedelta(days=3)  # SNS takes a confirmation for so long
_SWEPT = 100  # expired tokens that each new one takes with it
_SWEEP = """
DELETE FROM webhook_tokens
 WHERE ctid = ANY (ARRAY(
       SELECT ctid
         FROM webhook_tokens
        WHERE expires_at < now()
        ORDER BY expires_at
        LIMIT %(most)s
          FOR UPDATE SKIP LOCKED))"""


class WebhookSecret(msgspec.Struct, frozen=True, omit_defaults=True):
    """The settings of one provider; `connectors.webhooks` says which of them it needs. The
    representation shows none of them.
    """

    secret: str = ""
    public_key: str = ""
    verify_token: str = ""
    topic_arns: tuple[str, ...] = ()
    #: No secret, but a part of the same settings: the tenant's own words for stop.
    opt_out_words: tuple[str, ...] = ()

    @property
    def fields(self) -> list[str]:
        """The names of the secrets that are set."""
        return [name for name in self.__struct_fields__ if getattr(self, name)]

    def __repr__(self) -> str:
        return f"WebhookSecret({', '.join(self.fields)})"


def sealing(settings: Settings) -> Seal[WebhookSecret]:
    """Closes and opens them with the installation's message keys."""
    return Seal(settings, _PURPOSE, WebhookSecret)


async def put(
    session: Session,
    seal: Seal[WebhookSecret],
    tenant: str,
    provider: str,
    secret: WebhookSecret,
    by: Author = ENGINE,
) -> models.WebhookSecret:
    """Store the secrets of a provider in place of those that were there. Raises NotFoundError."""
    await lock_tenant(session, tenant)
    new = postgresql.insert(models.WebhookSecret).values(
        tenant_id=tenant,
        provider=provider,
        fields=secret.fields,
        sealed=seal.close(secret, tenant, provider),
    )
    replaced = {
        "fields": new.excluded.fields,
        "sealed": new.excluded.sealed,
        "updated_at": func.now(),
    }
    key = inspect(models.WebhookSecret).primary_key
    made = await session.first(
        new.on_conflict_do_update(index_elements=key, set_=replaced).returning(models.WebhookSecret)
    )
    assert made is not None
    is_set = {"isSet": secret.fields}
    await note(session, tenant, by, Action.WEBHOOK_SET, subject=provider, details=is_set)
    return made


async def lock(session: Session, tenant: str, provider: str) -> models.WebhookSecret | None:
    """`stored`, and no other transaction sets the provider up or removes it until this one ends,
    also when it is not set up yet.
    """
    await lock_tenant(session, tenant)
    return await stored(session, tenant, provider)


async def lock_known(session: Session, tenant: str, provider: str) -> models.WebhookSecret:
    """`lock` of a provider that is set up. Raises NotFoundError."""
    found = await lock(session, tenant, provider)
    if found is None:
        raise _not_set_up(provider)
    return found


async def load(
    session: Session, seal: Seal[WebhookSecret], tenant: str, provider: str
) -> WebhookSecret:
    """Open the secrets of a provider. Raises NotFoundError when the tenant does not exist or has
    not set this provider up, and SealError.
    """
    found = await stored(session, tenant, provider)
    if found is None:
        raise NotFoundError("There is no such webhook.")
    return seal.open(found.sealed, tenant, provider)


async def get(session: Session, tenant: str, provider: str) -> models.WebhookSecret:
    """`stored` of a provider that is set up. Raises NotFoundError."""
    found = await stored(session, tenant, provider)
    if found is None:
        raise _not_set_up(provider)
    return found


async def remove(session: Session, tenant: str, provider: str, by: Author = ENGINE) -> None:
    """Forget the secrets of a provider, so that its webhooks are refused. Raises NotFoundError."""
    await lock_tenant(session, tenant)
    asked, secret = WebhookSubscription, models.WebhookSecret
    await session.execute(
        delete(asked).where(asked.tenant_id == tenant, asked.provider == provider)
    )
    if not await session.changed(
        delete(secret).where(secret.tenant_id == tenant, secret.provider == provider)
    ):
        raise _not_set_up(provider)
    await note(session, tenant, by, Action.WEBHOOK_REMOVED, subject=provider)


async def stored(session: Session, tenant: str, provider: str) -> models.WebhookSecret | None:
    """The secrets of a provider as they are sealed; None when it is not set up."""
    row = models.WebhookSecret
    return await session.first(select(row).where(row.tenant_id == tenant, row.provider == provider))


def _not_set_up(provider: str) -> NotFoundError:
    return NotFoundError(f"The webhook of {provider} is not set up.")


async def ask(
    session: Session, tenant: str, provider: str, topic_arn: str, subscribe_url: str
) -> None:
    """Keep the address that confirms the subscription of a topic, for the tenant's admin. Of
    several the newest stays.
    """
    new = postgresql.insert(WebhookSubscription).values(
        tenant_id=tenant, provider=provider, topic_arn=topic_arn, subscribe_url=subscribe_url
    )
    newest = {"subscribe_url": new.excluded.subscribe_url, "asked_at": func.now()}
    key = inspect(WebhookSubscription).primary_key
    await session.execute(new.on_conflict_do_update(index_elements=key, set_=newest))


async def subscriptions(session: Session, tenant: str, provider: str) -> list[WebhookSubscription]:
    """The subscriptions that may still wait for a person to open their address, oldest first. SNS
    tells nothing of a confirmation.
    """
    asked = WebhookSubscription
    return await session.every(
        select(asked)
        .where(
            asked.tenant_id == tenant,
            asked.provider == provider,
            asked.asked_at > func.now() - _ASKED,
        )
        .order_by(asked.asked_at)
    )


async def first_meaning(
    session: Session, tenant: str, provider: str, token: str, meaning: str, keep: timedelta
) -> str:
    """The meaning that the token had when it was first seen, which may be now: the same answer to
    every repeat until `keep` has passed.

    `token` has at most 200 characters, `meaning` at most 64. Every new token deletes some that are
    expired.
    """
    await session.run(_SWEEP, most=_SWEPT)
    new = postgresql.insert(WebhookToken).values(
        tenant_id=tenant,
        provider=provider,
        token=token,
        meaning=meaning,
        expires_at=func.now() + keep,
    )
    await session.execute(new.on_conflict_do_nothing())
    first = await session.scalar(
        select(WebhookToken.meaning).where(
            WebhookToken.tenant_id == tenant,
            WebhookToken.provider == provider,
            WebhookToken.token == token,
        )
    )
    return first or meaning  # another request may have swept it between the two statements
