"""Events in, facts out: the reports of the pipeline are validated, their message ids verified, and
grouped into batches by (campaign, shard).

A service on aiokafka, not an agent: one event at a time through an agent would cost 60 times as
much. Its guarantee is *at least once*: the position is committed when the broker has acknowledged
every fact and dead letter before it, so work that a crash, a rebalance or a broker restart
interrupts is done again. That is harmless, because `fold` keeps a bitmap per kind: a repeated fact
changes nothing. An event that cannot be used becomes a dead letter with its position as key, so
that a repeat replaces it, and the stream goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from aiokafka import AIOKafkaProducer

from agents.counting.batching import Pile, Refused, batches, sort, unheard
from streams import metrics
from streams.exactly_once.crash_points import crash_point
from streams.kafka import clients
from streams.process.mover import Mover, answered
from streams.records.dead_letters import dead_letter
from streams.records.facts import encode_batch
from streams.records.message_id import MessageIds
from streams.settings import Settings
from streams.topics import Name, shard_key

_READ = 20_000  # events of one turn
_SLICE = 1_000  # events between two looks at the rest of the event loop, about 5 ms
# seconds a turn takes at least when there is little to do, so that facts are batches at low rates
# too
_TURN = 0.05
_log = logging.getLogger(__name__)


class Ingest(Mover):
    """Runs until it is stopped; any unexpected error ends the process, and its successor reads on
    from the committed position.
    """

    name = "ingest"
    reads = (Name.INCOMING,)

    def __init__(self, app: Any, settings: Settings) -> None:
        super().__init__(settings)
        self._ids = MessageIds.of(settings)
        self._producer: AIOKafkaProducer

    async def open(self, stack: AsyncExitStack) -> None:
        self._producer = await stack.enter_async_context(
            clients.producer(
                self.settings,
                acks="all",
                enable_idempotence=True,
                max_batch_size=512 << 10,
                max_request_size=2 << 20,
                compression_type="lz4",
                request_timeout_ms=60_000,
            )
        )
        await self.subscribe(stack)

    async def turn(self) -> None:
        """Events are read, sorted and sent as facts; then their position is committed."""
        started = time.monotonic()
        fetched = await self.read(timeout_ms=200, max_records=_READ)
        if not fetched:
            return
        piles: dict[str, Pile] = {}
        refused: list[Refused] = []
        for records in fetched.values():
            for start in range(0, len(records), _SLICE):
                refused += sort(records[start : start + _SLICE], self._ids, time.time(), piles)
                await asyncio.sleep(0)
        await answered(self._send(piles, refused))
        crash_point("acknowledged", "ingest")
        await self.commit(
            {partition: records[-1].offset + 1 for partition, records in fetched.items()}
        )
        count = sum(map(len, fetched.values()))
        metrics.INGESTED.inc(count)
        _sound(refused)
        if count < _READ // 4:
            await asyncio.sleep(max(0.0, _TURN - (time.monotonic() - started)))

    async def _send(self, piles: Mapping[str, Pile], refused: Sequence[Refused]) -> None:
        """Returns when the broker has acknowledged everything."""
        send, sent = self._producer.send, []
        facts, dead_letters = self.topics.name(Name.FACTS), self.topics.name(Name.DEAD_LETTERS)
        for pile in piles.values():
            key = shard_key(pile.number, pile.shard)
            partition = self.topics.shard_partition(pile.number, pile.shard)
            for batch in batches(pile):
                sent.append(await send(facts, encode_batch(batch), key=key, partition=partition))
        for record, reason, code in refused:
            source = (record.topic, record.partition, record.offset, record.timestamp)
            key, value = dead_letter(reason, code, *source, record.value, record.headers)
            sent.append(await send(dead_letters, value, key=key, partition=0))
        await asyncio.gather(*sent)


def _sound(refused: Sequence[Refused]) -> None:
    """Count the refused; those that may say no are an error in the log, one of a turn."""
    for _, _, code in refused:
        metrics.DEAD_LETTERS.labels("ingest", code).inc()
    if lost := unheard(refused):
        metrics.UNHEARD.labels("events").inc(len(lost))
        first, _, code = lost[0]
        place = {"partition": first.partition, "offset": first.offset}
        _log.error(
            "complaints or unsubscriptions could not be used: see the dead letters",
            extra={"count": len(lost), "reason": code, **place},
        )
