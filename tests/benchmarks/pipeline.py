"""One round of P16: from POST start to the last committed message with every process running, and
what each worker's memory peaked at.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from connectors.local.engines.engine import free_port
from streams.settings import Settings
from tests.e2e import world
from tests.e2e.checker import committed
from tests.e2e.processes import Installation
from tests.eventually import eventually

# recipients a second: the strongest open-source sender, to a no-op sink in memory
# (docs/operate/performance.md)
PEER = 43_000
_SENDER = {
    "fromName": "Acme",
    "fromEmail": "news@acme.example",
    "trackOpens": True,
    "trackClicks": True,
}


async def measure(settings: Settings, recipients: int) -> dict[str, Any]:
    """Raises AssertionError when a recipient got no message, or more than one."""
    settings = settings.model_copy(update={"api_port": free_port()})
    api = {"api": [sys.executable, "-m", "api.server"]}
    with (
        tempfile.TemporaryDirectory() as folder,
        Installation(settings, Path(folder), extra=api) as processes,
    ):
        connection = await world.connect(settings.postgres)
        tenant = await world.tenant(connection, "bench")
        await world.people(connection, tenant, "everybody", recipients)
        await connection.execute("VACUUM ANALYZE contacts, segment_members")
        await connection.execute("CHECKPOINT")  # what came before is not part of the time
        template = await world.template(connection, tenant)
        await connection.close()
        await eventually(processes.all_ready, within=300)
        url = f"http://127.0.0.1:{settings.api_port}"
        await eventually(lambda: _is_up(url), within=300)
        rest = world.Rest(url, tenant.key)
        started = time.time()
        campaign = await rest.started(template, [tenant.segments["everybody"]], settings=_SENDER)
        while (await rest("GET", f"/campaigns/{campaign}"))["status"] != "completed":
            assert time.time() - started < 600, "not completed within ten minutes"
            await asyncio.sleep(1)
        await rest.close()
        memory = {name: _peak(processes, name) for name in processes.processes}
    first, last = _check(settings, recipients)
    return {
        "recipients": recipients,
        "perSecond": round(recipients / (last - started)),
        "peer": PEER,
        "seconds": round(last - started, 2),
        "firstMessageSeconds": round(first - started, 2),
        "peakMegabytes": memory,
    }


async def _is_up(url: str) -> bool:
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{url}/readyz")).is_success
    except httpx.TransportError:
        return False


def _check(settings: Settings, recipients: int) -> tuple[float, float]:
    """The commit times of the first and the last message, in Unix seconds; every message id is
    there once.
    """
    seen, count, first, last = set[bytes](), 0, float("inf"), 0.0
    for record in committed(settings, "pipeline.messages.v1"):
        seen.add(record.key())
        at = record.timestamp()[1] / 1000
        first, last, count = min(first, at), max(last, at), count + 1
    assert count == len(seen) == recipients, (
        f"{count} messages with {len(seen)} ids for {recipients} recipients"
    )
    return first, last


def _peak(processes: Installation, name: str) -> int:
    """The highest resident set of a process so far, in MB (proc(5), VmHWM)."""
    process = processes.processes[name].process
    assert process is not None
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    return 0
