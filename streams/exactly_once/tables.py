"""Faust tables whose rows live per source partition and change only inside a transaction.

`TransactionalTable` looks like an ordinary Faust table, windows included. Inside an agent body it
shows the rows of the transaction's own source partition; outside (metrics, read views) it shows the
rows of all partitions of this worker, and refuses to be changed. Rules for bodies: values are
replaced, never mutated in place (a mutation is not written); a window older than `expires` starts
empty; never test a table for truth, an empty one is falsy.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import faust
import orjson
from aiokafka.errors import KafkaError
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery, ServiceStopped

from streams.exactly_once.fatal import StuckRebalanceError
from streams.records.marks import STATE_KEY

_log = logging.getLogger(__name__)
_SEPARATOR = b"\0"
_ABSENT = object()
# the partition whose rows the calling task works on
_owner: ContextVar[PartitionState | None] = ContextVar("owner", default=None)


class TransactionalTable(faust.Table):  # type: ignore[misc]  # faust is untyped
    """An ordinary Faust table that keeps no rows itself. Keys and values are bytes (stored as they
    are) or JSON.

    A windowed table needs `key_type=str`: its stored key is the JSON of (key, window).
    """

    @property
    def data(self) -> MutableMapping[Any, Any]:
        if (owner := _owner.get()) is not None:
            return owner.rows[self.name]
        return ChainMap({}, *(state.rows[self.name] for state in self.app.tables.owned.values()))

    def using_window(self, window: Any, **options: Any) -> Any:
        if self.key_type is bytes:
            raise TypeError(f"table {self.name!r}: a windowed table needs key_type=str")
        return super().using_window(window, **options)

    def on_key_get(self, key: Any) -> None:
        """Nothing to record: Faust's sensors would cost more than the read."""

    def on_key_set(self, key: Any, value: Any) -> None:
        if (owner := _owner.get()) is None:
            what = f"table {self.name!r}"
            raise RuntimeError(f"{what} can only be modified inside an exactly-once agent")
        owner.touch(self, key)

    def on_key_del(self, key: Any) -> None:
        self.on_key_set(key, None)

    def encoded(self, key: Any, rows: MutableMapping[Any, Any]) -> tuple[bytes, bytes | None]:
        """The state record of one row; a row that is not there is a tombstone."""
        stored = key if self.key_type is bytes else orjson.dumps(key)
        entry, value = self.name.encode() + _SEPARATOR + stored, rows.get(key, _ABSENT)
        if value is _ABSENT:
            return entry, None
        return entry, value if self.value_type is bytes else orjson.dumps(value)

    def restore(self, rows: MutableMapping[Any, Any], stored: bytes, value: bytes | None) -> None:
        """Apply one state record to `rows`."""
        key = stored if self.key_type is bytes else _decoded(stored)
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value if self.value_type is bytes else orjson.loads(value)


class PlainTable:
    """A table of bytes for a service beside Faust, which changes it by `PartitionState.put`."""

    window: Any = None

    def __init__(self, name: str) -> None:
        self.name = name

    def encoded(self, key: bytes, rows: Mapping[Any, Any]) -> tuple[bytes, bytes | None]:
        """The state record of one row; a row that is not there is a tombstone."""
        return self.name.encode() + _SEPARATOR + key, rows.get(key)

    def restore(self, rows: MutableMapping[Any, Any], stored: bytes, value: bytes | None) -> None:
        """Apply one state record to `rows`."""
        if value is None:
            rows.pop(stored, None)
        else:
            rows[stored] = value


def position_entry(topic: str) -> bytes:
    """The key of the record that holds the next input offset of a source topic."""
    return _SEPARATOR + topic.encode()


def decode_entry(key: bytes) -> tuple[str, Any]:
    """The table of a record of a state topic, and the row's key; for tables whose keys are JSON.

    The key is a str or, in a windowed table, (str, (start, end)) with the window in seconds of the
    table's own time. The record of an input position has no table ("") and the topic as its key.
    Raises ValueError for a key that no table has written.
    """
    table, stored = split_entry(key)
    return (table.decode(), _decoded(stored)) if table else ("", stored.decode())


def split_entry(key: bytes) -> tuple[bytes, bytes]:
    """`decode_entry` without decoding anything, so it raises nothing."""
    table, _, stored = key.partition(_SEPARATOR)
    return table, stored


def _decoded(stored: bytes) -> Any:
    key = orjson.loads(stored)
    if not isinstance(key, list):
        return key
    match key:  # of a windowed table, whose keys are tuples in memory
        case [of, [start, end]]:
            return of, (start, end)
        case _:
            raise ValueError("neither a key nor a key and its window")


class _Recovery(Recovery):  # type: ignore[misc]  # faust is untyped
    """Faust's task that resumes the streams after a rebalance. It takes a wait that lasted too
    long, in a process that was frozen or while the broker was away, for an order to stop, and would
    not be there for any later rebalance: the process ends instead.
    """

    async def _wait(self, coro: Any, timeout: float | None = None) -> None:
        try:
            await super()._wait(coro, timeout=timeout)
        except ServiceStopped:
            if not self.should_stop:
                self.app.exactly_once.end(
                    StuckRebalanceError(f"a step took longer than {timeout} s")
                )
            raise


