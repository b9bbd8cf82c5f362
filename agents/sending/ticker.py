"""The timer of the throttle: tables change only in an agent, and an agent acts only on a record."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec
from aiokafka.errors import KafkaError
from mode import Service

from streams.contracts.envelope import encode
from streams.kafka import clients
from streams.process.app import App
from streams.records.sending import Tick
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.throttle.faust_tables import SENDING

_LOOK_EVERY = timedelta(seconds=5)  # a tick although no time has come, in case something was missed
_log = logging.getLogger(__name__)


class _Alarm(msgspec.Struct):
    """The one field of a tenant's row that the ticker reads."""

    wake: datetime | None = None


_decode_alarm = msgspec.json.Decoder(_Alarm).decode


class Ticker(Service):  # type: ignore[misc]  # mode is untyped
    """Sends a tick to every partition of this worker in which the time of a tenant has come. A lost
    tick is followed by another.
    """

    def __init__(self, app: App, settings: Settings) -> None:
        super().__init__()
        self._app, self._settings = app, settings
        self._topic = Topics(settings).name(Name.SENDING)
        # four looks per window of a shortened hour: a look that is a window late costs 1/60 of the
        # rate
        self.interval = max(0.02, min(settings.tick, settings.hour / 240).total_seconds())
        self._ticked: dict[int, float] = {}

    async def on_start(self) -> None:
        self._producer = clients.producer(self._settings)
        await self._producer.start()

    async def on_stop(self) -> None:
        await self._producer.stop()

    @Service.task  # type: ignore[untyped-decorator]
    async def _tick(self) -> None:
        while not self.should_stop:
            due = [
                number
                for number, state in self._app.exactly_once.owned.items()
                if self._is_due(number, state.rows[SENDING])
            ]
            results = await asyncio.gather(
                *(
                    self._producer.send_and_wait(self._topic, encode(Tick()), partition=p)
                    for p in due
                ),
                return_exceptions=True,
            )
            for result in results:
                if isinstance(result, KafkaError):
                    _log.warning("no tick for the throttle: %s", type(result).__name__)
                elif isinstance(result, BaseException):
                    raise result
            await self.sleep(self.interval)

    def _is_due(self, number: int, rows: Mapping[str, bytes]) -> bool:
        now, clock = datetime.now(UTC), time.monotonic()
        wakes = (_decode_alarm(row).wake for row in rows.values())
        due = any(wake is not None and wake <= now for wake in wakes) or (
            bool(rows) and clock - self._ticked.get(number, 0) > _LOOK_EVERY.total_seconds()
        )
        if due:
            self._ticked[number] = clock
        return due
