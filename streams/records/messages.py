"""`pipeline.messages.v1`: one record per message, the contract with pipeline workers, ESPs and the
simulator.
"""

from __future__ import annotations

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


encode_message = msgspec.json.Encoder().encode
decode_message = msgspec.json.Decoder(Message).decode
