"""The pace at which the body of a request must arrive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")
#: A body that takes longer than GRACE must have brought so many bytes for each further second.
GRACE = 30.0  # seconds
SLOWEST = 16 << 10  # bytes a second
LONGEST = 3_600.0  # seconds in all


class TooSlowError(Exception):
    """The sender of a body keeps it back; the text says how slow it was, and the limit."""


class Pace:
    """Counts the time that the server waits for its caller; what it does in between is its own."""

    def __init__(self, grace: float = GRACE, longest: float = LONGEST) -> None:
        """Both in seconds; `grace` is also the longest time between two pieces."""
        self._grace, self._longest = grace, longest
        self._arrived, self._waited = 0, 0.0

    def count(self, piece: int) -> None:
        """So many bytes have arrived."""
        self._arrived += piece

    async def keep(self, coming: Awaitable[T]) -> T:
        """Wait for the next piece of the body. Raises TooSlowError."""
        allowed = min(self._grace + self._arrived / SLOWEST, self._longest)
        began = time.monotonic()
        try:
            async with asyncio.timeout(min(self._grace, allowed - self._waited)):
                return await coming
        except TimeoutError as error:
            waited = self._waited + time.monotonic() - began
            raise TooSlowError(
                f"The body came too slowly, {self._arrived:,} bytes in {waited:.0f} s; the limit is"
                f" {self._grace:g} s, and a second more for each {SLOWEST:,} bytes."
            ) from error
        finally:
            self._waited += time.monotonic() - began
