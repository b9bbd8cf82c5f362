"""`pipeline.messages.v1`: one record per message, the contract with pipeline workers, ESPs and the
simulator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from streams.contracts.envelope import Record


class Message(Record, frozen=True):
    """The message to one recipient. `content`: email {subject, html, text}; sms, whatsapp {text};
    push {title, body, link}.

    `from`: email {name, email, replyTo}; sms, whatsapp {senderId}. `options` are settings of the
    campaign for the provider: sms {maxSegments}; whatsapp {templateName, language}; push {sound,
    badge, ttlSeconds, collapseKey}. A test (`isTest`) goes to addresses that a person named, is
    never counted, and its reports are ignored; its `contactId` can be the nil UUID.
    """

    message_id: str
    tenant_id: str
    campaign_id: str
    contact_id: str
    recipient_number: int
    channel: str
    to: str
    content: dict[str, str]
    created_at: str
    variant_id: str | None = None
    sender: dict[str, str] | None = msgspec.field(default=None, name="from")
    headers: dict[str, str] | None = None
    options: dict[str, Any] | None = None
    is_test: bool = False


# Of a message that the role `deliver` hands over; others are for workers outside of this engine.
BUILT_IN: list[tuple[str, bytes]] = [("delivery", b"builtin")]


def is_built_in(headers: Sequence[tuple[str, bytes | None]]) -> bool:
    """Whether the record with these headers is a message for the role `deliver`."""
    return any(header in BUILT_IN for header in headers)


encode_message = msgspec.json.Encoder().encode
decode_message = msgspec.json.Decoder(Message).decode
