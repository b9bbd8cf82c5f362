"""`pipeline.events.v1`: reports about messages from pipeline workers, webhooks and tracking, in any
order and any number of times.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

# `accepted`: a provider took the message; what became of it then is another kind.
IncomingType = Literal[
    "accepted",
    "delivered",
    "opened",
    "clicked",
    "bounced",
    "failed",
    "unsubscribed",
    "complained",
    "replied",
]
# The person behind the message wants no more of them: such an event is never dropped quietly.
SAYING_NO = frozenset[IncomingType]({"unsubscribed", "complained"})
# The words for it, ours and those of all providers, in whatever cannot be read.
_NO = re.compile(rb"unsubscri|complain|spamreport|opt-?out|\bstop", re.IGNORECASE)


def says_no(content: bytes) -> bool:
    """Whether a record or body that cannot be used may hold a person's no."""
    return _NO.search(content) is not None


class Details(msgspec.Struct, rename="camel", gc=False, omit_defaults=True):
    """The details of a kind: `reason` and `bounceType` of bounces and failures, `url` of clicks,
    `isMachine` of opens and clicks.
    """

    reason: str | None = None
    bounce_type: Literal["hard", "soft"] | None = None
    url: str | None = None
    is_machine: bool | None = False


class Incoming(msgspec.Struct, rename="camel", gc=False, omit_defaults=True):
    """Not frozen: two million of these a minute are decoded, and frozen ones cost more. Unknown
    fields are ignored.
    """

    type: IncomingType
    message_id: str
    tenant_id: str
    timestamp: str
    data: Details | None = None


class Needed(msgspec.Struct, rename="camel"):
    """The members that an event cannot do without."""

    type: IncomingType
    message_id: str
    tenant_id: str


decode_incoming = msgspec.json.Decoder(Incoming).decode
decode_needed = msgspec.json.Decoder(Needed).decode
encode_incoming = msgspec.json.Encoder().encode
