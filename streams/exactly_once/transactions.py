"""One transaction: the input a body gets, the records it sends, and the commit that makes both true
at once.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka.errors import InvalidProducerEpoch, ProducerFenced

from streams import metrics
from streams.exactly_once.batches import NO_HEADERS, Record, send_batches
from streams.exactly_once.crash_points import crash_point
from streams.exactly_once.fatal import FencedError
from streams.exactly_once.policy import Policy
from streams.exactly_once.tables import PartitionState, position_entry
from streams.kafka.hostile_batches import unreadable_because
from streams.records.dead_letters import dead_letter
from streams.topics import MOST_AHEAD

Headers = Sequence[tuple[str, bytes]]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Else Kafka would refuse every record after all clocks were set back by hours. What is left is for
# a broker whose clock is behind ours.
_MOST_AHEAD = MOST_AHEAD - timedelta(minutes=30)


class Transaction:
    """The argument of an agent's body: new events of ONE partition of ONE source topic, in order,
    never empty.

    Everything sent here, every table row changed and the position after the last event are
    committed together or not at all. Each event has `key` and `value` (bytes or None), `headers`,
    and `message` with `offset` and `timestamp` (float seconds).
    """

    def __init__(
        self, agent: str, topic: str, partition: int, events: list[Any], dead_letters: str
    ) -> None:
        self.agent, self.topic, self.partition, self.events = agent, topic, partition, events
        self.outbox: defaultdict[tuple[str, int], list[Record]] = defaultdict(list)
        self.is_running = True  # the body has not returned
        # seconds that the agent waits after the commit, while other agents have the partition
        self.rest = 0.0
        # No record carries an earlier time, though the clock of this process be 90 minutes behind.
        self.not_before = _EPOCH
        self._dead_letters = dead_letters
        self._callbacks: list[Callable[[], None]] = []

    def send(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None = None,
    ) -> None:
        """Add a record of at most about 900 kB, key or value not None. All carry the time of the
        commit (`dated`); order per partition holds.
        """
        self.outbox[topic, partition].append((key, value, list(headers) if headers else NO_HEADERS))

    def dead_letter(self, event: Any, reason: str, code: str) -> None:
        """Put an event that cannot be used aside, with its position and original bytes; the stream
        goes on.
        """
        message = event.message
        headers = [(name, value or b"") for name, value in message.headers or ()]
        milliseconds = round(message.timestamp * 1000)
        key, value = dead_letter(
            reason,
            code,
            self.topic,
            self.partition,
            message.offset,
            milliseconds,
            event.value,
            headers,
        )
        self.send(self._dead_letters, 0, key, value)
        self.on_commit(metrics.DEAD_LETTERS.labels(self.agent, code).inc)

    def put_unreadable_aside(self) -> None:
        """Make dead letters of the events that no body could read (`kafka/hostile_batches`)."""
        readable = []
        for event in self.events:
            if reason := unreadable_because(event.message.headers):
                self.dead_letter(event, reason, "unreadable")
            else:
                readable.append(event)
        self.events = readable

    def follow_events(self) -> None:
        """Date the records no earlier than the events that they follow from, though these were
        written by a process whose clock is ahead.
        """
        times = (datetime.fromtimestamp(event.message.timestamp, UTC) for event in self.events)
        self.not_before = max(self.not_before, *times)

    def dated(self, now: datetime) -> datetime:
        """The time that records carry when they are written `now` by the clock of this process; a
        commit rounds it up to milliseconds.
        """
        return max(now, min(self.not_before, now + _MOST_AHEAD))

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call back once the transaction is committed: for metrics and caches in memory, which a
        crash may lose.
        """
        self._callbacks.append(callback)

    def committed(self) -> None:
        """Run the callbacks."""
        for callback in self._callbacks:
            callback()


async def commit(
    transaction: Transaction,
    state: PartitionState,
    position: int,
    state_topic: str,
    now: datetime,
    policy: Policy,
) -> int:
    """Write the records, the changed rows and the next input offset in ONE Kafka transaction;
    returns the number of records.

    Returns when the broker has committed. On any error the outcome is open and the caller must end
    the process: the next owner of the partition resolves the transaction and reads the truth from
    the state topic. Raises FencedError when this is no longer the owner.
    """
    outbox = transaction.outbox
    rows = outbox[state_topic, state.number]
    rows += [(key, value, NO_HEADERS) for key, value in state.changes()]
    rows.append((position_entry(transaction.topic), b"%d" % position, NO_HEADERS))
    try:
        # rounded up: a millisecond less would be before `not_before`
        now_ms = -((_EPOCH - transaction.dated(now)) // timedelta(milliseconds=1))
        await _write(transaction, state.producer, now_ms, policy)
    except (ProducerFenced, InvalidProducerEpoch) as error:
        raise FencedError(f"{transaction.topic}-{transaction.partition}") from error
    state.position[transaction.topic] = position
    return sum(map(len, outbox.values()))


async def _write(transaction: Transaction, producer: Any, now_ms: int, policy: Policy) -> None:
    timeout = policy.timeout.total_seconds()
    await producer.begin_transaction()
    crash_point("begun", transaction.agent)
    # batches of one partition go in order, partitions in parallel
    sending = (
        send_batches(
            producer,
            topic,
            partition,
            records,
            timestamp_ms=now_ms,
            most_bytes=policy.batch_bytes,
        )
        for (topic, partition), records in transaction.outbox.items()
    )
    # aiokafka commits although a batch failed: every one of them has to be awaited
    await asyncio.wait_for(asyncio.gather(*sending), timeout)
    crash_point("before-commit", transaction.agent)
    await asyncio.wait_for(producer.commit_transaction(), timeout)
    crash_point("after-commit", transaction.agent)
