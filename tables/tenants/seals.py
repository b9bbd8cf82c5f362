"""Secrets of a tenant, sealed at rest and never shown.

Sealed means AES-256-GCM (NIST SP 800-38D) under a key derived with HKDF-SHA-256 (RFC 5869) from a
message key, for one purpose alone. The tenant and the name of the row are authenticated with it, so
that a row copied to another tenant does not open. There is no further secret to keep:
`CAMPAIGNS_MESSAGE_KEYS` opens these rows, a dump of the database alone does not. The first byte is
the epoch of the key. The key that signs seals; all of them open. `reseal` closes the rows again
before an old key goes.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import Generic, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import select, update
from sqlalchemy.orm import InstrumentedAttribute

from streams.errors import CampaignError, Fate
from streams.settings import Settings
from tables.database.connection import Session

S = TypeVar("S", bound=msgspec.Struct)
_NONCE = 12  # bytes


class SealError(CampaignError):
    """A stored secret cannot be opened: CAMPAIGNS_MESSAGE_KEYS lost a key. Set the secret again."""

    fate, status, code, title = (
        Fate.REJECT,
        503,
        "secret-unreadable",
        "A stored secret cannot be opened",
    )


class Seal(Generic[S]):
    """Closes and opens secrets of one purpose with the installation's message keys."""

    def __init__(self, settings: Settings, purpose: bytes, kind: type[S]) -> None:
        self._epoch, self._kind = settings.key_epoch, kind
        self._ciphers = {
            key.epoch: AESGCM(HKDF(SHA256(), 32, salt=None, info=purpose).derive(key.secret))
            for key in settings.keys
        }

    def close(self, secret: S, tenant: str, name: str) -> bytes:
        nonce, cipher = secrets.token_bytes(_NONCE), self._ciphers[self._epoch]
        content = cipher.encrypt(nonce, msgspec.json.encode(secret), _bound(tenant, name))
        return bytes([self._epoch]) + nonce + content

    def is_current(self, sealed: bytes) -> bool:
        """Whether the key that signs now has sealed it."""
        return sealed[:1] == bytes([self._epoch])

    def open(self, sealed: bytes, tenant: str, name: str) -> S:
        """Raises SealError."""
        try:
            nonce, content = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
            return msgspec.json.decode(
                self._ciphers[sealed[0]].decrypt(nonce, content, _bound(tenant, name)),
                type=self._kind,
            )
        except (InvalidTag, IndexError, KeyError, ValueError) as error:
            raise SealError(f"The secret of {name} cannot be opened. Set it again.") from error


def _bound(tenant: str, name: str) -> bytes:
    return f"{tenant}/{name}".encode()


async def reseal(
    session: Session,
    seal: Seal[S],
    column: InstrumentedAttribute[bytes] | InstrumentedAttribute[bytes | None],
    suffix: str = "",
) -> int:
    """Close every secret of the column with the key that signs now, and answer how many were sealed
    with another; a secret that cannot be opened stays as it is. The rows are locked meanwhile;
    there are a few for each tenant. `suffix`: what stands behind a row's name in that of its
    secret.
    """
    table = column.class_
    of_tenant, called = table.__table__.primary_key
    sealed = select(of_tenant, called, column).where(column.is_not(None))
    rows = await session.execute(sealed.order_by(of_tenant, called).with_for_update())
    count = 0
    for tenant, row_name, before in rows.all():
        if seal.is_current(before):
            continue
        with suppress(SealError):
            name = row_name + suffix
            after = seal.close(seal.open(before, tenant, name), tenant, name)
            row = (of_tenant == tenant) & (called == row_name)
            await session.execute(update(table).where(row).values({column: after}))
            count += 1
    return count
