"""What a checker needs of Kafka, through another client (librdkafka) than the product's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic


class Raw(NamedTuple):
    """A record as it lies in the log."""

    partition: int
    offset: int
    timestamp: int  # milliseconds
    key: bytes | None
    value: bytes | None


def create_topics(servers: str, topics: Mapping[str, int], compacted: Mapping[str, int]) -> None:
    """Name -> partitions."""
    admin = AdminClient({"bootstrap.servers": servers})
    new = [NewTopic(name, count, 1) for name, count in topics.items()]
    new += [
        NewTopic(name, count, 1, config={"cleanup.policy": "compact"})
        for name, count in compacted.items()
    ]
    for done in admin.create_topics(new).values():
        done.result()


def delete_topic(servers: str, topic: str) -> None:
    """With all its records; it may take another moment to be gone."""
    admin = AdminClient({"bootstrap.servers": servers})
    for done in admin.delete_topics([topic]).values():
        done.result()


def delete_before(servers: str, topic: str, partition: int, offset: int) -> None:
    """As retention does."""
    admin = AdminClient({"bootstrap.servers": servers})
    for done in admin.delete_records([TopicPartition(topic, partition, offset)]).values():
        done.result()


def read_all(
    servers: str, topic: str, partitions: int, isolation: str = "read_committed"
) -> list[list[Raw]]:
    """Everything in the log now, per partition, in order."""
    consumer = _consumer(servers, "checker", isolation)
    consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    records: list[list[Raw]] = [[] for _ in range(partitions)]
    ended: set[int] = set()
    while len(ended) < partitions:
        for message in consumer.consume(5000, timeout=1.0):
            if (error := message.error()) is None:
                p = message.partition()
                records[p].append(
                    Raw(p, message.offset(), message.timestamp()[1], message.key(), message.value())
                )
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
    consumer.close()
    return records


def count_all(servers: str, topic: str, partitions: int) -> int:
    return sum(map(len, read_all(servers, topic, partitions)))


def group_offsets(servers: str, group: str, topic: str, partitions: int) -> list[int]:
    """What a consumer group has committed, per partition."""
    consumer = _consumer(servers, group, "read_committed")
    committed = consumer.committed(
        [TopicPartition(topic, p) for p in range(partitions)], timeout=60
    )
    consumer.close()
    return [tp.offset for tp in committed]


def _consumer(servers: str, group: str, isolation: str) -> Consumer:
    options = {
        "bootstrap.servers": servers,
        "group.id": group,
        "isolation.level": isolation,
        "enable.auto.commit": False,
    }
    return Consumer({**options, "enable.partition.eof": True, "log_level": 0})
