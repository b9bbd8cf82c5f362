"""The file in which a worker says, every second, that it is ready and how far it is; the supervisor reads it."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError

from streams import metrics


def write_readiness(path: Path, *, ready: bool, lag: int, position: int) -> None:
    """Replace the file at once: `{"pid", "ready", "lag", "position"}`. A reader takes a missing or old file (over 5 s) as not ready."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.tmp")
    fresh.write_text(json.dumps({"pid": os.getpid(), "ready": ready, "lag": lag, "position": position}))
    fresh.replace(path)


async def report_readiness(app: Any, path: Path | None) -> None:
    """Once a second, for ever: ready = partitions assigned (none is fine) and restored; lag and position in records over all sources.

    `position` moves with every committed batch: a lag above 0 with a position that stands still is a worker to restart.
    """
    lag = 0
    while True:
        ready = app.exactly_once.is_restored and not app.rebalancing
        if ready:
            lag = await _lag(app, lag)
            metrics.LAG.labels(app.conf.id).set(lag)
        if path is not None:
            position = sum(sum(state.position.values()) for state in app.exactly_once.owned.values())
            write_readiness(path, ready=ready, lag=lag, position=position)
        await asyncio.sleep(1)


async def _lag(app: Any, last: int) -> int:
    starts = app.exactly_once.starting_positions(app.consumer.assignment())
    try:
        lag: int = await asyncio.wait_for(app.consumer.lag(starts), 1)
    except (TimeoutError, KafkaError):
        return last  # the broker is away: what is known stays true
    return lag
