"""Lifecycle events and outcomes as JetStream messages: subject, deterministic id, envelope. Pure;
the wire is wire.md, section 4.

Ids: a lifecycle event keeps its own, an outcome has `<messageId>:<kind>`, so a replay of either is
dropped by the duplicate window.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

import msgspec

from connectors.nats.jetstream import Publication
from streams.contracts.commands import TENANT_ID
from streams.contracts.envelope import SOURCE, VERSION, encode, rfc3339
from streams.records.facts import Batch, Group, Kind, unpack
from streams.records.message_id import MAX_ORDINAL, SHARD_BITS, MessageIds
from tables.campaigns.numbers import NumberedCampaign

_TYPE = re.compile(r"campaign(\.[a-z0-9-]+)+")
_ID = re.compile(r"[\x21-\x7e]{1,200}")  # a header value: no space, no line end


class UnusableError(ValueError):
    """A record of ours that cannot be published; `code` says why. It goes to the dead letters."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class KafkaRecord(Protocol):
    """The part of a consumed record that matters here."""

    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class _Head(msgspec.Struct, rename="camel"):
    tenant_id: str
    type: str = ""


_decode_head = msgspec.json.Decoder(_Head).decode


def of_event(record: KafkaRecord, prefix: str) -> Publication:
    """A lifecycle event under the subject `<prefix><type>`, its payload unchanged. Raises
    UnusableError.
    """
    headers = dict(record.headers)
    try:
        head = _decode_head(record.value or b"")
        kind, identity = (
            headers.get("type", b"").decode() or head.type,
            headers.get("id", b"").decode(),
        )
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnusableError("envelope", f"not an envelope: {error}") from error
    if not _TYPE.fullmatch(kind):
        raise UnusableError("type", "the type is no subject below campaign.")
    if not _ID.fullmatch(identity) or not TENANT_ID.fullmatch(head.tenant_id):
        raise UnusableError("id", "the header id or the tenant id is missing or malformed")
    return Publication(prefix + kind, identity, head.tenant_id, record.value or b"")


@dataclass(frozen=True)
class _Shape:
    """How a kind of outcome is published: `campaign.message.<subject>`, and what its group's
    `detail` is called.
    """

    subject: str
    id_suffix: str
    detail: str | None = None
    is_machine: bool | None = None


_SHAPES = {
    Kind.SENT: _Shape("sent", "sent"),
    Kind.ACCEPTED: _Shape("accepted", "accepted"),
    Kind.DELIVERED: _Shape("delivered", "delivered"),
    Kind.OPENED: _Shape("opened", "opened", is_machine=False),
    Kind.CLICKED: _Shape("clicked", "clicked", "url", is_machine=False),
    # a machine and, later, a person: two first occurrences, two ids
    Kind.MACHINE_OPENED: _Shape("opened", "machine-opened", is_machine=True),
    Kind.MACHINE_CLICKED: _Shape("clicked", "machine-clicked", "url", is_machine=True),
    Kind.BOUNCED: _Shape("bounced", "bounced", "bounce"),
    Kind.FAILED: _Shape("failed", "failed", "reason"),
    Kind.UNSUBSCRIBED: _Shape("unsubscribed", "unsubscribed"),
    Kind.COMPLAINED: _Shape("complained", "complained"),
    Kind.SKIPPED: _Shape("skipped", "skipped", "reason"),
    Kind.REPLIED: _Shape("replied", "replied"),
}


def of_message_events(
    batch: Batch, campaign: NumberedCampaign, ids: MessageIds, prefix: str
) -> Iterator[Publication]:
    """One message per first occurrence, in the order of the batch. Raises UnusableError when the
    batch is not the campaign's, or the key of its message ids is gone, and UnknownKeyError when
    that key is newer than all of ours.
    """
    if batch.tenant_id != campaign.tenant_id:
        raise UnusableError("tenant", "the batch and the campaign belong to different tenants")
    if not 0 <= batch.shard <= MAX_ORDINAL >> SHARD_BITS:
        raise UnusableError("shard", f"there is no shard {batch.shard}")
    if ids.is_gone(campaign.key_epoch):
        raise UnusableError(
            "unknown-key", f"the key of epoch {campaign.key_epoch} is not in use any more"
        )
    for group in batch.groups:
        yield from _of_group(batch, group, campaign, ids, prefix)


def _of_group(
    batch: Batch, group: Group, campaign: NumberedCampaign, ids: MessageIds, prefix: str
) -> Iterator[Publication]:
    shape = _SHAPES[group.kind]
    kind = f"campaign.message.{shape.subject}"
    subject, tenant, suffix = prefix + kind, batch.tenant_id, ":" + shape.id_suffix
    payload = _template(kind, batch, group, campaign, shape)
    first, make, base = batch.shard << SHARD_BITS, ids.make, batch.base
    for low, seconds in zip(unpack(group.ordinals), unpack(group.seconds), strict=True):
        ordinal, at = first + low, _instant(base + seconds)
        message_id = make(batch.number, ordinal, tenant, campaign.key_epoch)
        quoted = message_id.encode()
        content = payload % (quoted, at, quoted, ordinal, at)
        yield Publication(subject, message_id + suffix, tenant, content)


def _template(
    kind: str, batch: Batch, group: Group, campaign: NumberedCampaign, shape: _Shape
) -> bytes:
    """The JSON of every message of a group, made once: a %-template for message id, time, message
    id, recipient number, time.
    """
    envelope = encode(
        {"version": VERSION, "source": SOURCE, "type": kind, "tenantId": batch.tenant_id}
    )
    constant: dict[str, object] = {"channel": campaign.channel}
    if group.variant_id is not None:
        constant["variantId"] = group.variant_id
    if shape.is_machine is not None:
        constant["isMachine"] = shape.is_machine
    constant |= _detail(shape, group.detail)
    fixed, campaign_id = encode(constant).replace(b"%", b"%%"), encode(str(campaign.id))
    return b"".join(
        (
            envelope[:-1].replace(b"%", b"%%"),
            b',"correlationId":"%b","timestamp":"%b","data":{"campaignId":',
            campaign_id,
            b',"messageId":"%b","recipientNumber":%d,"at":"%b",',
            fixed[1:],
            b"}",
        )
    )


def _detail(shape: _Shape, detail: str | None) -> dict[str, object]:
    if not detail or shape.detail is None:
        return {}
    if shape.detail != "bounce":
        return {shape.detail: detail}
    bounce_type, _, reason = detail.partition(":")
    return {
        name: value for name, value in (("bounceType", bounce_type), ("reason", reason)) if value
    }


@lru_cache(maxsize=100_000)
def _instant(seconds: int) -> bytes:
    return rfc3339(datetime.fromtimestamp(seconds, UTC)).encode()
