"""How fast the simulator reports when nothing is delayed: events a second, and the processor time
of one.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from connectors.simulator.behaviour import Behaviour
from connectors.simulator.service import Simulator
from streams.settings import Settings
from tests.connectors.simulator.pipeline import is_read, send_messages
from tests.eventually import eventually


async def measure(settings: Settings, messages: int) -> dict[str, Any]:
    """From a standing start with all messages in Kafka to the last event acknowledged."""
    await send_messages(settings, messages)
    with TemporaryDirectory() as folder:
        simulator = Simulator(
            None, settings, Behaviour(delivery=0, opening=0, clicking=0), Path(folder)
        )
        started, processor = time.monotonic(), time.process_time()
        async with simulator:
            await eventually(lambda: is_read(settings, "campaigns-simulate"), 300)
            seconds, processor = time.monotonic() - started, time.process_time() - processor
    events = simulator.reported
    return {
        "messages": messages,
        "events": events,
        "eventsPerSecond": events / seconds,
        "processorMicroseconds": processor / events * 1e6,
    }
