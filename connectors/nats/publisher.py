"""Publishes pieces in order and keeps each until JetStream has stored it: after any failure all
that is outstanding is published again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from connectors.nats.failures import NatsDownError
from connectors.nats.jetstream import JetStreamConnection, Publication
from connectors.nats.stream import ensure_stream
from streams import metrics
from streams.settings import Settings

PIECE = 1_500  # messages
# At most four pieces are on their way: a JetStream stream buffers 10,000 messages and answers "too
# many requests" beyond.
WINDOW = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # seconds between two attempts
_ACK_TIMEOUT = 5.0  # seconds; a server that is slower is taken for gone
_RECONNECTING = 15.0  # seconds that nats-py may take to reconnect; then a new connection is made
_log = logging.getLogger(__name__)

Attempt = Callable[[], Awaitable[object]]
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
        self.identity: datetime | None = None  # of the stream that holds what was published
        # messages stored, and those of them that were there already
        self.published = self.duplicates = 0
        self._settings = settings
        self._outstanding: deque[_Piece[Receipt]] = deque()
        self._connection: JetStreamConnection | None = None
        self._session = -1  # of the connection, in which the stream has been looked at
        self._gauge = metrics.DEPENDENCY_DOWN.labels("nats")

    @property
    def is_connected(self) -> bool:
        """Whether messages can be published now: the stream has been looked at in this session."""
        connection = self._connection
        return connection is not None and connection.is_open and connection.session == self._session

    async def open(self) -> datetime:
        """Wait until NATS is there and answer the identity of the stream."""
        await self._until_up(self._reach)
        assert self.identity is not None
        return self.identity

    async def publish(self, publications: Sequence[Publication], receipt: Receipt) -> list[Receipt]:
        """Hand over at most PIECE messages; answers the receipts of pieces that have been stored
        meanwhile, in order.

        Returns before this piece is stored, unless too many are outstanding. Raises
        StreamReplacedError: call `forget` then. Raises NatsRefusedError.
        """
        piece = _Piece(publications, receipt)
        self._outstanding.append(piece)
        if self.is_connected and self._connection is not None:
            piece.stored = await self._connection.publish(publications)
        return await self.settle(WINDOW)

    async def settle(self, left: int = 0) -> list[Receipt]:
        """Wait until at most `left` pieces are outstanding; the receipts of those stored. Raises
        StreamReplacedError and NatsRefusedError.

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

    async def forget(self) -> None:
        """Give up what is outstanding, because it will be read from Kafka again."""
        self._outstanding.clear()
        await self.close()
        self.identity = None

    async def close(self) -> None:
        """Harmless when there is no connection."""
        connection, self._connection, self._session = self._connection, None, -1
        if connection is not None:
            await connection.close()

    def _count_duplicates(self) -> None:
        if self._connection is not None and (found := self._connection.duplicates):
            self._connection.duplicates = 0
            self.duplicates += found
            metrics.NATS_DUPLICATES.inc(found)

    async def _oldest_stored(self) -> None:
        connection = await self._reach()
        oldest = self._outstanding[0].stored
        assert oldest is not None
        # not wait_for, which would cancel what the connection still resolves
        await asyncio.wait([oldest], timeout=_ACK_TIMEOUT)
        if not oldest.done():
            raise connection.unanswered("NATS did not acknowledge in time.")
        oldest.result()

    async def _reach(self) -> JetStreamConnection:
        """Connect if need be, with the stream there, and publish again all that is outstanding."""
        if self.is_connected and self._connection is not None:
            return self._connection
        connection = await self._connected()
        session = connection.session
        identity = await ensure_stream(connection, self._settings)
        if self.identity not in (None, identity):
            raise StreamReplacedError
        if connection.session != session:
            raise NatsDownError("The connection to NATS was lost again.")
        self.identity, self._session = identity, session
        for piece in self._outstanding:
            piece.stored = await connection.publish(piece.publications)
        return connection

    async def _connected(self) -> JetStreamConnection:
        """The connection that nats-py has restored, or a new one."""
        if self._connection is not None:
            if await self._connection.is_back(_RECONNECTING):
                return self._connection
            await self.close()
        self._connection = await JetStreamConnection.open(self._settings)
        return self._connection

    async def _until_up(self, attempt: Attempt) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await attempt()
            except NatsDownError as error:
                await self._drop_what_is_open()
                if pause == _FIRST_PAUSE:
                    self._gauge.set(1)
                    _log.warning(
                        "NATS does not take messages, trying again until it does",
                        extra={"error": str(error)},
                    )
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            if pause != _FIRST_PAUSE:
                self._gauge.set(0)
                _log.info("NATS takes messages again")
            return

    async def _drop_what_is_open(self) -> None:
        """A connection that fails although it is open is replaced; a lost one is nats-py's to
        restore.
        """
        if self._connection is not None and self._connection.is_open:
            await self.close()
