"""Facts in, exact stats out: bitmaps per (campaign, shard), absolute counts and first occurrences,
in one transaction with the position.

A fact that arrives twice or late changes no count (tables/stats). A transaction writes, exactly
once, the shard's new state, its counts on `campaigns.stats.v1`, and on `campaigns.outcomes.v1` the
message events: first occurrences of a kind for a recipient. A killed worker's successor continues
from exactly that. The version of the counts is the position in the facts, so it grows with every
change and a rebuild from the facts gives the same ones. A sealed shard keeps its counts and forgets
its recipients; later facts about it are dead letters. The bigger a transaction, the cheaper: a
shard's state of up to about 40 kB is written once in each.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

import msgspec

from streams.contracts.envelope import rfc3339
from streams.exactly_once.agents import Body
from streams.exactly_once.transactions import Transaction
from streams.process.app import App
from streams.records.facts import Batch, decode_batch, encode_batch
from streams.records.stats import encode_stats
from streams.settings import Settings
from streams.topics import Name, Topics, shard_key
from tables.stats.shards import InvalidFactsError, Shard

SEALED = b"sealed"  # the row of a sealed shard
_CACHED = 512  # decoded shards in memory beside the table: up to about 150 kB each, usually 10


class SealedError(InvalidFactsError):
    """Facts about a campaign to which nothing had happened for so long that its counts were made
    final (CAMPAIGNS_STATS_RETENTION).
    """

    code = "sealed"


class Shards:
    """The shard states of the table `shards`, with the recently used ones decoded.

    A decoded shard is valid only while the table still holds the very bytes it was stored as: when
    a partition moved away and came back, the restored bytes are other objects, and the shard is
    decoded again.
    """

    def __init__(self, table: Any) -> None:
        self._table = table
        self._decoded: OrderedDict[bytes, tuple[bytes, Shard]] = OrderedDict()

    def __len__(self) -> int:
        """The number of decoded shards."""
        return len(self._decoded)

    def load(self, key: bytes, batch: Batch) -> Shard:
        """The shard as the table has it, or a new one. Its changes count once it is saved. Raises
        SealedError.
        """
        stored = self._table.get(key)
        if stored == SEALED:
            raise SealedError(f"{batch.number}:{batch.shard} is sealed")
        if stored is None:
            return Shard(batch.tenant_id, batch.number, batch.shard)
        held, shard = self._decoded.get(key, (None, None))
        return shard if shard is not None and held is stored else Shard.restore(stored)

    def save(self, key: bytes, shard: Shard) -> None:
        """Replace the row. Within an agent body only."""
        self._table[key] = stored = shard.store()
        self._decoded[key] = stored, shard
        self._decoded.move_to_end(key)
        if len(self._decoded) > _CACHED:
            self._decoded.popitem(last=False)

    def seal(self, key: bytes) -> None:
        """Forget the shard's recipients. Within an agent body only."""
        if self._table.get(key) is not None:
            self._table[key] = SEALED
            self._decoded.pop(key, None)


def fold(app: App, settings: Settings) -> Body:
    """The agent body on `campaigns.facts.v1`."""
    topics = Topics(settings)
    stats, message_events = topics.name(Name.STATS), topics.name(Name.MESSAGE_EVENTS)
    shards = Shards(app.Table("shards", key_type=bytes, value_type=bytes))
    window = int(settings.machine_window.total_seconds())

    def write(tx: Transaction, key: bytes, shard: Shard, message: Any) -> None:
        shards.save(key, shard)
        updated_at = rfc3339(datetime.fromtimestamp(message.timestamp, UTC))
        tx.send(stats, tx.partition, key, encode_stats(shard.stats(message.offset + 1, updated_at)))

    async def body(tx: Transaction) -> None:
        changed: dict[bytes, tuple[Shard, Any]] = {}
        for event in tx.events:
            try:
                batch = _decoded(event.value, tx.partition, topics)
                key = shard_key(batch.number, batch.shard)
                if batch.seals:
                    if key in changed:
                        write(tx, key, *changed.pop(key))
                    shards.seal(key)
                    continue
                shard = changed[key][0] if key in changed else shards.load(key, batch)
                first = shard.fold(batch, window)
            except InvalidFactsError as error:
                tx.dead_letter(event, error.detail, error.code)
                continue
            if first is not None:
                changed[key] = shard, event.message
                tx.send(message_events, tx.partition, key, encode_batch(first))
        for key, (shard, message) in changed.items():
            write(tx, key, shard, message)

    return body


def _decoded(value: bytes | None, partition: int, topics: Topics) -> Batch:
    try:
        batch = decode_batch(value or b"")
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidFactsError(f"not a batch of facts: {error}") from None
    if partition != topics.shard_partition(batch.number, batch.shard):
        raise InvalidFactsError(
            f"facts of {batch.number}:{batch.shard} do not belong into partition {partition}"
        )
    return batch
