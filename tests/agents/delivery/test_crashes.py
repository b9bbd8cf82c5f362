"""The promise of delivery about crashes: the worker's process is killed at each point of the
journal, and the sink has counted what it got.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from pathlib import Path

from connectors.setup import topics
from streams.settings import Settings
from tests.agents.delivery.given import Messages, journal, made, mail_of, route, tenant
from tests.agents.processes.deliver_process import Worker
from tests.eventually import eventually
from tests.smtp_server import relay

_MESSAGES, _CONNECTIONS = 200, 2
_MOST_IN_DOUBT = 2 * _CONNECTIONS
# Point and pass: in the claim of a step, before and after its commit; when messages are about to
# go; when one has been answered, and that is not known to Kafka.
_POINTS = ("begun:9", "before-commit:9", "after-commit:9", "claimed:6", "answered:30")


async def test_a_kill_at_any_point_loses_nothing_and_repeats_at_most_what_was_on_its_way(
    settings: Settings, tmp_path: Path
) -> None:
    shared = made(settings)
    await tenant(shared, "acme")
    # at once, because each waits for the session of a killed worker to end
    repeats = await asyncio.gather(
        *(
            _repeats(shared, tmp_path / f"{number}.log", point, number)
            for number, point in enumerate(_POINTS)
        )
    )
    assert max(repeats) <= _MOST_IN_DOUBT
    assert sum(repeats) > 0  # the kills have hit something


async def _repeats(shared: Settings, log: Path, point: str, number: int) -> int:
    settings = shared.model_copy(
        update={"topic_prefix": f"k{secrets.token_hex(4)}-", "partitions": 2}
    )
    await topics.create(settings)
    try:
        async with relay() as sink:
            domain = f"shop{number}.example"
            limits = {"connections": _CONNECTIONS}
            await route(
                settings, "acme", sink.port, f"r{number}", fromDomains=[domain], limits=limits
            )
            sent = Messages(settings).send(
                "acme",
                [f"ana{each}@example.com" for each in range(_MESSAGES)],
                sender=f"news@{domain}",
            )
            worker = Worker(settings, log)
            worker.start(f"deliver:{point}")
            assert await worker.ended() == -9
            assert sink.mails < _MESSAGES
            worker.start()
            wanted = {mail_of(each).replace("acme.example", domain) for each in sent}
            await eventually(lambda: len({to for to, _ in sink.inbox}) == _MESSAGES)
            assert await worker.stop() == 0
            assert sum(await asyncio.to_thread(journal, settings)) == 0
            got = Counter(sink.ids())
            assert set(got) == wanted
            assert "@example.com" not in await asyncio.to_thread(log.read_text)
            return got.total() - len(got)
    finally:
        await topics.delete(settings)
