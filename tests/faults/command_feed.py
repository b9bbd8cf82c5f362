"""Commands for `counting_app`, written in transactions of which a fifth is aborted; what counts is
what is committed in the topic.
"""

from __future__ import annotations

import json
import random
import threading
import time
from dataclasses import dataclass, field
from zlib import crc32

from confluent_kafka import KafkaException, Producer

TENANTS = 60
# a multiple of 60; the commands' own time runs faster than the clock, so that windows fill and
# expire
FIRST_MINUTE = 1_700_000_040


@dataclass
class Feed:
    """Feeds on a thread until `stop`; survives broker restarts."""

    servers: str
    topic: str
    partitions: int
    rate: int  # commands a second
    seed: int
    count: int = 0
    aborted: int = 0
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(60)

    def _run(self) -> None:
        dice, producer, started = random.Random(self.seed), None, time.monotonic()
        while not self._stopping.is_set():
            try:
                producer = producer or self._producer()
                self._transaction(producer, dice)
            except KafkaException:
                producer = (
                    None  # the next one of the same id fences it and resolves what it left open
                )
            self._stopping.wait(max(0.0, started + self.count / self.rate - time.monotonic()))

    def _producer(self) -> Producer:
        options = {
            "bootstrap.servers": self.servers,
            "transactional.id": f"{self.topic}-feed",
            "transaction.timeout.ms": 10_000,
        }
        producer = Producer({**options, "linger.ms": 2, "log_level": 0})
        producer.init_transactions(30)
        return producer

    def _transaction(self, producer: Producer, dice: random.Random) -> None:
        producer.begin_transaction()
        for _ in range(dice.randrange(1, 41)):
            tenant = f"t{dice.randrange(TENANTS)}"
            at = FIRST_MINUTE + self.count * 0.05
            command = {"id": self.count, "tenant": tenant, "n": dice.randrange(6), "at": at}
            producer.produce(
                self.topic,
                key=tenant,
                value=json.dumps(command),
                partition=crc32(tenant.encode()) % self.partitions,
            )
            self.count += 1
        producer.flush(10)
        if dice.random() < 0.2:
            producer.abort_transaction(20)
            self.aborted += 1
        else:
            producer.commit_transaction(20)
