"""Composes the messages of a chunk: every ordinal becomes one message or one skip with its reason.
Pure: no clock, no input, no output.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from connectors.messages.content import Content
from connectors.templates.rendering import RenderError, Tracking
from streams.records.message_id import MessageIds
from streams.records.messages import Message, encode_message
from tables.audience.chunks import (
    ADDRESS,
    CONTACT_ID,
    FIRST_FIELD,
    IS_SUPPRESSED,
    RECIPIENT_ID,
    VARIANT_ID,
)
from tables.audience.recipients import ordinal_of
from tables.sms_segments import segments

MAX_MESSAGE = 800_000  # bytes; a Kafka batch, which must hold the largest record, has 900,000
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_ONE_CLICK = {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}  # RFC 8058
_UNRENDERABLE = (
    RenderError,
    msgspec.MsgspecError,
    RecursionError,
)  # attributes that are not an object, or nested 1,000 deep
_NO_HEADERS: list[tuple[str, bytes]] = []


@dataclass
class Composed:
    """What a transaction holds of one campaign. `records` are (key, value, headers), as a
    transaction's outbox has them.
    """

    records: list[tuple[bytes, bytes, list[tuple[str, bytes]]]] = field(default_factory=list)
    sent: defaultdict[str | None, list[int]] = field(
        default_factory=lambda: defaultdict(list)
    )  # variant -> ordinals
    skipped: defaultdict[str, list[int]] = field(
        default_factory=lambda: defaultdict(list)
    )  # reason -> ordinals


def headers(channel: str, tracking: Tracking, message_id: str) -> dict[str, str] | None:
    """The headers of a message: only an email has any, those of RFC 8058."""
    return (
        {"List-Unsubscribe": f"<{tracking.unsubscribe(message_id)}>", **_ONE_CLICK}
        if channel == "email"
        else None
    )


def aligned(rows: Sequence[Any], start: int, stop: int) -> Sequence[Any]:
    """One row of `read_chunk`, or None, for each ordinal of [start, stop)."""
    if len(rows) == stop - start:
        return rows
    by_ordinal = {ordinal_of(row[RECIPIENT_ID]): row for row in rows}
    return [by_ordinal.get(ordinal) for ordinal in range(start, stop)]


def compose(
    content: Content,
    ids: MessageIds,
    start: int,
    variant: str | None,
    rows: Sequence[Any],
    created_at: str,
    into: Composed,
) -> None:
    """Add the messages of the recipients from `start` on, one per row of `aligned`, read with the
    content's fields.

    `variant` holds for all of them; when it is None each has the one in its row. Skip reasons:
    `erased` (no row or no contact), `suppressed`, `no-address`, `render-error`, `too-long` (an SMS
    of more segments than the campaign allows). About 8 us a message.
    """
    ordinals = range(start, start + len(rows))
    tenant, campaign, number, channel, fields = (
        content.tenant_id,
        str(content.id),
        content.number,
        content.channel,
        content.fields,
    )
    sender, list_header, is_email = (
        content.sender,
        f"<{content.tracking.unsubscribe('')}",
        channel == "email",
    )
    sender, has_attributes = dict(sender) if sender else None, "attributes" in fields
    options, most = dict(content.options) if content.options else None, content.max_segments
    template, by_variant = content.template(variant), variant is None and len(content.templates) > 1
    keep, skipped, sent = into.records.append, into.skipped, into.sent[variant].append
    message_ids = ids.make_many(number, ordinals, tenant, content.key_epoch)
    for ordinal, message_id, row in zip(ordinals, message_ids, rows, strict=True):
        if row is None or (contact_id := row[CONTACT_ID]) is None:
            skipped["erased"].append(ordinal)
            continue
        if row[IS_SUPPRESSED]:
            skipped["suppressed"].append(ordinal)
            continue
        if not (address := row[ADDRESS]):
            skipped["no-address"].append(ordinal)
            continue
        own = variant
        if by_variant:
            own = row[VARIANT_ID]
            template, sent = content.template(own), into.sent[own].append
        contact = dict(zip(fields, row[FIRST_FIELD:], strict=True))
        try:
            if has_attributes:
                contact["attributes"] = _decode(contact["attributes"])
            parts = template.render(contact, message_id)
        except _UNRENDERABLE:
            skipped["render-error"].append(ordinal)
            continue
        if most is not None and segments(parts["text"]).parts > most:
            skipped["too-long"].append(ordinal)
            continue
        message = encode_message(
            Message(
                message_id=message_id,
                tenant_id=tenant,
                campaign_id=campaign,
                contact_id=str(contact_id),
                recipient_number=ordinal,
                channel=channel,
                to=address,
                content=parts,
                created_at=created_at,
                variant_id=own,
                sender=sender,
                headers={"List-Unsubscribe": f"{list_header}{message_id}>", **_ONE_CLICK}
                if is_email
                else None,
                options=options,
            )
        )
        if len(message) > MAX_MESSAGE:
            skipped["render-error"].append(ordinal)
            continue
        keep((message_id.encode(), message, _NO_HEADERS))
        sent(ordinal)
