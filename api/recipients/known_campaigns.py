"""The campaigns that message ids name, looked up so that made-up ids cost no query each."""

from __future__ import annotations

import asyncio
import time

from api.http.dependencies import Services
from streams.errors import DependencyDownError
from streams.records.message_id import MAX_NUMBER
from tables.campaigns.numbers import CampaignNumbers, NumberedCampaign
from tables.tenancy.acting import every_tenant

_PAUSE = 0.1  # seconds between two queries
_MOST = 1_000  # campaigns in one query


class KnownCampaigns:
    """Campaigns by number; those that have been found stay in memory.

    One query at a time, at most ten a second, asks for everything that requests wait for by then. A
    number that is not found is not remembered: a campaign of that number may be made the next
    moment, and no open of it may be lost.
    """

    def __init__(self) -> None:
        self._numbers = CampaignNumbers()
        self._asked: dict[int, asyncio.Future[DependencyDownError | None]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._next = 0.0

    async def get(self, services: Services, number: int) -> NumberedCampaign | None:
        """None when no such campaign has started. Raises DependencyDownError."""
        if (found := self._numbers.get(number)) is not None:
            return found
        if not 1 <= number <= MAX_NUMBER:
            return None
        answered = self._asked.get(number)
        if answered is None:
            answered = self._asked[number] = asyncio.get_running_loop().create_future()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(services))
        if (error := await asyncio.shield(answered)) is not None:
            raise DependencyDownError(error.detail) from error
        found = self._numbers.get(number)
        if found is not None and not found.has_started:  # its key is not chosen yet
            self._numbers.forget(number)
            return None
        return found

    async def _ask(self, services: Services) -> None:
        while self._asked:
            await asyncio.sleep(max(0.0, self._next - time.monotonic()))
            self._next = time.monotonic() + _PAUSE
            wanted = dict(list(self._asked.items())[:_MOST])
            for number in wanted:
                del self._asked[number]
            error: DependencyDownError | None = None
            try:
                patience = services.settings.caller_patience
                with every_tenant():  # the number says whose the campaign is
                    async with services.database.transaction(patience) as session:
                        await self._numbers.load(session, wanted)
            except DependencyDownError as down:
                error = down
            finally:
                for answered in wanted.values():
                    if not answered.done():
                        answered.set_result(error)
