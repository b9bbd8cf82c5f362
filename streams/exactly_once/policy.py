"""How the transactions of exactly-once agents behave."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from streams.exactly_once.batches import COMPRESSION, MOST_BYTES


@dataclass(frozen=True)
class Policy:
    """The defaults are the ones that ran under chaos."""

    # for each step: opening, restoring without progress, sending, committing
    timeout: timedelta = timedelta(seconds=60)
    # a rebalance that has not ended after so long never will
    rebalance: timedelta = timedelta(seconds=120)
    # A dead owner's open transaction blocks read_committed readers this long, unless its partition
    # finds a new owner first.
    transaction_timeout: timedelta = timedelta(seconds=10)
    # warn, again and again, about a body that runs longer
    slow_body: timedelta = timedelta(seconds=5)
    batch_bytes: int = MOST_BYTES
    compression: str | None = COMPRESSION
