"""Trial sends: a campaign's messages to addresses that a person names, which are never counted.

Identity: a message id of campaign number 0 with a random ordinal, so it verifies like any other,
and ingest drops its reports. Order of effects: one SQL transaction has the count against
the limit, the answer to repeat and the messages in the outbox; the relay carries them to
`pipeline.messages.v1`. A kill -9 before the commit leaves nothing; between Kafka's commit and the
relay's it is the same message under the same id once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from connectors.messages.composing import MAX_MESSAGE, headers
from connectors.messages.content import Content
from connectors.messages.preview import rendered
from streams.errors import FieldError, broken
from streams.records.message_id import MAX_ORDINAL, TESTS, MessageIds
from streams.records.messages import Message, encode_message
from tables.channels import CHANNELS

_MARK = "[Test] "
NOBODY = UUID(int=0)  # the contact of a test with sample data
# The fields of a template when no contact is named and the audience is empty.
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
    """The addresses in their one spelling. Raises CampaignError that names every one that is
    none.
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
    """One message per address and variant, rendered for the contact (its id and fields). `content`
    is not tracked.

    `draw(n)` is a random number below n. Raises CampaignError as `rendered` does, and for a message
    that is too large.
    """
    contact_id, fields = contact
    made = []
    for address in addresses:
        for variant in variants:
            ordinal = draw(MAX_ORDINAL + 1)
            message_id = ids.make(TESTS, ordinal, content.tenant_id, epoch)
            [one] = rendered(content, [variant], fields, message_id)
            message = _message(
                content, one.content, message_id, ordinal, address, variant, contact_id, at
            )
            if (
                size := len(encode_message(message))
            ) > MAX_MESSAGE:  # the relay must not meet what Kafka does not take
                raise broken(
                    FieldError(
                        "content", f"the message has {size:,} bytes, the limit is {MAX_MESSAGE:,}"
                    )
                )
            made.append(message)
    return made


def _message(
    content: Content,
    said: Mapping[str, str],
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
        content={part: _MARK + text if part == "subject" else text for part, text in said.items()},
        created_at=at,
        variant_id=variant,
        sender=dict(content.sender) if content.sender else None,
        headers=headers(content.channel, content.tracking, message_id),
        options=dict(content.options) if content.options else None,
        is_test=True,
    )
