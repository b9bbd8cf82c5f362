"""Answers to commands, and the memory of them: a repeated command or request gets the first answer
again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from streams.contracts.envelope import Record
from streams.errors import CampaignError, ConflictError, FieldError
from tables.campaigns.changes import Change
from tables.database.connection import Session
from tables.models import RememberedAnswer

Scope = Literal["command", "rest", "trigger"]
_KEPT = {"command": timedelta(days=7), "rest": timedelta(hours=24), "trigger": timedelta(days=7)}
_ANOTHER_REQUEST = "This {} was used for another request before; a new request needs a new one."
_REUSED = {
    "command": _ANOTHER_REQUEST.format("correlationId"),
    "rest": _ANOTHER_REQUEST.format("Idempotency-Key"),
    "trigger": "This correlationId was used for a trigger with other contacts;"
    " a new trigger needs a new one.",
}


_NOT_KEPT = frozenset({"changes", "is_repeat"})


class RefusedField(Record, frozen=True):
    """A `FieldError` at rest."""

    field: str
    message: str


class Refusal(Record, frozen=True, omit_defaults=False):
    """A `CampaignError` at rest: the members of its problem document that are the same for every
    caller.
    """

    code: str
    title: str
    status: int
    detail: str
    errors: tuple[RefusedField, ...] = ()

    @classmethod
    def of(cls, error: CampaignError) -> Refusal:
        wrong = tuple(RefusedField(field=e.field, message=e.message) for e in error.errors)
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
class Answer:
    """The answer to a command: the campaign as the API spells it (None when it is deleted), or a
    refusal. A repeat gets exactly this.

    `number` finds the campaign in the live views, `outcome` is what a trigger answers instead of
    the campaign, `changes` are empty in a repeat, which `is_repeat` marks.
    """

    status: int
    campaign_id: UUID | None = None
    number: int | None = None
    campaign: dict[str, Any] | None = None
    refusal: Refusal | None = None
    outcome: dict[str, Any] | None = None
    changes: tuple[Change, ...] = field(default=(), compare=False)
    is_repeat: bool = field(default=False, compare=False)

    def result(self) -> dict[str, Any] | None:
        """The campaign. Raises the CampaignError of a refusal, so call it after the transaction
        that remembers the answer.
        """
        if self.refusal is not None:
            raise self.refusal.error()
        return self.campaign


@dataclass(frozen=True)
class Identity:
    """A repeat has the same key in the same tenant and scope, and the same `content`; another
    content under that key is another request.
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


async def recall(session: Session, identity: Identity, at: datetime) -> Answer | None:
    """The first answer, None when there was none. Until the transaction ends, others with the same
    identity wait here.

    Raises ConflictError when the key was used for something else.
    """
    name = f"answer\n{identity.tenant_id}\n{identity.scope}\n{identity.key}"
    await session.run("SELECT pg_advisory_xact_lock(hashtextextended(%(name)s, 0))", name=name)
    return await look_up(session, identity, at)


async def look_up(session: Session, identity: Identity, at: datetime) -> Answer | None:
    """`recall` for a caller that holds a lock which keeps others with the same identity away."""
    row = await session.first(
        select(RememberedAnswer).where(
            RememberedAnswer.tenant_id == identity.tenant_id,
            RememberedAnswer.scope == identity.scope,
            RememberedAnswer.correlation_id == identity.key,
            RememberedAnswer.expires_at > at,
        )
    )
    if row is None:
        return None
    if row.request_sha256 != identity.digest:
        raise ConflictError(_REUSED[identity.scope])
    return msgspec.convert({"status": row.status, **row.answer, "is_repeat": True}, Answer)


async def remember(session: Session, identity: Identity, answer: Answer, at: datetime) -> None:
    """Keep the answer for 7 days (commands, triggers) or 24 hours (REST). An expired one under the
    same key is replaced.
    """
    stored = msgspec.to_builtins(answer)
    made = insert(RememberedAnswer).values(
        tenant_id=identity.tenant_id,
        scope=identity.scope,
        correlation_id=identity.key,
        request_sha256=identity.digest,
        status=stored.pop("status"),
        answer={name: value for name, value in stored.items() if name not in _NOT_KEPT},
        expires_at=at + _KEPT[identity.scope],
    )
    fresh = ("request_sha256", "status", "answer", "expires_at")
    await session.execute(
        made.on_conflict_do_update(
            index_elements=[
                RememberedAnswer.tenant_id,
                RememberedAnswer.scope,
                RememberedAnswer.correlation_id,
            ],
            set_={name: made.excluded[name] for name in fresh},
        )
    )
