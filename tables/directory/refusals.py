"""The reasons to refuse a change of a segment or a template: its name, another service that owns
it, the campaigns that need it.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, select

from streams.contracts.fields import ACTIVE, Status
from streams.contracts.values.one_line import composed, is_one_line
from streams.errors import ConflictError, FieldError, broken
from tables.database.connection import Session
from tables.models import Campaign, Segment, Template

_LONGEST_NAME = 255
_NAMED = 5  # campaigns in a refusal
_NOT_OVER = (Status.DRAFT, Status.SCHEDULED, *ACTIVE)


def checked_name(name: str) -> str:
    """The name in its one spelling: composed (NFC), without space around it. Raises
    CampaignError.
    """
    name = composed(name).strip()
    if not 1 <= len(name) <= _LONGEST_NAME or not is_one_line(name):
        rule = f"1 to {_LONGEST_NAME} characters on one line, without control characters"
        raise broken(FieldError("name", rule))
    return name


def refuse_copy(record: Segment | Template) -> None:
    """Raises ConflictError for a copy of what another service owns: its next reading would undo the
    change.
    """
    if record.is_mirrored:
        raise ConflictError("This is a copy of what another service owns; change it there.")


async def refuse_while_needed(
    session: Session, tenant: str, noun: str, is_used: ColumnElement[bool]
) -> None:
    """Raises ConflictError that names campaigns that are not over and meet the condition."""
    statement = (
        select(Campaign.name, Campaign.status)
        .where(
            Campaign.tenant_id == tenant,
            Campaign.deleted_at.is_(None),
            Campaign.status.in_(_NOT_OVER),
            is_used,
        )
        .order_by(Campaign.created_at.desc())
        .limit(_NAMED + 1)
    )
    used_by = [f"{name} ({status})" for name, status in await session.execute(statement)]
    if used_by:
        named = ", ".join(used_by[:_NAMED]) + (" and others" if len(used_by) > _NAMED else "")
        raise ConflictError(
            f"The {noun} is used by campaigns that are not over: {named}. "
            "Change, cancel or delete these first."
        )
