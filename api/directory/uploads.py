"""A request's body as a file that a thread reads while it arrives: what has not been read yet stays
with the sender.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import ClientDisconnect

from streams.errors import MalformedError

_PATIENCE = 30.0  # seconds without a byte; a sender that sleeps would hold a thread for ever


class Upload(io.RawIOBase):
    """Made on the event loop, read in another thread. Raises MalformedError when the body breaks
    off or stops arriving.
    """

    def __init__(self, chunks: AsyncIterator[bytes], patience: float = _PATIENCE) -> None:
        super().__init__()
        self._chunks, self._patience, self._loop = chunks, patience, asyncio.get_running_loop()
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
            async with asyncio.timeout(self._patience):
                return await anext(self._chunks, None)
        except TimeoutError as error:
            raise MalformedError(
                f"The body stopped arriving for {self._patience:g} seconds; "
                "the rows before that are in."
            ) from error
        except ClientDisconnect as error:
            raise MalformedError("The body broke off; the rows before that are in.") from error
