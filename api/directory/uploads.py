"""A request's body as a file that a thread reads while it arrives: what has not been read yet stays
with the sender.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import ClientDisconnect

from api.limits.pace import GRACE, Pace, TooSlowError
from streams.errors import MalformedError


class Upload(io.RawIOBase):
    """Made on the event loop, read in another thread. Raises MalformedError when the body breaks
    off or arrives too slowly.
    """

    def __init__(self, chunks: AsyncIterator[bytes], patience: float = GRACE) -> None:
        """`patience` in seconds: a sender that sleeps, or sends a byte now and then, would hold a
        thread for ever.
        """
        super().__init__()
        self._chunks, self._pace, self._loop = chunks, Pace(patience), asyncio.get_running_loop()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    async def _next(self) -> bytes | None:
        try:
            chunk = await self._pace.keep(anext(self._chunks, None))
        except TooSlowError as error:
            raise MalformedError(f"{error} The rows before that are in.") from error
        except ClientDisconnect as error:
            raise MalformedError("The body broke off; the rows before that are in.") from error
        if chunk is not None:
            self._pace.count(len(chunk))
        return chunk
