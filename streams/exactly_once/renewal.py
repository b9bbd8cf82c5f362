"""Begins the state of sending anew, after Kafka has lost some of it.

Which grants were made, and which were carried out, is then not known any more: so both are
forgotten, and records that would be taken up again are passed over. Counts and their positions
stay: reading their records again changes nothing.

No worker may be at work. Order of effects, partition by partition: rows are deleted, positions are
set, and last the installation's identity is written, without which no worker takes the partition.
Killed in between, or repeated, it writes the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition

from streams.exactly_once.restore import scan
from streams.exactly_once.tables import position_entry, split_entry
from streams.kafka import clients
from streams.records.marks import STATE_KEY
from streams.settings import Settings
from streams.topics import Name, Topics

# Of each role: its sources; where the state lacks a position, and where it is passed over anyway.
_SOURCES: Mapping[Name, Sequence[Name]] = {
    Name.CONTROL_STATE: (Name.COMMANDS, Name.SENDING, Name.MILESTONES),
    Name.EXPAND_STATE: (Name.EXPANSIONS,),
    Name.EMIT_STATE: (Name.GRANTS,),
    Name.FOLD_STATE: (Name.FACTS,),
    Name.DELIVER_STATE: (Name.MESSAGES,),
}
_PASSED_OVER = (Name.SENDING, Name.GRANTS, Name.MESSAGES)
# Its answers are remembered for as long as the topic keeps its records, and not for longer.
_PASSED_OVER_IF_UNKNOWN = (Name.COMMANDS,)
# The table whose rows are of campaigns that are being sent, or of messages that are on their way.
_FORGOTTEN: Mapping[Name, bytes] = {
    Name.CONTROL_STATE: b"sending",
    Name.EMIT_STATE: b"progress",
    Name.DELIVER_STATE: b"open",
}
_PATIENCE = 60.0  # seconds without a record

Records = list[tuple[bytes, bytes | None]]


@dataclass
class PartitionContent:
    """The content of one partition of a state topic. `ends` are those of its sources."""

    state: Name
    partition: int
    installation: str = ""
    positions: dict[Name, int] = field(default_factory=dict)
    ends: dict[Name, int] = field(default_factory=dict)
    rows: set[bytes] = field(default_factory=set)  # keys of rows to forget

    @property
    def recreated(self) -> list[Name]:
        """Sources that end before the position up to which they were processed."""
        return [name for name, at in self.positions.items() if at > self.ends.get(name, at)]

    def renewed(self, installation: str, topics: Topics) -> Records:
        """The records that make the state new, in order."""
        records: Records = [(row, None) for row in sorted(self.rows)]
        for name in _SOURCES[self.state]:
            at, end = self.positions.get(name), self.ends.get(name, 0)
            if name in _PASSED_OVER or (at is None and name in _PASSED_OVER_IF_UNKNOWN):
                at = end
            elif at is not None and at > end:
                at = 0
            if at is not None:
                records.append((position_entry(topics.name(name)), str(at).encode()))
        return [*records, (STATE_KEY, installation.encode())]


async def look(settings: Settings) -> list[PartitionContent]:
    """Every partition of every state topic, read to its end (240,000 rows a second). Raises
    aiokafka's KafkaError, and StuckRestoreError when nothing moves for a minute.
    """
    topics = Topics(settings)
    held = {
        TopicPartition(topics.name(state), partition): PartitionContent(state, partition)
        for state in _SOURCES
        for partition in range(topics.count(state))
    }
    async with clients.consumer(
        settings,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 << 20,
    ) as consumer:

        def take(tp: TopicPartition, records: Sequence[Any]) -> None:
            for record in records:
                _note(held[tp], record.key or b"", record.value, topics.prefix)

        partitions = list(held)
        await scan(consumer, partitions, await consumer.end_offsets(partitions), _PATIENCE, take)
        sources = {
            TopicPartition(topics.name(name), one.partition): (one, name)
            for one in held.values()
            for name in _SOURCES[one.state]
        }
        for source, end in (await consumer.end_offsets(list(sources))).items():
            one, name = sources[source]
            one.ends[name] = end
    return list(held.values())


def _note(held: PartitionContent, key: bytes, value: bytes | None, prefix: str) -> None:
    if key == STATE_KEY:
        held.installation = (value or b"").decode()
        return
    table, stored = split_entry(key)
    if not table:
        topic = stored.decode()
        if value is not None and topic.startswith(prefix):
            held.positions[Name(topic.removeprefix(prefix))] = int(value)
    elif table == _FORGOTTEN.get(held.state):
        if value is None:
            held.rows.discard(key)
        else:
            held.rows.add(key)


async def renew(settings: Settings, held: Sequence[PartitionContent], installation: str) -> None:
    """Partitions that have lost nothing go first: while one of those that have lacks its identity,
    repeating it begins anew. Raises aiokafka's KafkaError.
    """
    topics = Topics(settings)
    async with clients.producer(settings, acks="all", enable_idempotence=True) as producer:
        for one in _in_order(held, installation):
            for key, value in one.renewed(installation, topics):
                await producer.send(topics.name(one.state), value, key=key, partition=one.partition)
            await producer.flush()


def _in_order(held: Sequence[PartitionContent], installation: str) -> Iterator[PartitionContent]:
    yield from (one for one in held if one.installation == installation)
    yield from (one for one in held if one.installation != installation)
