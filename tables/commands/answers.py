"""Answers to commands, and the memory of them: a repeated command or request gets the first answer
again.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal
from uuid import UUID

import msgspec

from streams.contracts.envelope import Record
from streams.errors import CampaignError, ConflictError, FieldError
from tables.database.connection import Connection

Scope = Literal["command", "rest"]
KEPT = {"command": timedelta(days=7), "rest": timedelta(hours=24)}
_log = logging.getLogger(__name__)


class Wrong(Record, frozen=True):
    """A `FieldError` at rest."""

    field: str
    message: str


class Refusal(Record, frozen=True, omit_defaults=False):
    """A `CampaignError` at rest: the members of its problem document that do not depend on who
    asks.
    """

    code: str
    title: str
    status: int
    detail: str
    errors: tuple[Wrong, ...] = ()

    @classmethod
    def of(cls, error: CampaignError) -> Refusal:
        wrong = tuple(Wrong(field=e.field, message=e.message) for e in error.errors)
        return cls(
            code=error.code,
            title=error.title,
            status=error.status,
            detail=error.detail,
            errors=wrong,
        )

    def error(self) -> CampaignError:
        """The exception it came from, of the same class."""
        kind = next(
            (kind for kind in CampaignError.__subclasses__() if kind.code == self.code),
            CampaignError,
        )
        return kind(
            self.detail,
            errors=tuple(FieldError(wrong.field, wrong.message) for wrong in self.errors),
        )

    def problem(self) -> dict[str, Any]:
        """Problem details (RFC 9457), for the result of a command."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return {"type": f"urn:campaigns:problem:{fields.pop('code')}", **fields}


@dataclass(frozen=True)
class Change:
    """A status that changed; logged once the transaction is committed."""

    tenant_id: str
    correlation_id: str
    campaign_id: UUID
    from_status: str
    to_status: str

    def log(self) -> None:
        _log.info(
            "[LIFECYCLE] campaign status changed",
            extra={
                "tenantId": self.tenant_id,
                "correlationId": self.correlation_id,
                "campaignId": str(self.campaign_id),
                "fromStatus": self.from_status,
                "toStatus": self.to_status,
            },
        )


@dataclass(frozen=True)
class Answer:
    """What a command came to: the campaign as the API spells it (None when it is deleted), or a
    refusal. Exactly what is repeated.

    `number` finds the campaign in the live views, `outcome` is what a trigger answers instead of
    the campaign, `changes` are empty in a repeat.
    """

    status: int
    campaign_id: UUID | None = None
    number: int | None = None
    campaign: dict[str, Any] | None = None
    refusal: Refusal | None = None
    outcome: dict[str, Any] | None = None
    changes: tuple[Change, ...] = field(default=(), compare=False)

    def result(self) -> dict[str, Any] | None:
        """The campaign. Raises the CampaignError of a refusal, so call it after the transaction
        that remembers the answer.
        """
        if self.refusal is not None:
            raise self.refusal.error()
        return self.campaign


@dataclass(frozen=True)
class Identity:
    """What makes a repeat: the same key in the same tenant and scope. `content` tells a repeat from
    another request under the same key.
    """

    tenant_id: str
    scope: Scope
    key: str
    content: dict[str, Any]

    @property
    def digest(self) -> bytes:
        # the standard library's JSON takes every number that a caller can write, msgspec's only 64
        # bits
        return sha256(json.dumps(self.content, sort_keys=True).encode()).digest()


async def recall(connection: Connection, identity: Identity, at: datetime) -> Answer | None:
    """The first answer, None when there was none. Until the transaction ends, others with the same
    identity wait here.

    Raises ConflictError when the key was used for something else.
    """
    lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
    await connection.execute(
        lock, f"answer\n{identity.tenant_id}\n{identity.scope}\n{identity.key}"
    )
    row = await connection.fetchrow(
        "SELECT request_sha256, status, answer FROM answers"
        " WHERE tenant_id = $1 AND scope = $2 AND correlation_id = $3 AND expires_at > $4",
        *(identity.tenant_id, identity.scope, identity.key, at),
    )
    if row is None:
        return None
    if row["request_sha256"] != identity.digest:
        name = "correlationId" if identity.scope == "command" else "Idempotency-Key"
        raise ConflictError(
            f"This {name} was used for another request before; a new request needs a new one."
        )
    return msgspec.convert({"status": row["status"], **row["answer"]}, Answer)


async def remember(
    connection: Connection, identity: Identity, answer: Answer, at: datetime
) -> None:
    """Keep the answer for 7 days (commands) or 24 hours (REST). An expired one under the same key
    is replaced.
    """
    stored = msgspec.to_builtins(answer)
    await connection.execute(
        "INSERT INTO answers (tenant_id, scope, correlation_id, request_sha256, status, answer, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant_id, scope, correlation_id) DO UPDATE"
        " SET request_sha256 = excluded.request_sha256, status = excluded.status, answer = excluded.answer,"
        " expires_at = excluded.expires_at",
        *(identity.tenant_id, identity.scope, identity.key, identity.digest, stored.pop("status")),
        *(
            {name: value for name, value in stored.items() if name != "changes"},
            at + KEPT[identity.scope],
        ),
    )


async def forget_expired(connection: Connection, at: datetime, limit: int = 10_000) -> int:
    """Remove answers that nobody can ask for any more; answers how many went."""
    statement = "DELETE FROM answers WHERE ctid IN (SELECT ctid FROM answers WHERE expires_at <= $1 LIMIT $2)"
    return int((await connection.execute(statement, at, limit)).rpartition(" ")[2])
