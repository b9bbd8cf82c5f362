"""The table of topics: names, keys, partitions, retention. Created explicitly by `campaigns
topics`, never automatically.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from zlib import crc32

from streams.settings import Settings

# Kafka refuses records that are dated so far ahead of the broker's clock, or farther.
MOST_AHEAD = timedelta(hours=2)
_DAY = 24 * 3600 * 1000  # milliseconds, as Kafka's retention.ms

# Segments of 4 MB that roll every two minutes: with 64 MB ones compaction never happens (121 MB
# stayed 121 MB, small ones 10-15 MB).
COMPACTED: Mapping[str, str] = {
    "cleanup.policy": "compact",
    "segment.bytes": str(4 << 20),
    "segment.ms": "120000",
    "min.cleanable.dirty.ratio": "0.1",
    "max.message.bytes": str(2 << 20),
}


# What every topic needs: a replica that has fallen behind never becomes the leader, and no record
# is so far ahead of the broker's clock that it would lead the throttle's astray. Writers date their
# records: messages and the feedback on them have one time.
_SAFE: Mapping[str, str] = {
    "unclean.leader.election.enable": "false",
    "message.timestamp.type": "CreateTime",
    "message.timestamp.after.max.ms": str(MOST_AHEAD // timedelta(milliseconds=1)),
}

# The broker dates what others write: a record of 1970 would be removed at once as too old, read or
# not, and one of a clock that is hours ahead be refused.
_OF_OTHERS: Mapping[str, str] = {"message.timestamp.type": "LogAppendTime"}


def _kept(days: int) -> Mapping[str, str]:
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(days * _DAY),
        # a segment is deleted as a whole: the last record of it may be older by this time
        "segment.ms": str(_DAY // 4),
        "max.message.bytes": str(2 << 20),
    }


class Name(StrEnum):
    """Topic names without the prefix."""

    COMMANDS = "campaigns.commands.v1"
    COMMAND_RESULTS = "campaigns.command-results.v1"
    EVENTS = "campaigns.events.v1"
    EXPANSIONS = "campaigns.expansions.v1"
    SENDING = "campaigns.sending.v1"
    GRANTS = "campaigns.grants.v1"
    MILESTONES = "campaigns.milestones.v1"
    MESSAGES = "pipeline.messages.v1"
    INCOMING = "pipeline.events.v1"
    FACTS = "campaigns.facts.v1"
    MESSAGE_EVENTS = "campaigns.outcomes.v1"
    STATS = "campaigns.stats.v1"
    PERFORMANCE = "campaigns.performance.v1"
    DEAD_LETTERS = "campaigns.dead-letters.v1"
    INSTALLATION = "campaigns.installation.v1"
    CONTROL_STATE = "campaigns-control-state"
    EXPAND_STATE = "campaigns-expand-state"
    EMIT_STATE = "campaigns-emit-state"
    FOLD_STATE = "campaigns-stats-state"
    DELIVER_STATE = "campaigns-deliver-state"


@dataclass(frozen=True)
class Topic:
    """One line of the table. `key` describes the record key; equal keys meet in one partition."""

    key: str
    config: Mapping[str, str] = field(hash=False)
    is_public: bool = False
    is_single: bool = False  # one partition, not `settings.partitions`


TOPICS: Mapping[Name, Topic] = {
    Name.COMMANDS: Topic("tenantId", {**_kept(7), **_OF_OTHERS}, is_public=True),
    Name.COMMAND_RESULTS: Topic("tenantId", _kept(7), is_public=True),
    Name.EVENTS: Topic("campaignId", _kept(7), is_public=True),
    Name.EXPANSIONS: Topic("campaignId", _kept(3)),
    Name.SENDING: Topic("tenantId", _kept(3)),
    Name.GRANTS: Topic("none: the partition is the lane", _kept(3)),
    Name.MILESTONES: Topic("campaignId", _kept(3)),
    Name.MESSAGES: Topic("messageId; the partition is the lane", _kept(3), is_public=True),
    Name.INCOMING: Topic("messageId", {**_kept(7), **_OF_OTHERS}, is_public=True),
    Name.FACTS: Topic("campaign number:shard", _kept(30)),
    Name.MESSAGE_EVENTS: Topic("campaign number:shard", _kept(7)),
    Name.STATS: Topic("campaign number:shard", COMPACTED, is_public=True),
    Name.PERFORMANCE: Topic("campaignId", _kept(30), is_public=True),
    Name.DEAD_LETTERS: Topic(
        "source topic-partition-offset", _kept(30), is_public=True, is_single=True
    ),
    Name.INSTALLATION: Topic("installation", COMPACTED, is_single=True),
    Name.CONTROL_STATE: Topic("table\\0key, or \\0topic for the input position", COMPACTED),
    Name.EXPAND_STATE: Topic("as above", COMPACTED),
    Name.EMIT_STATE: Topic("as above", COMPACTED),
    Name.FOLD_STATE: Topic("as above", COMPACTED),
    Name.DELIVER_STATE: Topic("as above", COMPACTED),
}


# The state of each role whose input and state are one transaction.
STATES = (
    Name.CONTROL_STATE,
    Name.EXPAND_STATE,
    Name.EMIT_STATE,
    Name.FOLD_STATE,
    Name.DELIVER_STATE,
)


class Topics:
    """The topics of one installation: prefixed names, and the partitioner of every process."""

    def __init__(self, settings: Settings) -> None:
        self.prefix, self.partitions, self.replication_factor = (
            settings.topic_prefix,
            settings.partitions,
            settings.replication_factor,
        )

    def name(self, topic: Name) -> str:
        return self.prefix + topic

    def partition(self, key: str | bytes) -> int:
        """Where a key lives: CRC-32 modulo the number of partitions, the same in every process and
        language.
        """
        return crc32(key.encode() if isinstance(key, str) else key) % self.partitions

    def shard_partition(self, number: int, shard: int) -> int:
        """Where the facts and stats of one (campaign number, shard) live: the shards of a campaign
        spread evenly.
        """
        return (number * 31 + shard) % self.partitions

    def place(self, topic: Name, key: str) -> int:
        """Where a record of the topic with this key lives."""
        if topic is not Name.FACTS:
            return self.partition(key)
        number, _, shard = key.partition(":")
        return self.shard_partition(int(number), int(shard))

    def config(self, topic: Name) -> Mapping[str, str]:
        """The topic's settings. From three copies on, a record counts as written when two have it:
        one broker may be lost, and no acknowledged record with it.
        """
        in_sync = "2" if self.replication_factor >= 3 else "1"
        return {**_SAFE, **TOPICS[topic].config, "min.insync.replicas": in_sync}

    def count(self, topic: Name) -> int:
        return 1 if TOPICS[topic].is_single else self.partitions


@lru_cache(maxsize=8)
def of(settings: Settings) -> Topics:
    """The topics of these settings; cheap to ask for anywhere."""
    return Topics(settings)


def shard_key(number: int, shard: int) -> bytes:
    return b"%d:%d" % (number, shard)
