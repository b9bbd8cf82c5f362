"""A worker with a bug that engines of this kind are known for, so that the checker can show that it
finds it: `python -m tests.faults.planted BUG ROLE`.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from agents import worker
from agents.sending.emit import Emitter
from connectors.messages.composing import Composed
from streams.records.facts import Batch
from tables.stats.shards import Shard
from tables.throttle.quota import Quota


def _drop_one() -> None:
    """The last message of every chunk is counted and not sent."""
    write = Emitter._write

    def dropping(self: Emitter, tx: Any, work: Any, composed: Composed, now: datetime) -> None:
        write(self, tx, work, composed, now)
        for records in _messages(tx, composed):
            records.pop()

    Emitter._write = dropping  # type: ignore[assignment, method-assign]


def _double_a_chunk() -> None:
    """Every chunk is sent twice and counted once."""
    write = Emitter._write

    def doubling(self: Emitter, tx: Any, work: Any, composed: Composed, now: datetime) -> None:
        write(self, tx, work, composed, now)
        for records in _messages(tx, composed):
            records.extend(composed.records)

    Emitter._write = doubling  # type: ignore[assignment, method-assign]


def _messages(tx: Any, composed: Composed) -> list[Any]:
    """The list of the transaction's records to which these messages went."""
    last = composed.records[-1:]
    return [records for records in tx.outbox.values() if last and records[-1:] == last]


def _forget_windows() -> None:
    """What was sent in an hour is not remembered."""

    def forgetting(_self: Quota, _key: str, _sent: int, _at: datetime) -> None: ...

    Quota.count = forgetting  # type: ignore[assignment, method-assign]


def _lose_facts() -> None:
    """Every second batch of facts is taken for one that says nothing new."""
    fold, taken = Shard.fold, itertools.count(1)

    def losing(self: Shard, batch: Batch, window: int = 0) -> Batch | None:
        return None if next(taken) % 2 == 0 else fold(self, batch, window)

    Shard.fold = losing  # type: ignore[method-assign]


BUGS: Mapping[str, tuple[str, Callable[[], None]]] = {
    "the last message of a chunk is dropped": ("emit", _drop_one),
    "a chunk is sent twice": ("emit", _double_a_chunk),
    "windows are forgotten": ("control", _forget_windows),
    "facts are lost": ("stats", _lose_facts),
}


def main() -> None:
    """Plant the bug, then run the role as `agents.worker` does."""
    role, plant = BUGS[sys.argv.pop(1)]
    plant()
    sys.argv[1:] = [role]
    worker.main()


if __name__ == "__main__":
    main()
