"""The raw logs of a run that is too long to read them from the beginning again and again, and whose
topics do not keep them so long: they are followed, and each line is read once.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.settings import Settings
from tests.confluent import access
from tests.e2e.checker import SentMessage
from tests.e2e.truth import Truth
from tests.eventually import eventually_sync

_TOPIC = "pipeline.messages.v1"


class Witness:
    """Follows every committed message from the beginning, in a thread of its own. A message that
    its topic has lost before it was read here is an error of `messages`.
    """

    def __init__(self, settings: Settings) -> None:
        self._parts = [
            TopicPartition(settings.topic_prefix + _TOPIC, number, 0)
            for number in range(settings.partitions)
        ]
        self._consumer = Consumer(
            {
                **access(settings),
                "group.id": "witness",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "reconnect.backoff.max.ms": 1000,
                "log_level": 0,
            }
        )
        self._messages: defaultdict[str, list[SentMessage]] = defaultdict(list)
        self._read, self._stopping = [0] * len(self._parts), threading.Event()
        self._lost = ""
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> Self:
        self._consumer.assign(self._parts)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._consumer.close()

    def messages(self, tenant: str) -> list[SentMessage]:
        """What the tenant has sent until now. Blocks; raises AssertionError when that cannot be
        read.
        """
        ends = [eventually_sync(lambda: self._end(part)) for part in self._parts]  # noqa: B023
        wanted = [end - 1 for end in ends]
        eventually_sync(lambda: all(at >= end for at, end in zip(self._read, wanted, strict=True)))
        assert not self._lost, self._lost
        return list(self._messages[tenant])

    def forget(self, tenant: str) -> None:
        """The tenant is gone, and so are its messages."""
        self._messages.pop(tenant, None)

    @property
    def unexpected(self) -> Mapping[str, int]:
        """How many messages are held, by tenant."""
        return {tenant: len(found) for tenant, found in self._messages.items() if found}

    def _end(self, part: TopicPartition) -> int:
        """One more than the end: an empty partition has one, too."""
        try:
            return int(self._consumer.get_watermark_offsets(part, timeout=5)[1]) + 1
        except KafkaException as away:
            raise AssertionError(str(away)) from away

    def _follow(self) -> None:
        while not self._stopping.is_set():
            for record in self._consumer.consume(5000, timeout=0.2):
                self._take(record)

    def _take(self, record: Any) -> None:
        error, part = record.error(), record.partition()
        if error is None:
            body = json.loads(record.value())
            message = SentMessage(
                body["tenantId"],
                body["campaignId"],
                body["recipientNumber"],
                body["contactId"],
                body["messageId"],
                record.timestamp()[1] / 1000,
            )
            self._messages[message.tenant_id].append(message)
            self._read[part] = record.offset() + 1
        elif error.code() == KafkaError._PARTITION_EOF:
            # past the markers of transactions, which are no messages
            self._read[part] = max(self._read[part], record.offset())
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._lost = f"partition {part} lost messages before they were read: {error}"


class Truths:
    """The simulator's own log, by campaign; each line is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._read = folder, dict[Path, int]()
        self._found: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(
            lambda: defaultdict(set)
        )

    def of(self, campaign: str) -> Truth:
        """What has been decided of a campaign's messages until now."""
        for file in self._folder.glob("truth-*.tsv"):
            with file.open("rb") as lines:
                lines.seek(self._read.get(file, 0))
                piece, newline, _ = lines.read().rpartition(b"\n")
            self._read[file] = self._read.get(file, 0) + len(piece) + len(newline)
            for line in piece.decode().split("\n"):
                fields = line.split("\t")
                if len(fields) == 5:
                    self._found[fields[0]][fields[2]].add(fields[1])
        return Truth(dict(self._found[campaign]))
