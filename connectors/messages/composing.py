"""Composes the messages of a chunk: every ordinal becomes one message or one skip with its reason.
Pure: no clock, no input, no output.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import msgspec

from connectors.messages.content import Broken, Content
from connectors.templates.links import Tracking
from connectors.templates.rendering import MAX_MESSAGE, RenderError, Template
from streams.exactly_once.batches import NO_HEADERS
from streams.records.message_id import MessageIds
from streams.records.messages import BUILT_IN, Message, encode_message
from tables.audience.chunks import (
    ADDRESS,
    ADDRESS_VERSION,
    CONTACT_ID,
    FIRST_FIELD,
    IS_SUPPRESSED,
    RECIPIENT_ID,
    VARIANT_ID,
)
from tables.audience.recipients import ordinal_of
from tables.sms_segments import segments

_decode = msgspec.json.Decoder(dict[str, Any]).decode
# the last two: attributes that are not an object, or nested 1,000 deep
_UNRENDERABLE = (RenderError, msgspec.MsgspecError, RecursionError)


@dataclass
class Composed:
    """The messages of one campaign in one transaction. A record is key, value and headers, as a
    transaction takes them; `sent` has ordinals by variant, `skipped` ordinals by reason.
    `readdressed` has the address versions of those whose address is not the one in the ledger any
    more.
    """

    records: list[tuple[bytes, bytes, list[tuple[str, bytes]]]] = field(default_factory=list)
    sent: defaultdict[str | None, list[int]] = field(default_factory=lambda: defaultdict(list))
    skipped: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    readdressed: dict[int, int] = field(default_factory=dict)


def headers(channel: str, tracking: Tracking, message_id: str) -> dict[str, str] | None:
    """Return the headers of a message: those of RFC 8058 for an email, None on other channels."""
    if channel != "email":
        return None
    return _list_headers(f"<{tracking.unsubscribe(tracking.tokens(message_id)[0])}>")


def _list_headers(url: str) -> dict[str, str]:
    return {"List-Unsubscribe": url, "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def aligned(rows: Sequence[Any], start: int, stop: int) -> Sequence[Any]:
    """Return a row of `read_chunk` for each ordinal of [start, stop), None where there is none."""
    if len(rows) == stop - start:
        return rows
    by_ordinal = {ordinal_of(row[RECIPIENT_ID]): row for row in rows}
    return [by_ordinal.get(ordinal) for ordinal in range(start, stop)]


def as_written(message: Message, template: Template | Broken) -> Message:
    """Return a message that is too large without the text that was made of its HTML: nobody is
    skipped for a text that nobody wrote.
    """
    if not template.makes_text:
        return message
    written = {part: text for part, text in message.content.items() if part != "text"}
    return msgspec.structs.replace(message, content=written)


class SkippedError(Exception):
    """The recipient gets no message; the text is the reason."""


class Composer:
    """Composes the messages of one campaign. All recipients get `variant`; when it is None, each
    gets the variant in its row.

    Rows come from `aligned` and were read with the content's fields. Skip reasons: `erased` (no row
    or no contact), `suppressed`, `no-address`, `render-error`, `too-long` (an SMS of more segments
    than the campaign allows). About 8 us a message.
    """

    __slots__ = (
        "_by_variant",
        "_campaign_id",
        "_content",
        "_fields",
        "_has_attributes",
        "_headers",
        "_ids",
        "_makes_tokens",
        "_options",
        "_sender",
        "_template",
        "_unsubscribe",
        "_variant",
    )

    def __init__(self, content: Content, ids: MessageIds, variant: str | None) -> None:
        self._content, self._ids, self._variant = content, ids, variant
        # looked up once, because each message needs them
        self._campaign_id, self._fields = str(content.id), content.fields
        self._has_attributes = "attributes" in content.fields
        self._sender = dict(content.sender) if content.sender else None
        self._options = dict(content.options) if content.options else None
        self._headers = BUILT_IN if content.is_built_in else NO_HEADERS
        self._template = content.template(variant)
        self._by_variant = variant is None and len(content.templates) > 1
        is_email = content.channel == "email"
        self._unsubscribe = f"<{content.tracking.unsubscribe('')}" if is_email else None
        # an email needs them in its header, and so always
        self._makes_tokens = is_email or any(
            template.uses_tokens for template in content.templates.values()
        )

    def compose(self, start: int, rows: Sequence[Any], created_at: str, into: Composed) -> None:
        """Add one message or one skip for each row, whose ordinals begin at `start`."""
        content, skipped = self._content, into.skipped
        ordinals = range(start, start + len(rows))
        ids = self._ids.make_many(content.number, ordinals, content.tenant_id, content.key_epoch)
        tokens: Iterable[tuple[str, str] | None] = repeat(None, len(rows))
        if self._makes_tokens:
            tokens = content.tracking.tokens_of_many(
                content.number, ordinals, content.key_epoch, ids
            )
        keep, sent = into.records.append, into.sent[self._variant].append
        for ordinal, message_id, own, row in zip(ordinals, ids, tokens, rows, strict=True):
            if (reason := self.skip_reason(row)) is not None:
                skipped[reason].append(ordinal)
                continue
            try:
                message = self.message(ordinal, message_id, row, created_at, own)
            except SkippedError as error:
                skipped[str(error)].append(ordinal)
                continue
            keep((message_id.encode(), message, self._headers))
            if row[ADDRESS_VERSION] is not None:
                into.readdressed[ordinal] = row[ADDRESS_VERSION]
            if self._by_variant:
                into.sent[row[VARIANT_ID]].append(ordinal)
            else:
                sent(ordinal)

    def skip_reason(self, row: Any) -> str | None:
        """Return the reason to skip this row that is known before anything is rendered. None: the
        contact exists, is not suppressed and has an address.
        """
        if row is None or row[CONTACT_ID] is None:
            return "erased"
        if row[IS_SUPPRESSED]:
            return "suppressed"
        return None if row[ADDRESS] else "no-address"

    def message(
        self,
        ordinal: int,
        message_id: str,
        row: Any,
        created_at: str,
        tokens: tuple[str, str] | None,
    ) -> bytes:
        """Return the encoded message for a row without a `skip_reason`. An email needs its tokens.
        Raises SkippedError.
        """
        content, variant, template = self._content, self._variant, self._template
        if self._by_variant:
            variant = row[VARIANT_ID]
            template = content.template(variant)
        contact = dict(zip(self._fields, row[FIRST_FIELD:]))  # noqa: B905  # strict costs 0.1 us
        try:
            if self._has_attributes:
                contact["attributes"] = _decode(contact["attributes"])
            parts = template.render(contact, message_id, created_at, tokens)
        except _UNRENDERABLE:
            raise SkippedError("render-error") from None
        most = content.max_segments
        if most is not None and segments(parts["text"]).parts > most:
            raise SkippedError("too-long")
        message = Message(
            message_id=message_id,
            tenant_id=content.tenant_id,
            campaign_id=self._campaign_id,
            contact_id=row[CONTACT_ID],  # a UUID, which the encoder spells faster than `str`
            recipient_number=ordinal,
            channel=content.channel,
            to=row[ADDRESS],
            content=parts,
            created_at=created_at,
            variant_id=variant,
            sender=self._sender,
            headers=None
            if self._unsubscribe is None or tokens is None
            else _list_headers(f"{self._unsubscribe}{tokens[0]}>"),
            options=self._options,
        )
        record = encode_message(message)
        if len(record) > MAX_MESSAGE:
            record = encode_message(as_written(message, template))
            if len(record) > MAX_MESSAGE:
                raise SkippedError("render-error")
        return record