class TransactionalTables(TableManager):  # type: ignore[misc]  # faust is untyped
    """The tables of one app, kept out of Faust's own recovery, and the partitions this worker
    owns.
    """

    _recovery: _Recovery | None

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, **options)
        self.transactional: dict[str, TransactionalTable] = {}
        self.owned: dict[int, PartitionState] = {}

    @property
    def recovery(self) -> _Recovery:
        if self._recovery is None:
            self._recovery = _Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery

    def add(self, table: Any) -> Any:
        """Register a table. Raises TypeError for any other kind and ValueError for a name in
        use.
        """
        if not isinstance(table, TransactionalTable):
            raise TypeError(f"{table.name!r}: an exactly-once app has transactional tables only")
        if table.name in self.transactional:
            raise ValueError(f"table {table.name!r} already exists")
        self.transactional[table.name] = table
        return table

    async def on_start(self) -> None:
        """As Faust does, without its fixed second of sleep: there is no changelog to wait for."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()

    async def on_stop(self) -> None:
        """Let running transactions end, then close their producers, so that a planned stop redoes
        nothing.
        """
        await super().on_stop()
        await asyncio.gather(*(state.close() for state in self.owned.values()))


class PartitionState:
    """A worker's state of one source partition: the fencing producer, the rows of all tables, the
    input positions.
    """

    def __init__(
        self, number: int, tables: Mapping[str, TransactionalTable | PlainTable], producer: Any
    ) -> None:
        self.number, self.tables, self.producer = number, tables, producer
        # one transaction at a time: all topics of a partition share rows and producer
        self.lock = asyncio.Lock()
        self.rows: dict[str, dict[Any, Any]] = {name: {} for name in tables}
        self.position: dict[str, int] = {}  # topic -> next input offset, as committed
        self.beginning: dict[str, int] = {}  # topic -> oldest offset when this partition was opened
        self.installation = ""  # whose state it is, where that has been written down
        self._changed: set[tuple[str, Any]] = set()
        self._windows: dict[str, list[tuple[float, Any]]] = {
            n: [] for n, t in tables.items() if t.window and t.window.expires
        }
        # latest window end: the clock of that table and partition
        self._latest = dict.fromkeys(self._windows, 0.0)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Within this block tables show, and may change, the rows of this partition."""
        token = _owner.set(self)
        try:
            yield
        finally:
            _owner.reset(token)

    def put(self, table: PlainTable, key: bytes, row: bytes | None) -> None:
        """Change a row with the next transaction; None removes it."""
        self.touch(table, key)
        if row is None:
            self.rows[table.name].pop(key, None)
        else:
            self.rows[table.name][key] = row

    def touch(self, table: TransactionalTable | PlainTable, key: Any) -> None:
        """Note that a row is about to change (Faust calls before it writes)."""
        name = table.name
        self._changed.add((name, key))
        if name in self._windows and key not in self.rows[name]:
            end = key[1][1]
            heapq.heappush(self._windows[name], (end, key))
            self._latest[name] = max(self._latest[name], end)

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        """The state records of everything changed since the last call, expired windows included as
        tombstones.
        """
        self._expire()
        records = [self.tables[name].encoded(key, self.rows[name]) for name, key in self._changed]
        self._changed.clear()
        return records

    def _expire(self) -> None:
        # by event time, with tombstones: Faust's own expiry follows the wall clock and leaves the
        # rows in the topic for ever
        for name, heap in self._windows.items():
            before = self._latest[name] - self.tables[name].window.expires
            while heap and heap[0][0] < before:
                key = heapq.heappop(heap)[1]
                if self.rows[name].pop(key, _ABSENT) is not _ABSENT:
                    self._changed.add((name, key))

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Apply one record of the state topic: a row, `\\0topic` -> next input offset, or the
        installation's identity. Rows of unknown tables are left alone.
        """
        if key == STATE_KEY:
            self.installation = (value or b"").decode()
            return
        name, _, stored = key.partition(_SEPARATOR)
        if not name:
            if value is not None:
                self.position[stored.decode()] = int(value)
        elif (table := self.tables.get(name.decode())) is not None:
            table.restore(self.rows[table.name], stored, value)

    def restored(self) -> None:
        """Rebuild the ends of the windows from the rows."""
        for name, heap in self._windows.items():
            heap[:] = sorted((key[1][1], key) for key in self.rows[name])
            self._latest[name] = heap[-1][0] if heap else 0.0

    async def close(self) -> None:
        """Wait for the running transaction, then stop the producer. A failure is logged: the next
        owner fences this one anyway.
        """
        try:
            async with self.lock:
                await asyncio.wait_for(self.producer.stop(), 5)
        except (KafkaError, TimeoutError) as error:
            _log.warning("closing the producer of partition %d: %r", self.number, error)
