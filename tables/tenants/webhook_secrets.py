"""What a tenant's providers sign their webhooks with: sealed at rest, opened only to verify, never
shown.

Sealed = AES-256-GCM (NIST SP 800-38D) under a key derived with HKDF-SHA-256 (RFC 5869) from a
message key, for this purpose alone; tenant and provider are authenticated with it, so that a row
copied to another tenant does not open. So there is no further secret to keep: whoever has
`CAMPAIGNS_MESSAGE_KEYS` can read what these rows hold, a dump of the database alone cannot. The
first byte is the epoch of the key; the newest seals, and since keys are only ever appended, all of
them open.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from streams.errors import CampaignError, Fate, NotFoundError
from streams.settings import Settings
from tables.database.connection import Connection

_PURPOSE = b"campaigns: webhook secrets"
_NONCE = 12  # bytes
_SWEPT = 100  # expired tokens that each new one takes with it


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
    """What a provider needs of these; which ones, `connectors.webhooks` says. The representation
    shows nothing.
    """

    secret: str = ""
    public_key: str = ""
    verify_token: str = ""
    topic_arns: tuple[str, ...] = ()

    @property
    def fields(self) -> list[str]:
        """The names of those that are set."""
        return [name for name in self.__struct_fields__ if getattr(self, name)]

    def __repr__(self) -> str:
        return f"WebhookSecret({', '.join(self.fields)})"


@dataclass(frozen=True, slots=True)
class Shown:
    """All that is ever answered: which fields are set, and since when."""

    fields: tuple[str, ...]
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic that asks to be confirmed, and the address that does it when a person opens it."""

    topic_arn: str
    subscribe_url: str
    asked_at: datetime


class Seal:
    """Closes and opens secrets with the installation's message keys."""

    def __init__(self, settings: Settings) -> None:
        keys = (bytes.fromhex(key.get_secret_value()) for key in settings.message_keys)
        self._ciphers = [
            AESGCM(HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(key)) for key in keys
        ]

    def close(self, secret: WebhookSecret, tenant: str, provider: str) -> bytes:
        epoch, nonce = len(self._ciphers) - 1, secrets.token_bytes(_NONCE)
        return (
            bytes([epoch])
            + nonce
            + self._ciphers[epoch].encrypt(
                nonce, msgspec.json.encode(secret), _bound(tenant, provider)
            )
        )

    def open(self, sealed: bytes, tenant: str, provider: str) -> WebhookSecret:
        """Raises SealError."""
        try:
            nonce, content = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
            return msgspec.json.decode(
                self._ciphers[sealed[0]].decrypt(nonce, content, _bound(tenant, provider)),
                type=WebhookSecret,
            )
        except (InvalidTag, IndexError, ValueError) as error:
            raise SealError(f"The secret of {provider} cannot be opened. Set it again.") from error


def _bound(tenant: str, provider: str) -> bytes:
    return f"{tenant}/{provider}".encode()


async def put(
    connection: Connection, seal: Seal, tenant: str, provider: str, secret: WebhookSecret
) -> Shown:
    """Replaces what was there."""
    updated_at = await connection.fetchval(
        "INSERT INTO webhook_secrets (tenant_id, provider, fields, sealed) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (tenant_id, provider) DO UPDATE SET fields = excluded.fields, sealed = excluded.sealed, updated_at = now()"
        " RETURNING updated_at",
        *(tenant, provider, secret.fields, seal.close(secret, tenant, provider)),
    )
    return Shown(tuple(secret.fields), updated_at)


async def load(connection: Connection, seal: Seal, tenant: str, provider: str) -> WebhookSecret:
    """Raises NotFoundError when the tenant does not exist or has not set this provider up,
    SealError.
    """
    sealed = await connection.fetchval(
        "SELECT sealed FROM webhook_secrets WHERE tenant_id = $1 AND provider = $2",
        tenant,
        provider,
    )
    if sealed is None:
        raise NotFoundError("There is no such webhook.")
    return seal.open(sealed, tenant, provider)


async def show(connection: Connection, tenant: str, provider: str) -> Shown:
    """Raises NotFoundError."""
    row = await connection.fetchrow(
        "SELECT fields, updated_at FROM webhook_secrets WHERE tenant_id = $1 AND provider = $2",
        tenant,
        provider,
    )
    if row is None:
        raise NotFoundError(f"The webhook of {provider} is not set up.")
    return Shown(tuple(row["fields"]), row["updated_at"])


async def remove(connection: Connection, tenant: str, provider: str) -> None:
    """From now on its webhooks are refused. Raises NotFoundError."""
    await connection.execute(
        "DELETE FROM webhook_subscriptions WHERE tenant_id = $1 AND provider = $2", tenant, provider
    )
    answer = await connection.execute(
        "DELETE FROM webhook_secrets WHERE tenant_id = $1 AND provider = $2", tenant, provider
    )
    if answer == "DELETE 0":
        raise NotFoundError(f"The webhook of {provider} is not set up.")


async def ask(
    connection: Connection, tenant: str, provider: str, topic_arn: str, subscribe_url: str
) -> None:
    """Keep the address for the admin; the newest one counts."""
    await connection.execute(
        "INSERT INTO webhook_subscriptions (tenant_id, provider, topic_arn, subscribe_url) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (tenant_id, provider, topic_arn) DO UPDATE SET subscribe_url = excluded.subscribe_url, asked_at = now()",
        *(tenant, provider, topic_arn, subscribe_url),
    )


async def subscriptions(connection: Connection, tenant: str, provider: str) -> list[Subscription]:
    """Those that may wait for a person, oldest first: SNS does not tell that somebody has
    confirmed, and takes it for three days.
    """
    rows = await connection.fetch(
        "SELECT topic_arn, subscribe_url, asked_at FROM webhook_subscriptions"
        " WHERE tenant_id = $1 AND provider = $2 AND asked_at > now() - interval '3 days' ORDER BY asked_at",
        *(tenant, provider),
    )
    return [Subscription(**row) for row in rows]


async def first_meaning(
    connection: Connection, tenant: str, provider: str, token: str, meaning: str, keep: timedelta
) -> str:
    """What the token stood for when it was first seen, which may be now: the same answer to every
    repeat until `keep` has passed.

    `token` has at most 200 characters, `meaning` at most 64. Tokens whose time is over go as new
    ones come.
    """
    await connection.execute(
        "DELETE FROM webhook_tokens WHERE ctid = ANY(ARRAY("
        "SELECT ctid FROM webhook_tokens WHERE expires_at < now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED))",
        _SWEPT,
    )
    await connection.execute(
        "INSERT INTO webhook_tokens (tenant_id, provider, token, meaning, expires_at) VALUES ($1, $2, $3, $4, now() + $5)"
        " ON CONFLICT DO NOTHING",
        *(tenant, provider, token, meaning, keep),
    )
    return str(
        await connection.fetchval(
            "SELECT meaning FROM webhook_tokens WHERE tenant_id = $1 AND provider = $2 AND token = $3",
            tenant,
            provider,
            token,
        )
        or meaning  # swept by somebody else between the two statements
    )
