"""Facts and message events: batches about recipients of one (campaign number, shard), compact
msgpack.

A batch of *facts* (`campaigns.facts.v1`) holds reports, duplicates and disorder included; a batch
of *message events* (`campaigns.outcomes.v1`) holds only first occurrences, as `fold` established
them. Ordinals are within the shard (0..65535), u32 little-endian; times are u32 seconds after
`base` (Unix seconds).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from enum import IntEnum

import msgspec


class Kind(IntEnum):
    """The kinds of facts. Their codes are on the wire and in stored bitmaps: never renumber."""

    SENT = 0
    DELIVERED = 1
    OPENED = 2
    CLICKED = 3
    BOUNCED = 4
    FAILED = 5
    UNSUBSCRIBED = 6
    COMPLAINED = 7
    MACHINE_OPENED = 8
    MACHINE_CLICKED = 9
    SKIPPED = 10
    REPLIED = 11
    ACCEPTED = 12


class Group(msgspec.Struct, array_like=True, frozen=True):
    """Ordinals of one kind with their times, equally many. `detail` holds for all of them: url,
    reason, skip reason, or `hard:reason` of a bounce, of which either may be empty: `:550 5.1.1: no
    such user`. Of sent ones it is the version of the contact's address, in decimal, where that is
    not the one in the ledger.
    """

    kind: Kind
    ordinals: bytes
    seconds: bytes
    variant_id: str | None = None
    detail: str | None = None


class Batch(msgspec.Struct, array_like=True, frozen=True):
    """One record of `campaigns.facts.v1` or `campaigns.outcomes.v1`. `campaign_id` is known to
    emission only, ingest leaves it out.

    `seals`: a batch without facts that ends them: the shard's counts are final, and the recipients
    that they count may be forgotten.
    """

    tenant_id: str
    number: int
    shard: int
    base: int
    groups: tuple[Group, ...]
    campaign_id: str | None = None
    seals: bool = False


def pack(values: Iterable[int]) -> bytes:
    return array("I", values).tobytes()


def unpack(data: bytes) -> Sequence[int]:
    return array("I", data)


encode_batch = msgspec.msgpack.Encoder().encode
decode_batch = msgspec.msgpack.Decoder(Batch).decode
