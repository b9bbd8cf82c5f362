"""`campaigns.stats.v1`: absolute counts of one (campaign number, shard). Readers replace, never
add, and keep the higher version.
"""

from __future__ import annotations

import msgspec

from streams.contracts.envelope import Record


class Counts(Record, frozen=True, omit_defaults=False):
    """Unique recipients per kind. The funnel is closed: opened implies delivered, clicked implies
    opened; opened and clicked are people. Accepted stands beside it, and is implied by nothing.
    """

    sent: int = 0
    delivered: int = 0
    opened: int = 0
    clicked: int = 0
    bounced: int = 0
    failed: int = 0
    unsubscribed: int = 0
    complained: int = 0
    machine_opened: int = 0
    machine_clicked: int = 0
    replied: int = 0
    skipped: int = 0
    accepted: int = 0


class ShardStats(Record, frozen=True, omit_defaults=False):
    """`hours`: hour (Unix seconds // 3600, as text) -> [first opens, first clicks] of people.
    `skipped`: reason -> recipients.
    """

    tenant_id: str
    number: int
    shard: int
    version: int
    total: Counts
    updated_at: str
    campaign_id: str | None = None
    variants: dict[str, Counts] = msgspec.field(default_factory=dict)
    hours: dict[str, tuple[int, int]] = msgspec.field(default_factory=dict)
    skipped: dict[str, int] = msgspec.field(default_factory=dict)


encode_stats = msgspec.json.Encoder().encode
decode_stats = msgspec.json.Decoder(ShardStats).decode
