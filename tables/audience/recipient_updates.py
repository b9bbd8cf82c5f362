"""The changes of recipients that facts report, collected as the rows of one binary COPY."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

from streams.records.facts import Batch, Group, Kind, unpack
from streams.records.message_id import SHARD_BITS, MessageIds
from tables.audience.recipients import recipient_id
from tables.campaigns.numbers import NumberedCampaign

# PostgreSQL's binary COPY format: a count of fields, then length and content of each, -1 = NULL.
# The id is laid out as `recipient_id`. It is packed by hand because an event then costs the process
# 1.4 us of CPU, from the record of facts to the merge. With psycopg's `write_row` and `set_types`
# it would cost 4.7 us (each id must become a UUID first), with `write_row` of text 2.1 us, with
# lines of text 1.6 us and PostgreSQL more: medians of 7 to 11 interleaved rounds of 46,867 events.
# https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
_HEADER, _TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
_ROW = struct.Struct(">hi IHHHIH ihiq")
_NULL = struct.pack(">i", -1)
_NOTHING_MORE = _NULL + _NULL + _NULL
_VERSION, _LONGEST_VERSION = struct.Struct(">ii"), 9  # digits that fit
_LENGTH = struct.Struct(">i")
_UUID_LENGTH = _LENGTH.pack(16)

_FAILURES = {Kind.BOUNCED: "", Kind.FAILED: "", Kind.SKIPPED: "skipped:"}  # prefix of the reason
_SUPPRESSING = {Kind.UNSUBSCRIBED: "unsubscribed", Kind.COMPLAINED: "complained"}


class RecipientUpdates:
    """Rows of (id uuid, kind smallint, at bigint, message_id uuid, detail text, address_version
    integer), collected from facts. `rows` says how many; `has_sent`, whether messages are going out
    just now.
    """

    def __init__(self, ids: MessageIds) -> None:
        self.rows, self.has_sent = 0, False
        self._ids = ids
        self._copied: list[bytes] = []
        # the earliest of each kind
        self._failures: dict[tuple[int, int], dict[Kind, tuple[int, str]]] = {}
        self._suppressed: dict[tuple[int, int], str] = {}
        self._said: dict[tuple[int, int], int] = {}  # when they last unsubscribed
        self._soft_bounced: set[tuple[int, int]] = set()

    def add(self, batch: Batch, campaign: NumberedCampaign) -> None:
        """Add what a batch says. Raises ValueError or struct.error at a malformed group, having
        added those before it.
        """
        for group in batch.groups:
            if group.kind in _FAILURES:
                self._fail(batch, group)
            elif group.kind is not Kind.REPLIED:
                self._copied.append(b"".join(_rows(self._ids, batch, group, campaign)))
                self.has_sent |= group.kind is Kind.SENT
            if reason := _reason_to_suppress(group):
                self._suppress(batch, group, reason)
            if group.kind is Kind.BOUNCED and (group.detail or "").partition(":")[0] == "soft":
                self._soft_bounced.update(_recipients(batch, group))
            self.rows += len(group.ordinals) // 4

    def soft_bounced(self) -> list[UUID]:
        """Recipients whose message came back this time, by row id."""
        return [recipient_id(number, ordinal) for number, ordinal in sorted(self._soft_bounced)]

    def suppressed(self) -> dict[UUID, str]:
        """Recipients to whom nothing more may go on this channel, by row id, and why."""
        return {
            recipient_id(number, ordinal): reason
            for (number, ordinal), reason in self._suppressed.items()
        }

    def said(self) -> dict[UUID, datetime]:
        """When those who have unsubscribed last said so, by row id."""
        return {
            recipient_id(number, ordinal): datetime.fromtimestamp(second, UTC)
            for (number, ordinal), second in self._said.items()
        }

    def content(self) -> Iterator[bytes]:
        """The whole COPY, in pieces."""
        yield _HEADER
        yield from self._copied
        for (number, ordinal), failures in self._failures.items():
            earliest = min(failures.values())
            for kind, failure in failures.items():
                # the reason stands only beside the earliest time, so that the merge finds the two
                # that belong together
                reason = _text(failure[1] if failure == earliest else None)
                yield _row(number, ordinal, kind, failure[0]) + _NULL + reason + _NULL
        yield _TRAILER

    def _suppress(self, batch: Batch, group: Group, reason: str) -> None:
        """A complaint comes before every other reason."""
        seconds = unpack(group.seconds)
        for recipient, second in zip(_recipients(batch, group), seconds, strict=True):
            if self._suppressed.get(recipient) != _SUPPRESSING[Kind.COMPLAINED]:
                self._suppressed[recipient] = reason
            if group.kind is Kind.UNSUBSCRIBED:
                self._said[recipient] = max(self._said.get(recipient, 0), batch.base + second)

    def _fail(self, batch: Batch, group: Group) -> None:
        said = (group.detail or "").removeprefix(":").rstrip(":")
        reason = _FAILURES[group.kind] + (said or group.kind.name.lower())
        seconds = unpack(group.seconds)
        for recipient, second in zip(_recipients(batch, group), seconds, strict=True):
            failures = self._failures.setdefault(recipient, {})
            failure = (batch.base + second, reason)
            failures[group.kind] = min(failures.get(group.kind, failure), failure)


def _rows(
    ids: MessageIds, batch: Batch, group: Group, campaign: NumberedCampaign
) -> Iterator[bytes]:
    number, kind, base = batch.number, group.kind, batch.base
    first = batch.shard << SHARD_BITS
    ordinals = [first + low for low in unpack(group.ordinals)]
    seconds = unpack(group.seconds)
    if kind is not Kind.SENT:
        for ordinal, second in zip(ordinals, seconds, strict=True):
            yield _row(number, ordinal, kind, base + second) + _NOTHING_MORE
        return
    # of recipients that were held back until the variant had won; the others have it in their row
    variant_and_version = _text(group.variant_id) + _version(group.detail)
    if ids.is_gone(campaign.key_epoch):  # the ids that it made are known to nobody any more
        for ordinal, second in zip(ordinals, seconds, strict=True):
            yield _row(number, ordinal, kind, base + second) + _NULL + variant_and_version
        return
    messages = ids.make_many(number, ordinals, batch.tenant_id, campaign.key_epoch)
    for ordinal, second, message in zip(ordinals, seconds, messages, strict=True):
        message_id = bytes.fromhex(message.replace("-", ""))
        yield _row(number, ordinal, kind, base + second) + (
            _UUID_LENGTH + message_id + variant_and_version
        )


def _recipients(batch: Batch, group: Group) -> Iterator[tuple[int, int]]:
    """The campaign's number and the ordinal of each."""
    first = batch.shard << SHARD_BITS
    return ((batch.number, first + low) for low in unpack(group.ordinals))


def _reason_to_suppress(group: Group) -> str | None:
    """A soft bounce, such as a full mailbox, is no reason; neither is a bounce that no provider has
    called hard.
    """
    if group.kind is Kind.BOUNCED:
        return "hard-bounce" if (group.detail or "").startswith("hard:") else None
    return _SUPPRESSING.get(group.kind)


def _text(value: str | None) -> bytes:
    if value is None:
        return _NULL
    encoded = value.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def _version(detail: str | None) -> bytes:
    """The version of the address, where the fact tells one."""
    if detail is None or len(detail) > _LONGEST_VERSION or not detail.isdecimal():
        return _NULL
    return _VERSION.pack(4, int(detail))


def _row(number: int, ordinal: int, kind: int, at: int) -> bytes:
    high, low = 0x8000 | ordinal >> 12, 0x8000 | ordinal & 0xFFF
    return _ROW.pack(6, 16, number >> 16, number & 0xFFFF, high, low, 0, 0, 2, kind, 8, at)
