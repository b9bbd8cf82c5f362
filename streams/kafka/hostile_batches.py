"""Record batches that aiokafka cannot read, or that unpack to too much, do not stop their reader.

Every client that may write to a topic can write a batch that a broker stores and aiokafka refuses:
a header name that is not UTF-8, a frame of a codec that its library does not know, a few kilobytes
that unpack to gigabytes. aiokafka raises before the record reaches its reader, at the same offset
after every restart. Here such a record arrives as an *unreadable* one: its value is its bytes as
they were stored, and its only header is `UNREADABLE` with the reason. Exactly-once agents put it
aside as a dead letter before their bodies see it; for every other reader its value is malformed.

The batch format is Kafka's v2 (https://kafka.apache.org/documentation/#recordbatch).
"""

from __future__ import annotations

import mmap
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import lt
from typing import Any

import cramjam
from aiokafka.codec import snappy_decode
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy

# the fast one reads beyond the end of its buffer
from aiokafka.record.util import decode_varint_py as decode_varint

UNREADABLE = "campaigns-unreadable"  # the header of an unreadable record: why it is one
DAMAGED = "its checksum is wrong"

# Places in a batch: after its offset and length, its format, its attributes, its records.
_LENGTH, _OVERHEAD, _MAGIC, _ATTRIBUTES, _RECORDS = slice(8, 12), 12, 16, slice(21, 23), 61
_FORMAT, _CODEC = 2, 0x07
_GZIP, _SNAPPY = 1, 2
_INTO = {3: cramjam.lz4.decompress_into, 4: cramjam.zstd.decompress_into}
# What a batch unpacks to at most; producers limit theirs to about a megabyte before they pack it.
_MOST = 16 << 20
# What one fetch answer of one partition unpacks to at most: as much as one batch, or this many
# times its size. lz4, which this engine packs with, makes nothing longer than that.
_TIMES = 255
_RUN = 64  # records that are read before the first of them is handed on


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """In the place of a record, or of the records of a batch from some place on. `offset` is that
    of the last of them. The fields are those that aiokafka's fetcher asks of a record.
    """

    offset: int
    timestamp: int
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    timestamp_type: int = 0
    key: None = None
    checksum: None = None


