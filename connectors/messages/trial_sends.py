"""Trial sends: a campaign's messages to addresses that a person names, which are never counted.

Identity: a message id of campaign number 0 with a random ordinal. It verifies like any other id,
and ingest drops the reports about it. Order of effects: one SQL transaction counts the send against
the limit, remembers the answer and puts the messages into the outbox; the relay carries them to
`pipeline.messages.v1`. A kill -9 before the commit leaves nothing; a kill between Kafka's commit
and the relay's sends the same message under the same id once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from connectors.messages.composing import as_written, headers
from connectors.messages.content import Content
from connectors.messages.preview import rendered
from connectors.templates.rendering import MAX_MESSAGE
from streams.errors import FieldError, broken
from streams.records.message_id import MAX_ORDINAL, TESTS, MessageIds
from streams.records.messages import Message, encode_message
from tables.channels import CHANNELS

_MARK = "[Test] "
NOBODY = UUID(int=0)  # the contact id of a message made from SAMPLE
# The contact fields of a trial send that names no contact, for an audience that is empty.
SAMPLE: Mapping[str, Any] = {
    "externalId": "sample-1",
    "firstName": "Ana",
    "lastName": "Sample",
    "email": "ana@example.com",
    "phone": "+12025550123",
    "pushToken": "sample",
    "timeZone": "Europe/Lisbon",
    "locale": "en",
    "attributes": {},
}


def spelled(channel: str, addresses: Iterable[str]) -> list[str]:
    """Return the addresses as this channel normalises them. Raises CampaignError that names every
    text that is no address.
    """
    found, errors = list[str](), list[FieldError]()
    for place, address in enumerate(addresses):
        try:
            found.append(CHANNELS[channel].normalise(address))
        except ValueError as error:
            errors.append(FieldError(f"addresses.{place}", str(error)))
    if errors:
        raise broken(*errors)
    return found


def messages(
    content: Content,
    variants: Sequence[str | None],
    addresses: Sequence[str],
    contact: tuple[UUID, Mapping[str, Any]],
    *,
    ids: MessageIds,
    epoch: int,
    at: str,
    draw: Callable[[int], int],
) -> list[Message]:
    """Make one message per address and variant, rendered for the contact (its id and fields).
    `content` was loaded without tracking; `draw(n)` returns a random number below n.

    Raises CampaignError as `rendered` does, and when a message is too large.
    """
    contact_id, fields = contact
    made = []
    for address in addresses:
        for variant in variants:
            ordinal = draw(MAX_ORDINAL + 1)
            message_id = ids.make(TESTS, ordinal, content.tenant_id, epoch)
            [one] = rendered(content, [variant], fields, message_id, at)
            message = _message(
                content, one.content, message_id, ordinal, address, variant, contact_id, at
            )
            if len(encode_message(message)) > MAX_MESSAGE:
                message = as_written(message, content.template(variant))
            size = len(encode_message(message))
            if size > MAX_MESSAGE:  # Kafka would refuse it, and the relay stand still behind it
                raise broken(
                    FieldError(
                        "content", f"the message has {size:,} bytes, the limit is {MAX_MESSAGE:,}"
                    )
                )
            made.append(message)
    return made


def _message(
    content: Content,
    parts: Mapping[str, str],
    message_id: str,
    ordinal: int,
    address: str,
    variant: str | None,
    contact_id: UUID,
    at: str,
) -> Message:
    return Message(
        message_id=message_id,
        tenant_id=content.tenant_id,
        campaign_id=str(content.id),
        contact_id=str(contact_id),
        recipient_number=ordinal,
        channel=content.channel,
        to=address,
        content={part: _MARK + text if part == "subject" else text for part, text in parts.items()},
        created_at=at,
        variant_id=variant,
        sender=dict(content.sender) if content.sender else None,
        headers=headers(content.channel, content.tracking, message_id),
        options=dict(content.options) if content.options else None,
        is_test=True,
    )
