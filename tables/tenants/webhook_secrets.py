"""The secrets that a tenant's providers sign webhooks with: sealed at rest, opened only to verify a
webhook, never shown.

Sealed means AES-256-GCM (NIST SP 800-38D) under a key derived with HKDF-SHA-256 (RFC 5869) from a
message key, for this purpose alone. Tenant and provider are authenticated with it, so that a row
copied to another tenant does not open. There is no further secret to keep: `CAMPAIGNS_MESSAGE_KEYS`
opens these rows, a dump of the database alone does not. The first byte is the epoch of the key. The
key that signs seals; all of them open. `reseal` closes the rows again before an old key goes.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import delete, func, inspect, select, update
from sqlalchemy.dialects import postgresql

from streams.errors import CampaignError, Fate, NotFoundError
from streams.settings import Settings
from tables import models
from tables.database.connection import Session
from tables.models import WebhookSubscription, WebhookToken
from tables.tenants.audit import ENGINE, Action, Author, note
from tables.tenants.tenants import lock_tenant

_PURPOSE = b"campaigns: webhook secrets"
_NONCE = 12  # bytes
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


class SealError(CampaignError):
    """The stored webhook secret cannot be opened: CAMPAIGNS_MESSAGE_KEYS lost a key. Set the secret
    again.
    """

    fate, status, code, title = (
        Fate.REJECT,
        503,
        "secret-unreadable",
        "The webhook secret cannot be opened",
    )


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


@dataclass(frozen=True, slots=True)
class Shown:
    """All that the API ever shows of secrets: which fields are set, and since when."""

    fields: tuple[str, ...]
    updated_at: datetime


class Seal:
    """Closes and opens secrets with the installation's message keys."""

    def __init__(self, settings: Settings) -> None:
        self._epoch = settings.key_epoch
        self._ciphers = {
            key.epoch: AESGCM(HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(key.secret))
            for key in settings.keys
        }

    def close(self, secret: WebhookSecret, tenant: str, provider: str) -> bytes:
        nonce, cipher = secrets.token_bytes(_NONCE), self._ciphers[self._epoch]
        content = cipher.encrypt(nonce, msgspec.json.encode(secret), _bound(tenant, provider))
        return bytes([self._epoch]) + nonce + content

    def is_current(self, sealed: bytes) -> bool:
        """Whether the key that signs now has sealed it."""
        return sealed[:1] == bytes([self._epoch])

    def open(self, sealed: bytes, tenant: str, provider: str) -> WebhookSecret:
        """Raises SealError."""
        try:
            nonce, content = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
            return msgspec.json.decode(
                self._ciphers[sealed[0]].decrypt(nonce, content, _bound(tenant, provider)),
                type=WebhookSecret,
            )
        except (InvalidTag, IndexError, KeyError, ValueError) as error:
            raise SealError(f"The secret of {provider} cannot be opened. Set it again.") from error


def _bound(tenant: str, provider: str) -> bytes:
    return f"{tenant}/{provider}".encode()


async def reseal(session: Session, seal: Seal) -> int:
    """Close every secret with the key that signs now, and answer how many were sealed with another;
    a secret that cannot be opened stays as it is. The rows are locked meanwhile; there are a few
    for each tenant.
    """
    rows = await session.every(
        select(models.WebhookSecret)
        .order_by(models.WebhookSecret.tenant_id, models.WebhookSecret.provider)
        .with_for_update()
    )
    count = 0
    for row in rows:
        if seal.is_current(row.sealed):
            continue
        with suppress(SealError):
            secret = seal.open(row.sealed, row.tenant_id, row.provider)
            await session.execute(
                update(models.WebhookSecret)
                .where(
                    models.WebhookSecret.tenant_id == row.tenant_id,
                    models.WebhookSecret.provider == row.provider,
                )
                .values(sealed=seal.close(secret, row.tenant_id, row.provider))
            )
            count += 1
    return count


async def put(
    session: Session,
    seal: Seal,
    tenant: str,
    provider: str,
    secret: WebhookSecret,
    by: Author = ENGINE,
) -> Shown:
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
    return _shown(made)


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


async def load(session: Session, seal: Seal, tenant: str, provider: str) -> WebhookSecret:
    """Open the secrets of a provider. Raises NotFoundError when the tenant does not exist or has
    not set this provider up, and SealError.
    """
    found = await stored(session, tenant, provider)
    if found is None:
        raise NotFoundError("There is no such webhook.")
    return seal.open(found.sealed, tenant, provider)


async def show(session: Session, tenant: str, provider: str) -> Shown:
    """Raises NotFoundError."""
    found = await stored(session, tenant, provider)
    if found is None:
        raise _not_set_up(provider)
    return _shown(found)


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


def _shown(stored: models.WebhookSecret) -> Shown:
    return Shown(tuple(stored.fields), stored.updated_at)


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
