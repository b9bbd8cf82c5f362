"""Publishes pieces in order and keeps each until JetStream has stored it: after any failure all
that is outstanding is published again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from connectors.nats.connection import JetStreamConnection, NatsDownError, Publication
from connectors.nats.stream import ensure_stream
from streams import metrics
from streams.settings import Settings

PIECE = 1_500  # messages
# At most four pieces are on their way: a JetStream stream buffers 10,000 messages and answers "too
# many requests" beyond.
WINDOW = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # seconds between two attempts
_ACK_TIMEOUT = 5.0  # seconds; a server that is slower is taken for gone
_log = logging.getLogger(__name__)

Attempt = Callable[[], Awaitable[None]]
Receipt = TypeVar("Receipt")


class StreamReplacedError(Exception):
    """The stream was wiped and made again: what it had stored is gone, and everything Kafka still
    has must be published again.
    """


@dataclass
class _Piece(Generic[Receipt]):
    publications: Sequence[Publication]
    receipt: Receipt
    stored: asyncio.Future[None] | None = None


class JetStreamPublisher(Generic[Receipt]):
    """At least once and in order; the duplicate window of the stream makes it once. Waits as long
    as NATS is away and loses nothing.
    """

    def __init__(self, settings: Settings) -> None:
        self.identity: str | None = None
        self.published = self.duplicates = (
            0  # messages stored, and those of them that were there already
        )
        self._settings = settings
        self._outstanding: deque[_Piece[Receipt]] = deque()
        self._connection: JetStreamConnection | None = None
        self._gauge = metrics.DEPENDENCY_DOWN.labels("nats")

    @property
    def is_connected(self) -> bool:
        return self._connection is not None and self._connection.is_open

    async def open(self) -> str:
        """Waits until NATS is there and answers the identity of the stream."""
        await self._until_up(self._reach)
        assert self.identity is not None
        return self.identity

    async def publish(self, publications: Sequence[Publication], receipt: Receipt) -> list[Receipt]:
        """Hand over at most PIECE messages; answers the receipts of pieces that have been stored
        meanwhile, in order.

        Returns before this piece is stored, unless too many are outstanding. Raises
        StreamReplacedError: call `forget` then.
        """
        piece = _Piece(publications, receipt)
        self._outstanding.append(piece)
        if self._connection is not None:
            piece.stored = self._connection.publish(publications)
            await self._connection.drained()
        return await self.settle(WINDOW)

    async def settle(self, left: int = 0) -> list[Receipt]:
        """Wait until at most `left` pieces are outstanding; the receipts of those stored. Raises
        StreamReplacedError.

        With nothing outstanding it still notices that NATS was away, and reconnects.
        """
        receipts = []
        if not self._outstanding and not self.is_connected:
            await self._until_up(self._reach)
        while len(self._outstanding) > left:
            await self._until_up(self._oldest_stored)
            piece = self._outstanding.popleft()
            self.published += len(piece.publications)
            metrics.NATS_PUBLISHED.inc(len(piece.publications))
            self._count_duplicates()
            receipts.append(piece.receipt)
        return receipts

    def forget(self) -> None:
        """Give up what is outstanding, because it will be read from Kafka again."""
        self._outstanding.clear()
        self.close()
        self.identity = None

    def close(self) -> None:
        """Harmless when there is no connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _count_duplicates(self) -> None:
        if self._connection is not None and (found := self._connection.duplicates):
            self._connection.duplicates = 0
            self.duplicates += found
            metrics.NATS_DUPLICATES.inc(found)

    async def _oldest_stored(self) -> None:
        await self._reach()
        oldest = self._outstanding[0].stored
        assert oldest is not None
        await asyncio.wait(
            [oldest], timeout=_ACK_TIMEOUT
        )  # not wait_for, which would cancel what the connection still resolves
        if not oldest.done():
            raise NatsDownError("NATS did not acknowledge in time.")
        oldest.result()

    async def _reach(self) -> None:
        """Connect if need be, with the stream there, and publish again all that is outstanding."""
        if self.is_connected:
            return
        self.close()
        connection = await JetStreamConnection.open(self._settings.nats)
        try:
            identity = await ensure_stream(connection, self._settings)
            if self.identity not in (None, identity):
                raise StreamReplacedError
        except BaseException:
            connection.close()
            raise
        self.identity, self._connection = identity, connection
        for piece in self._outstanding:
            piece.stored = connection.publish(piece.publications)
            await connection.drained()

    async def _until_up(self, attempt: Attempt) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await attempt()
            except NatsDownError as error:
                self.close()
                if pause == _FIRST_PAUSE:
                    self._gauge.set(1)
                    _log.warning(
                        "NATS does not take messages, trying again until it does",
                        extra={"error": str(error.__cause__ or error)},
                    )
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            if pause != _FIRST_PAUSE:
                self._gauge.set(0)
                _log.info("NATS takes messages again")
            return
