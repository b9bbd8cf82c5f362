"""Emit: granted ordinals become messages, each exactly once.

One transaction = the messages, the facts about them, the feedback to the throttle and the lane's
progress. Order of effects in a body:

1. decode the grants, clip them by the lane's progress (nothing is changed yet)
2. read campaign and recipients from PostgreSQL, retried in place while it is down: nothing has been
   written, so waiting is all it costs
3. compose: suppression and consent are those of the read in step 2
4. hand messages, facts, feedback and progress to the transaction, which commits them with the
   position after the grants

A kill -9 in 1-4 or before the commit leaves no trace: the next owner reads the same grants and the
same progress, and makes messages with the same ids. After the commit everything is there, and a
grant that comes again meets progress that covers it. A contact who was suppressed between two
attempts is skipped by the second, of which alone there is a trace.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import assert_never

import msgspec

from connectors.messages.composing import Composed, Composer, aligned
from connectors.messages.content import Content, Contents
from streams import metrics
from streams.contracts.envelope import encode, rfc3339
from streams.exactly_once.agents import Body
from streams.exactly_once.crash_points import crash_point
from streams.exactly_once.transactions import Transaction
from streams.process.app import App
from streams.records.facts import Batch, Group, Kind, encode_batch, pack
from streams.records.message_id import SHARD_BITS, SHARD_SIZE, MessageIds
from streams.records.sending import BatchSent, Grant, Retire, decode_grant
from streams.settings import Settings
from streams.topics import Name, Topics, shard_key
from tables.audience.chunks import read_chunk
from tables.database.connection import Connection, Database, Row
from tables.throttle.progress import (
    Progress,
    decode_progress,
    encode_progress,
    is_grantable,
    progress_key,
)

# Messages made in one go, 1.5 ms: the other partitions' reads and commits, a dozen round trips
# each, go on in between.
_SLICE = 200
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Piece:
    """Ordinals [start, stop) that were granted and are not done; `variant` holds for all of them
    unless it is None.
    """

    start: int
    stop: int
    variant: str | None


@dataclass
class Work:
    """What a transaction has to do for one campaign: its pieces, and the progress when they are
    done.
    """

    content: Content
    progress: Progress
    pieces: list[Piece] = field(default_factory=list)

    def add(self, grant: Grant, lanes: int) -> None:
        """What is left of a grant. A neighbour of the piece before it is read together with it."""
        for start, stop in self.progress.missing(grant.start, grant.stop, lanes):
            self.progress = self.progress.with_done(start, stop, lanes)
            last = self.pieces[-1] if self.pieces else None
            if last is not None and last.stop == start and last.variant == grant.variant_id:
                self.pieces[-1] = Piece(last.start, stop, last.variant)
            else:
                self.pieces.append(Piece(start, stop, grant.variant_id))


def facts(content: Content, composed: Composed, seconds: int) -> Iterator[Batch]:
    """What happened to the ordinals of one transaction, at one time (Unix seconds), as one batch
    per shard.
    """
    shards: dict[int, list[Group]] = {}
    parts: list[tuple[Kind, str | None, str | None, list[int]]]
    parts = [(Kind.SENT, variant, None, ordinals) for variant, ordinals in composed.sent.items()]
    parts += [
        (Kind.SKIPPED, None, reason, ordinals) for reason, ordinals in composed.skipped.items()
    ]
    for kind, variant, detail, ordinals in parts:
        for shard, within in _by_shard(ordinals):
            group = Group(kind, pack(within), bytes(4 * len(within)), variant, detail)
            shards.setdefault(shard, []).append(group)
    for shard, groups in shards.items():
        yield Batch(
            content.tenant_id, content.number, shard, seconds, tuple(groups), str(content.id)
        )


def _by_shard(ordinals: list[int]) -> Iterator[tuple[int, list[int]]]:
    if not ordinals:
        return
    first, last = min(ordinals) >> SHARD_BITS, max(ordinals) >> SHARD_BITS
    for shard in range(first, last + 1):
        low = shard << SHARD_BITS
        if within := [ordinal - low for ordinal in ordinals if 0 <= ordinal - low < SHARD_SIZE]:
            yield shard, within


class Emitter:
    """The agent `emit` and what it works with. A malformed, misplaced or foreign grant becomes a
    dead letter in the same transaction.
    """

    def __init__(self, app: App, settings: Settings) -> None:
        self._app, self._topics = app, Topics(settings)
        self._database = Database(
            settings, "campaigns-emit", max_size=3
        )  # two at work while a third is between its chunks
        self._contents = Contents(self._database, settings)
        self._ids = MessageIds.of(settings)
        self._progress = app.Table("progress", key_type=bytes, value_type=bytes)
        # campaign number -> partition -> progress as committed; the table already shows what
        # running transactions have not committed
        self._committed: defaultdict[int, dict[int, Progress]] = defaultdict(dict)

    async def body(self, transaction: Transaction) -> None:
        """See the module's docstring for the order of effects."""
        works, retired = await self._decide(transaction)
        if works:
            rows = await self._database.until_up(lambda connection: _read(connection, works))
            crash_point("read", "emit")
            now = datetime.now(UTC)
            for work, chunks in zip(works, rows, strict=True):
                self._write(transaction, work, await self._compose(work, chunks, now), now)
            crash_point("composed", "emit")
        for number in retired:
            if self._progress.get(progress_key(number)) is not None:
                del self._progress[progress_key(number)]
            transaction.on_commit(partial(self._forget, number))

    async def _decide(self, transaction: Transaction) -> tuple[list[Work], list[int]]:
        """What is to be sent, by campaign, and the numbers of the campaigns that are over."""
        works, retired = dict[int, Work](), list[int]()
        for event in transaction.events:
            try:
                record = decode_grant(event.value or b"")
            except msgspec.MsgspecError as error:
                transaction.dead_letter(event, str(error), "malformed")
                continue
            match record:
                case Retire():
                    retired.append(record.number)
                case Grant() if not _is_usable(
                    record, transaction.partition, self._topics.partitions
                ):
                    where = f"[{record.start}, {record.stop}) of campaign {record.number}"
                    transaction.dead_letter(
                        event, f"{where} is not within one chunk of this lane", "not-grantable"
                    )
                case Grant():
                    if (
                        content := await self._contents.get(record.tenant_id, record.number)
                    ) is None:
                        transaction.dead_letter(
                            event, "this tenant has no such campaign", "unknown-campaign"
                        )
                        continue
                    if record.number not in works:
                        works[record.number] = Work(content, self._row(record.number))
                        self._committed[record.number][transaction.partition] = works[
                            record.number
                        ].progress
                    works[record.number].add(record, self._topics.partitions)
                case _:
                    assert_never(record)
        return [work for work in works.values() if work.pieces], retired

    def _row(self, number: int) -> Progress:
        row = self._progress.get(progress_key(number))
        return Progress() if row is None else decode_progress(row)

    async def _compose(self, work: Work, chunks: list[list[Row]], now: datetime) -> Composed:
        composed = Composed()
        created_at = rfc3339(now)
        for piece, found in zip(work.pieces, chunks, strict=True):
            rows = aligned(found, piece.start, piece.stop)
            composer = Composer(work.content, self._ids, piece.variant)
            for at in range(0, len(rows), _SLICE):
                composer.compose(piece.start + at, rows[at : at + _SLICE], created_at, composed)
                await asyncio.sleep(0)
        return composed

    def _write(
        self, transaction: Transaction, work: Work, composed: Composed, now: datetime
    ) -> None:
        content, topics = work.content, self._topics
        # all at once: a call per message would cost as much as its encoding
        if composed.records:  # an empty batch is an error
            transaction.outbox[topics.name(Name.MESSAGES), transaction.partition].extend(
                composed.records
            )
        for batch in facts(content, composed, int(now.timestamp())):
            partition = topics.shard_partition(batch.number, batch.shard)
            transaction.send(
                topics.name(Name.FACTS),
                partition,
                shard_key(batch.number, batch.shard),
                encode_batch(batch),
            )
        sent, skipped = len(composed.records), sum(map(len, composed.skipped.values()))
        tenant = content.tenant_id.encode()
        feedback = encode(
            BatchSent(
                tenant_id=content.tenant_id, number=content.number, sent=sent, skipped=skipped
            )
        )
        transaction.send(topics.name(Name.SENDING), topics.partition(tenant), tenant, feedback)
        progress = work.progress.counted(sent, skipped)
        self._progress[progress_key(content.number)] = encode_progress(progress)
        transaction.on_commit(
            partial(self._report, transaction.partition, content, progress, composed)
        )

    def _report(
        self, partition: int, content: Content, progress: Progress, composed: Composed
    ) -> None:
        """Metrics, and a line whose totals are of the lanes that this worker owns: all there are
        while it is the only one.
        """
        metrics.EMITTED.inc(len(composed.records))
        for reason, ordinals in composed.skipped.items():
            metrics.SKIPPED.labels(reason).inc(len(ordinals))
        self._committed[content.number][partition] = progress
        lanes = self._lanes(content.number)
        sent, skipped = sum(lane.sent for lane in lanes), sum(lane.skipped for lane in lanes)
        fields = {
            "tenantId": content.tenant_id,
            "campaignId": str(content.id),
            "batchNumber": sum(lane.batches for lane in lanes),
            "batchSize": len(composed.records) + sum(map(len, composed.skipped.values())),
            "totalSent": sent,
            "totalRemaining": None if content.total is None else content.total - sent - skipped,
        }
        _log.info("[SEND] campaign batch", extra=fields)

    def _lanes(self, number: int) -> list[Progress]:
        committed, owned = self._committed[number], self._app.exactly_once.owned
        for partition, state in owned.items():
            if (
                partition not in committed
                and (row := state.rows["progress"].get(progress_key(number))) is not None
            ):
                committed[partition] = decode_progress(row)
        return [lane for partition, lane in committed.items() if partition in owned]

    def _forget(self, number: int) -> None:
        self._contents.forget(number)
        self._committed.pop(number, None)


def _is_usable(grant: Grant, partition: int, lanes: int) -> bool:
    # a number or a NUL that PostgreSQL cannot take would end the worker again and again
    return (
        is_grantable(grant.start, grant.stop, partition, lanes)
        and 0 < grant.number < 1 << 47
        and "\0" not in grant.tenant_id
    )


async def _read(connection: Connection, works: list[Work]) -> list[list[list[Row]]]:
    """The recipients of every piece of every campaign, as they are now."""
    return [
        [await _read_piece(connection, work.content, piece) for piece in work.pieces]
        for work in works
    ]


async def _read_piece(connection: Connection, content: Content, piece: Piece) -> list[Row]:
    return await read_chunk(
        connection,
        content.tenant_id,
        content.channel,
        content.fields,
        content.number,
        piece.start,
        piece.stop,
    )


def emit(app: App, settings: Settings) -> Body:
    """The body for `app.exactly_once.agent(raw_topic(app, Name.GRANTS), name="emit", …)`."""
    return Emitter(app, settings).body
