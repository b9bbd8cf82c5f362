"""The table of topics and the one partitioner, which programs in other languages repeat."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.settings import Settings
from streams.topics import COMPACTED, TOPICS, Name, Topics, of, shard_key

DAY = 24 * 3600 * 1000


def topics(**more: Any) -> Topics:
    return Topics(
        Settings(kafka="nowhere:1", postgres="", nats="", message_keys=("00" * 16,), **more)
    )


@given(st.text(), st.integers(1, 1024))
def test_a_key_has_one_partition_whether_it_is_text_or_bytes(key: str, partitions: int) -> None:
    placed = topics(partitions=partitions)
    assert 0 <= placed.partition(key) < partitions
    assert placed.partition(key) == placed.partition(key.encode())
    assert placed.place(Name.EVENTS, key) == placed.partition(key)


@pytest.mark.parametrize(
    ("key", "partition"),
    # CRC-32 as zlib, PNG and Java's CRC32 calculate it; that of "123456789" is its check value
    [("123456789", 0xCBF43926 % 1000), ("", 0), ("acme", 0x05C4BA3E % 1000)],
)
def test_a_key_is_placed_by_its_crc_32(key: str, partition: int) -> None:
    assert topics(partitions=1000).partition(key) == partition


@given(st.integers(0, 1 << 40), st.integers(1, 64))
def test_the_shards_of_a_campaign_spread_evenly(number: int, partitions: int) -> None:
    placed = topics(partitions=partitions)
    used = Counter(placed.shard_partition(number, shard) for shard in range(256))
    assert max(used.values()) - min(used.values()) <= 1
    assert len(used) == partitions


@given(st.integers(0, 1 << 40), st.integers(0, 255))
def test_facts_are_placed_by_campaign_and_shard(number: int, shard: int) -> None:
    placed = topics(partitions=64)
    key = shard_key(number, shard).decode()
    assert key == f"{number}:{shard}"
    assert placed.place(Name.FACTS, key) == placed.shard_partition(number, shard)


def test_neighbouring_campaigns_begin_on_different_partitions() -> None:
    placed = topics(partitions=8)
    assert {placed.shard_partition(number, 0) for number in range(8)} == set(range(8))


def test_every_topic_has_its_line_and_the_prefix() -> None:
    named = topics(topic_prefix="t1-")
    assert set(TOPICS) == set(Name)
    assert named.name(Name.COMMANDS) == "t1-campaigns.commands.v1"
    assert len({named.name(name) for name in Name}) == len(Name)


def test_dead_letters_and_marks_have_one_partition_whatever_the_setting() -> None:
    placed = topics(partitions=12)
    single = {Name.DEAD_LETTERS, Name.INSTALLATION}
    assert {name for name in Name if placed.count(name) != 12} == single
    assert {placed.count(name) for name in single} == {1}


@pytest.mark.parametrize(
    ("name", "days"),
    [
        (Name.COMMANDS, 7),
        (Name.INCOMING, 7),
        (Name.MESSAGE_EVENTS, 7),
        (Name.SENDING, 3),
        (Name.MESSAGES, 3),
        (Name.FACTS, 30),
        (Name.PERFORMANCE, 30),
        (Name.DEAD_LETTERS, 30),
    ],
)
def test_records_are_kept_for_as_many_days_as_are_promised(name: Name, days: int) -> None:
    config = TOPICS[name].config
    assert (config["cleanup.policy"], config["retention.ms"]) == ("delete", str(days * DAY))


def test_state_and_stats_are_compacted_and_never_deleted() -> None:
    compacted = {name for name in Name if TOPICS[name].config["cleanup.policy"] == "compact"}
    assert compacted == {
        Name.STATS,
        Name.INSTALLATION,
        Name.CONTROL_STATE,
        Name.EXPAND_STATE,
        Name.EMIT_STATE,
        Name.FOLD_STATE,
        Name.DELIVER_STATE,
    }
    assert "retention.ms" not in COMPACTED


def test_every_topic_takes_records_of_two_mebibytes() -> None:
    assert {topic.config["max.message.bytes"] for topic in TOPICS.values()} == {str(2 << 20)}


def test_the_topics_of_equal_settings_are_made_once() -> None:
    settings = Settings(kafka="a:1", postgres="", nats="", message_keys=("00" * 16,))
    assert of(settings) is of(settings)
