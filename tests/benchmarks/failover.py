"""P10: from the kill -9 of a worker to the first progress of its last partition elsewhere, against
the session timeout, which cannot be beaten; and the same for a worker that is told to end.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from streams.settings import Settings
from streams.topics import Name
from tests.eventually import eventually
from tests.faults import raw_kafka
from tests.faults.command_feed import Feed
from tests.faults.counting_app import COMMANDS, GRANTS, TOPICS
from tests.faults.workers import Worker, settings_environment

_PARTITIONS = 6
_SETTLED = 3  # seconds of output after the worst that is expected


async def measure(settings: Settings, rate: int) -> dict[str, Any]:
    """Seconds: `session`, `killed` and `ended`, at so many commands a second. Raises AssertionError
    when a partition does not go on.
    """
    session = settings.session_timeout.total_seconds()
    with tempfile.TemporaryDirectory(prefix="campaigns-failover-") as folder:
        return {
            "session": session,
            "killed": await _longest_gap(
                settings.kafka, rate, signal.SIGKILL, Path(folder), 2 * session
            ),
            "ended": await _longest_gap(
                settings.kafka, rate, signal.SIGTERM, Path(folder), session
            ),
        }


async def _longest_gap(
    kafka: str, rate: int, how: signal.Signals, folder: Path, within: float
) -> float:
    prefix = f"x{secrets.token_hex(4)}-"
    topics = {prefix + topic: _PARTITIONS for topic in TOPICS} | {prefix + Name.DEAD_LETTERS: 1}
    raw_kafka.create_topics(kafka, topics, {f"{prefix}campaigns-limit-state": _PARTITIONS})
    environment = settings_environment(kafka, prefix, _PARTITIONS)
    logs = [folder / f"{how.name}-{n}.log" for n in range(2)]
    first, second = (Worker("limit", log, environment) for log in logs)
    feed = Feed(kafka, prefix + COMMANDS, _PARTITIONS, rate=rate, seed=1)
    feed.start()
    try:
        for worker in (first, second):
            await worker.start()

        async def both_work() -> bool:
            written = await asyncio.to_thread(
                raw_kafka.count_all, kafka, prefix + GRANTS, _PARTITIONS
            )
            return written > 1000 and all("restored" in log.read_text() for log in logs)

        await eventually(both_work, 300)
        signalled = int(time.time() * 1000)
        first.signal(how)
        await asyncio.sleep(within + _SETTLED)  # what is measured goes on meanwhile
    finally:
        await asyncio.to_thread(feed.stop)
        for worker in (first, second):
            if worker.process is not None:
                await worker.stop()
    parts = raw_kafka.read_all(kafka, prefix + GRANTS, _PARTITIONS)
    return max(_gap([grant.timestamp for grant in part], signalled) for part in parts) / 1000


def _gap(timestamps: list[int], since: int) -> int:
    """Milliseconds without output."""
    after = [since, *(stamp for stamp in timestamps if stamp >= since)]
    assert len(after) > 1, "nothing came after the signal"
    return max(later - earlier for earlier, later in itertools.pairwise(after))
