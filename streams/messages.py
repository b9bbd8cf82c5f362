"""`pipeline.messages.v1`: one record per message, the contract with pipeline workers, ESPs and the simulator."""

from __future__ import annotations

import msgspec

from streams.envelope import Record


class Message(Record, frozen=True):
    """What one recipient gets. `content`: email {subject, html, text}; sms, whatsapp {text}; push {title, body, link}."""

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


encode_message = msgspec.json.Encoder().encode
decode_message = msgspec.json.Decoder(Message).decode