class FetchedRecords:
    """The batches of one fetch answer of one partition; takes the place of aiokafka's
    `MemoryRecords` in its fetcher.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self.budget = max(_MOST, _TIMES * len(data))  # bytes it may still unpack to

    def size_in_bytes(self) -> int:
        """Of the whole answer."""
        return len(self._data)

    def has_next(self) -> bool:
        """Whether a whole batch follows: the last one of an answer may be cut."""
        return len(self._data) - self._at >= _OVERHEAD and self._end() <= len(self._data)

    def next_batch(self) -> GuardedBatch:
        """The next batch. Raises IndexError after the last one."""
        if not self.has_next():
            raise IndexError("no further batch")
        start, self._at = self._at, self._end()
        return GuardedBatch(self._data[start : self._at], self)

    def _end(self) -> int:
        length = int.from_bytes(self._data[self._at : self._at + _OVERHEAD][_LENGTH])
        return self._at + _OVERHEAD + length


class GuardedBatch:
    """A batch as aiokafka's fetcher uses it. Iterating yields records, unreadable ones among them,
    and never raises.
    """

    def __init__(self, raw: bytes, answer: FetchedRecords) -> None:
        self._raw, self._answer, self._batch = raw, answer, DefaultRecordBatch(raw)
        self._is_damaged = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:  # the fetcher takes the record of a control batch so
        return next(self._batch)

    @property
    def is_control_batch(self) -> bool:
        """Whether it holds the end of a transaction, which the fetcher reads itself."""
        return self._batch.is_control_batch and not self._is_damaged

    def validate_crc(self) -> bool:
        """True: the fetcher would fetch a batch with a wrong checksum again for ever. Its records
        are unreadable instead.
        """
        self._is_damaged = not self._batch.validate_crc()
        return True

    def __iter__(self) -> Iterator[Any]:
        if self._raw[_MAGIC] != _FORMAT:
            return iter([self._rest(b"it is of another format", self._raw)])
        if self._is_damaged:
            return iter([self._rest(DAMAGED.encode(), self._raw)])
        try:
            plain = self._unpacked()
        except Exception as error:  # noqa: BLE001  # each codec raises errors of its own
            return iter([self._rest(_words(error), self._raw)])
        return self._records(plain)

    def _unpacked(self) -> bytes:
        """This batch without compression; unchanged if it has none."""
        codec = self._batch.attributes & _CODEC
        most = max(0, min(_MOST, self._answer.budget))
        plain = _unpack(self._raw, codec, most) if codec else self._raw
        self._answer.budget -= len(plain)
        return plain

    def _records(self, plain: bytes) -> Iterator[Any]:
        """In runs that loops of C read and check; a loop of Python costs 0.2 us a record more."""
        records = islice(self._batch if plain is self._raw else DefaultRecordBatch(plain), None)
        count, at, end = 0, self._batch.base_offset - 1, self._batch.next_offset
        try:
            while run := list(islice(records, _RUN)):
                offsets = [record.offset for record in run]
                if not all(map(lt, [at, *offsets], [*offsets, end])):
                    raise ValueError("an offset is not in its batch")
                yield from run
                count, at = count + len(run), offsets[-1]
        except Exception:  # noqa: BLE001  # a record cannot be read
            yield from islice(self._one_by_one(plain), count, None)

    def _one_by_one(self, plain: bytes) -> Iterator[Any]:
        """Each record by the length before it, so that an unreadable one is left behind."""
        batch, at = _DefaultRecordBatchPy(plain), self._batch.base_offset
        while (start := batch._pos) < len(plain):
            try:
                offset, end = self._frame(plain, start)
                if not at <= offset < self._batch.next_offset:
                    raise ValueError("the offset is not in its batch")
            except (IndexError, ValueError) as error:
                yield self._rest(_words(error), plain[start:])
                return
            try:
                yield batch._read_msg(decode_varint)
            except Exception as error:  # noqa: BLE001
                yield self._unreadable(offset, _words(error), plain[start:end])
            batch._pos, at = end, offset + 1

    def _frame(self, plain: bytes, start: int) -> tuple[int, int]:
        """The offset of the record at `start`, and its end. Raises IndexError or ValueError when it
        has none.
        """
        length, at = decode_varint(plain, start)
        _, place = decode_varint(plain, at + 1)  # after a byte of attributes, its time
        delta, inside = decode_varint(plain, place)
        if not inside <= at + length <= len(plain):
            raise ValueError("the record is longer than its batch")
        return self._batch.base_offset + delta, at + length

    def _rest(self, reason: bytes, stored: bytes) -> UnreadableRecord:
        """The records of the batch from some place on."""
        return self._unreadable(self._batch.next_offset - 1, reason, stored)

    def _unreadable(self, offset: int, reason: bytes, stored: bytes) -> UnreadableRecord:
        return UnreadableRecord(offset, self._batch.max_timestamp, stored, [(UNREADABLE, reason)])


def unreadable_because(headers: Sequence[tuple[str, bytes | None]] | None) -> str:
    """Why the record with these headers is unreadable; "" for a record that is not."""
    for name, content in headers or ():
        if name == UNREADABLE:
            return (content or b"?").decode(errors="replace")
    return ""


def _unpack(raw: bytes, codec: int, most: int) -> bytes:
    """A batch without its compression. Raises an error of the codec when its records cannot be
    unpacked or unpack to more than `most` bytes.
    """
    attributes = (int.from_bytes(raw[_ATTRIBUTES]) & ~_CODEC).to_bytes(2)
    head = raw[: _ATTRIBUTES.start], attributes, raw[_ATTRIBUTES.stop : _RECORDS]
    with _scratch.of(most) as memory:
        return b"".join((*head, _records(raw[_RECORDS:], codec, memory)))


def _records(packed: bytes, codec: int, memory: memoryview) -> bytes | memoryview:
    """The records without their compression, perhaps in `memory`, whose size is the limit."""
    if codec in _INTO:
        return memory[: _INTO[codec](packed, memory)]
    if codec == _GZIP:
        return _gunzip(packed, len(memory))
    if codec == _SNAPPY:  # its format makes nothing longer than 22 times
        records: bytes = snappy_decode(packed)
        return records
    raise ValueError(f"no codec has the number {codec}")


def _gunzip(packed: bytes, most: int) -> bytes:
    records = b""
    while packed:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        records += member.decompress(packed, most + 1 - len(records))
        if len(records) > most:
            raise ValueError(f"unpacks to more than {most} bytes")
        if not member.eof:
            raise ValueError("ends too early")
        packed = member.unused_data
    return records


class _Scratch(threading.local):
    """Memory to unpack into, one a thread. New memory would cost three times as much as unpacking;
    what was never written costs nothing.
    """

    memory: mmap.mmap | None = None

    def of(self, size: int) -> memoryview:
        """Exactly `size` bytes, whatever is in them. Release it before the next call."""
        if self.memory is None or len(self.memory) < size:
            self.memory = mmap.mmap(-1, max(size, _MOST))
        return memoryview(self.memory)[:size]


_scratch = _Scratch()


def _words(error: Exception) -> bytes:
    return f"{type(error).__name__}: {error}".encode()[:200]


def guard_consumers() -> None:
    """From now on every consumer of this process reads so, Faust's too."""
    fetcher.MemoryRecords = FetchedRecords
