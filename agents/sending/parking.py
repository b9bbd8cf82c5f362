"""Commands that wait for a directory service, so that no other tenant and no campaign waits with
them.

A command that names something of a service which does not answer at once goes to the end of its
partition, with a header that says where it came from. The question to the service runs beside the
agent. Until it has answered, every further command of the tenant goes to the end, too, and the
tenant's commands keep their order by a row of the table `parked`: the places of those that wait,
the first first.

Identity: the place at which the command arrived; its result has the id of that place. Order of
effects: the record at the end of the partition, the row and the position are one Kafka transaction,
so that a kill at any moment leaves the command either here or there, once. The questions are
harmless to repeat, and a successor asks them again. A command waits 10 s at most, counted from when
it was first read, whatever other commands of its tenant wait for; each is asked for once at least.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from connectors.sources.service import SourceDownError
from streams.exactly_once.transactions import Transaction
from streams.process.app import App

_HEADER = "parked"
_AT_ONCE = 0.05  # seconds for a service that is well: the partition's other agents wait for as long
_PATIENCE = 10.0  # seconds
_REST = 0.1  # seconds after a transaction that has only sent commands to the end
_MOST = 100  # commands of a tenant that wait
_decode = msgspec.json.Decoder(tuple[int, ...]).decode


@dataclass(frozen=True)
class Arrival:
    """The offset of a command when it came to its partition, and a time in Unix seconds: of the
    record, or, of one that is parked, of its first reading.
    """

    offset: int
    at: float
    is_parked: bool

    @classmethod
    def of(cls, event: Any) -> Arrival:
        message = event.message
        for name, value in message.headers or ():
            if name == _HEADER and value is not None:
                offset, _, at = value.decode("ascii", "replace").partition(":")
                if offset.isdigit() and at.isdigit():
                    return cls(int(offset), int(at) / 1000, is_parked=True)
        return cls(message.offset, message.timestamp, is_parked=False)


class Parking:
    """The commands that wait, and the questions under way. `now` is Unix time."""

    def __init__(self, app: App, now: Callable[[], float] = time.time) -> None:
        self._table = app.Table(
            "parked", key_type=str, value_type=bytes, partitions=app.conf.topic_partitions
        )
        self._asked: dict[tuple[int, int], asyncio.Future[None]] = {}  # by partition and offset
        self._now = now

    def arrival(self, tenant: str, event: Any) -> Arrival:
        """When and where the command came. A header that nobody here has written counts for
        nothing: the topic is public.
        """
        said = Arrival.of(event)
        if said.is_parked and said.offset not in self._waiting(tenant):
            return Arrival(event.message.offset, event.message.timestamp, is_parked=False)
        return said

    async def is_ready(
        self,
        tx: Transaction,
        tenant: str,
        arrival: Arrival,
        question: Callable[[], Awaitable[None]] | None,
    ) -> bool:
        """Whether the command may be carried out now: nothing of its tenant waits before it, and
        its question, if it has one, is answered. Else it must be parked.

        Raises what the question raises, and SourceDownError for a command that has waited too
        long or finds too many before it.
        """
        waiting = self._waiting(tenant)
        if waiting and arrival.offset not in waiting and len(waiting) >= _MOST:
            raise SourceDownError(
                f"{_MOST} commands of this tenant wait for a directory service already."
                " Nothing was changed; try again."
            )
        is_first = not waiting or waiting[0] == arrival.offset
        if not is_first:
            return False
        if question is None:
            return True
        key = tx.partition, arrival.offset
        if (asked := self._asked.get(key)) is None:
            asked = self._asked[key] = asyncio.ensure_future(question())
            await asyncio.wait([asked], timeout=_AT_ONCE)
        if not asked.done():
            if arrival.is_parked and self._now() - arrival.at > _PATIENCE:
                self._forget(tx, arrival)
                raise SourceDownError(
                    f"The directory services take longer than {_PATIENCE:.0f} s."
                    " Nothing was changed; try again."
                )
            return False
        del self._asked[key]
        asked.result()
        return True

    def park(self, tx: Transaction, tenant: str, arrival: Arrival, event: Any) -> None:
        """Send the command to the end of its partition."""
        headers = [
            (name, value or b"") for name, value in event.message.headers or () if name != _HEADER
        ]
        since = arrival.at if arrival.is_parked else self._now()
        header = _HEADER, b"%d:%d" % (arrival.offset, round(since * 1000))
        tx.send(tx.topic, tx.partition, event.key, event.value, [*headers, header])
        waiting = self._waiting(tenant)
        if arrival.offset not in waiting:
            self._table[tenant] = msgspec.json.encode((*waiting, arrival.offset))
        tx.rest = _REST

    def leave(self, tx: Transaction, tenant: str, arrival: Arrival) -> None:
        """The command has its answer."""
        self._forget(tx, arrival)
        waiting = self._waiting(tenant)
        if arrival.offset not in waiting:
            return
        if left := tuple(offset for offset in waiting if offset != arrival.offset):
            self._table[tenant] = msgspec.json.encode(left)
        else:
            del self._table[tenant]

    def _waiting(self, tenant: str) -> tuple[int, ...]:
        row = self._table.get(tenant)
        return () if row is None else _decode(row)

    def _forget(self, tx: Transaction, arrival: Arrival) -> None:
        if asked := self._asked.pop((tx.partition, arrival.offset), None):
            asked.cancel()
