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
grant that comes again meets progress that covers it. A contact suppressed between two attempts is
skipped by the second attempt, and only the second leaves a trace.

A grant of a campaign whose key is newer than all of ours goes to the end of its lane, again and
again, until this process is started with that key; other campaigns pass it. Where the key was
withdrawn or taken off the list, its recipients are skipped (`key-withdrawn`): an id that nobody
believes would make a message that nobody can unsubscribe from.

A recipient without a row is skipped, and its campaign ends with the reason: PostgreSQL has lost
what was committed (docs/operate/restore.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from datetime import UTC, datetime
from functools import partial
from typing import Any, assert_never

import msgspec

from agents.sending.work import Piece, Work, facts, is_usable
from connectors.messages.composing import Composed, Composer, aligned
from connectors.messages.content import Content, Contents
from streams import metrics
from streams.contracts.envelope import encode, rfc3339
from streams.exactly_once.agents import Body
from streams.exactly_once.crash_points import crash_point
from streams.exactly_once.transactions import Transaction
from streams.process.app import App
from streams.records.expansions import Stage
from streams.records.facts import encode_batch
from streams.records.message_id import MessageIds
from streams.records.sending import BatchSent, Grant, Retire, decode_grant
from streams.settings import Settings
from streams.topics import Name, Topics, shard_key
from tables.audience.chunks import RecipientRow, read_chunk
from tables.audience.staging import fail
from tables.database.connection import Database, Session
from tables.throttle.progress import Progress, decode_progress, encode_progress, progress_key

# Messages made in one go, 1.5 ms: between two goes the reads and commits of other partitions, a
# dozen round trips each, are carried on.
_SLICE = 200
_AGAIN = 0.5  # seconds between two looks at a lane of which no grant can be signed
_log = logging.getLogger(__name__)


class Emitter:
    """The agent `emit` with its caches and connections. A malformed, misplaced or foreign grant
    becomes a dead letter in the same transaction.
    """

    def __init__(self, app: App, settings: Settings) -> None:
        self._app, self._topics = app, Topics(settings)
        # two at work while a third is between its chunks
        self._database = Database(settings, "campaigns-emit", max_size=3)
        self._contents = Contents(self._database, settings)
        self._ids = MessageIds.of(settings)
        self._progress = app.Table("progress", key_type=bytes, value_type=bytes)
        # campaign number -> partition -> progress as committed; the table also shows the changes of
        # running transactions
        self._committed: defaultdict[int, dict[int, Progress]] = defaultdict(dict)
        self._awaited = set[int]()  # epochs

    async def body(self, transaction: Transaction) -> None:
        """See the module's docstring for the order of effects."""
        # A message is never dated before the decision that let it go: the limits rest on it.
        transaction.follow_events()
        works, retired, put_off = await self._decide(transaction)
        if put_off and not works:
            transaction.rest = _AGAIN
        if works:
            rows = await self._database.until_up(lambda session: _read(session, works))
            crash_point("read", "emit")
            now = transaction.dated(datetime.now(UTC))
            for work, chunks in zip(works, rows, strict=True):
                if missing := work.missing(chunks):
                    await self._end(work.content, missing, now)
                self._write(transaction, work, await self._compose(work, chunks, now), now)
            crash_point("composed", "emit")
        for number in retired:
            if self._progress.get(progress_key(number)) is not None:
                del self._progress[progress_key(number)]
            transaction.on_commit(partial(self._forget, number))

    async def _decide(self, transaction: Transaction) -> tuple[list[Work], list[int], bool]:
        """The work of the transaction by campaign, the numbers of the campaigns that are over, and
        whether a grant was put off.
        """
        works, retired, put_off = dict[int, Work](), list[int](), False
        for event in transaction.events:
            try:
                record = decode_grant(event.value or b"")
            except msgspec.MsgspecError as error:
                transaction.dead_letter(event, str(error), "malformed")
                continue
            match record:
                case Retire():
                    retired.append(record.number)
                case Grant():
                    put_off |= not await self._add(transaction, event, record, works)
                case _:
                    assert_never(record)
        return [work for work in works.values() if work.pieces], retired, put_off

    async def _add(
        self, transaction: Transaction, event: Any, grant: Grant, works: dict[int, Work]
    ) -> bool:
        """False when the grant was put off."""
        number, partition, lanes = grant.number, transaction.partition, self._topics.partitions
        if not is_usable(grant, partition, lanes):
            what = f"[{grant.start}, {grant.stop}) of campaign {number}"
            reason = f"{what} is not within one chunk of this lane"
            transaction.dead_letter(event, reason, "not-grantable")
            return True
        content = await self._contents.get(grant.tenant_id, number)
        if content is None:
            reason = "this tenant has no such campaign"
            transaction.dead_letter(event, reason, "unknown-campaign")
            # else the throttle would wait for them, and hold up others, for ever
            self._give_back(transaction, grant.tenant_id, number, 0, grant.stop - grant.start)
            return True
        if self._is_to_come(content):
            lane = self._topics.name(Name.GRANTS)
            transaction.send(lane, partition, None, event.value)
            return False
        if number not in works:
            works[number] = Work(content, self._row(number))
            self._committed[number][partition] = works[number].progress
        works[number].add(grant, lanes)
        return True

    async def _end(self, content: Content, missing: int, now: datetime) -> None:
        """Rows are committed before they are granted: PostgreSQL has lost them, and perhaps the
        rows of others. A campaign that is over already stays as it is.
        """
        reason = f"recipients-lost: PostgreSQL has lost {missing:,} of its recipients"
        wanted = Stage(
            tenant_id=content.tenant_id,
            campaign_id=str(content.id),
            number=content.number,
            correlation_id=str(content.id),
        )
        if change := await self._database.until_up(
            lambda session: fail(session, wanted, reason, now)
        ):
            _log.error(
                "PostgreSQL has lost recipients of a campaign, it is cancelled",
                extra={"campaignId": str(content.id), "error": reason},
            )
            change.log()

    def _is_to_come(self, content: Content) -> bool:
        """Whether the campaign's key is newer than all of ours; that is logged once."""
        epoch = content.key_epoch
        if not self._ids.is_to_come(epoch):
            return False
        if epoch not in self._awaited:
            self._awaited.add(epoch)
            metrics.DEPENDENCY_DOWN.labels("message-key").set(1)
            _log.error(
                "campaigns wait: CAMPAIGNS_MESSAGE_KEYS of this process lacks the key of an epoch",
                extra={"epoch": epoch, "campaignId": str(content.id)},
            )
        return True

    def _row(self, number: int) -> Progress:
        row = self._progress.get(progress_key(number))
        return Progress() if row is None else decode_progress(row)

    async def _compose(
        self, work: Work, chunks: list[list[RecipientRow]], now: datetime
    ) -> Composed:
        composed = Composed()
        if not self._ids.may_sign(work.content.key_epoch):
            for piece in work.pieces:
                composed.skipped["key-withdrawn"].extend(range(piece.start, piece.stop))
            return composed
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
        content, topics, partition = work.content, self._topics, transaction.partition
        # all at once: a call per message would cost as much as its encoding
        if composed.records:
            transaction.outbox[topics.name(Name.MESSAGES), partition].extend(composed.records)
        for batch in facts(content, composed, int(now.timestamp())):
            transaction.send(
                topics.name(Name.FACTS),
                topics.shard_partition(batch.number, batch.shard),
                shard_key(batch.number, batch.shard),
                encode_batch(batch),
            )
        tenant_id, number = content.tenant_id, content.number
        sent, skipped = len(composed.records), sum(map(len, composed.skipped.values()))
        self._give_back(transaction, tenant_id, number, sent, skipped)
        progress = work.progress.counted(sent, skipped)
        self._progress[progress_key(number)] = encode_progress(progress)
        transaction.on_commit(partial(self._report, partition, content, progress, composed))

    def _give_back(
        self, transaction: Transaction, tenant_id: str, number: int, sent: int, skipped: int
    ) -> None:
        """Tell the throttle that so many messages are not in flight any more."""
        feedback = BatchSent(tenant_id=tenant_id, number=number, sent=sent, skipped=skipped)
        tenant = tenant_id.encode()
        place = self._topics.name(Name.SENDING), self._topics.partition(tenant)
        transaction.send(*place, tenant, encode(feedback))

    def _report(
        self, partition: int, content: Content, progress: Progress, composed: Composed
    ) -> None:
        """Metrics, and a log line. Its totals are those of the lanes that this worker owns, which
        are all lanes while it is the only one.
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


async def _read(session: Session, works: list[Work]) -> list[list[list[RecipientRow]]]:
    """The recipients of every piece of every campaign, as they are now."""
    return [
        [await _read_piece(session, work.content, piece) for piece in work.pieces] for work in works
    ]


async def _read_piece(session: Session, content: Content, piece: Piece) -> list[RecipientRow]:
    return await read_chunk(
        session,
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
