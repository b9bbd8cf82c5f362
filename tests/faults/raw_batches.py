"""A client that writes record batches byte by byte, as no producer library would, and sends them
over a plain socket (Kafka's protocol: https://kafka.apache.org/protocol).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.record.util import calc_crc32c, encode_varint_py

from tests.eventually import eventually_sync

CODECS = (0, 1, 2, 3, 4)  # none, gzip, snappy, lz4, zstd
_PACK = {1: gzip_encode, 2: snappy_encode, 3: lz4_encode, 4: zstd_encode}
_NO_LEADER = (3, 5, 6)
_BODY, _CHECKED = 61, 21  # where the records begin, and what the checksum covers


@dataclass
class Raw:
    """One record."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


def batch(
    records: Sequence[Raw],
    *,
    codec: int = 0,
    base: int = 0,
    at: int = 1_700_000_000_000,
    attributes: int = 0,
    replace: tuple[bytes, bytes] = (b"", b""),
    spoil: tuple[int, bytes] | None = None,
) -> bytes:
    """A batch in format 2, of the time `at` in milliseconds. `replace` swaps bytes of the records
    for as many others, `spoil` overwrites some at a place (counted from the beginning of the
    batch) before they are packed.
    """
    body = b"".join(_record(i, record) for i, record in enumerate(records))
    if replace[0]:
        body = body.replace(*replace)
    if spoil is not None:
        place = (spoil[0] - _BODY) % len(body)
        body = body[:place] + spoil[1] + body[place + len(spoil[1]) :]
    head = struct.pack(
        ">qiibIhiqqqhii",
        *(base, 0, -1, 2, 0, attributes | codec, len(records) - 1),
        *(at, at, -1, -1, -1, len(records)),
    )
    return sealed(head + (_PACK[codec](body) if codec else body))


def sealed(raw: bytes) -> bytes:
    """The batch with the length and the checksum that it must have."""
    checksum: int = calc_crc32c(raw[_CHECKED:])
    return raw[:8] + struct.pack(">i", len(raw) - 12) + raw[12:17] + checksum.to_bytes(4) + raw[21:]


def send(servers: str, topic: str, partition: int, raw: bytes) -> int:
    """Produce the bytes as they are; returns Kafka's error code, 0 when it has stored them. Waits
    while the topic is so new that it has no leader.
    """

    def answered() -> tuple[int] | None:
        code = _send(servers, topic, partition, raw)
        return None if code in _NO_LEADER else (code,)

    [code] = eventually_sync(answered, within=300) or (-1,)
    return code


def _send(servers: str, topic: str, partition: int, raw: bytes) -> int:
    host, _, port = servers.split(",")[0].partition(":")
    name = topic.encode()
    request = struct.pack(">hhih4s", 0, 7, 1, 4, b"test")  # Produce, version 7
    request += struct.pack(">hhii", -1, -1, 30_000, 1) + struct.pack(">h", len(name)) + name
    request += struct.pack(">iii", 1, partition, len(raw)) + raw
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        with connection.makefile("rb") as answer:
            (size,) = struct.unpack(">i", answer.read(4))
            got = answer.read(size)
    (code,) = struct.unpack_from(">h", got, 4 + 4 + 2 + len(name) + 4 + 4)
    return int(code)


def _record(delta: int, record: Raw) -> bytes:
    body = b"\0" + _varint(0) + _varint(delta) + _bytes(record.key) + _bytes(record.value)
    body += _varint(len(record.headers))
    for name, content in record.headers:
        body += _bytes(name.encode()) + _bytes(content)
    return _varint(len(body)) + body


def _bytes(content: bytes | None) -> bytes:
    return _varint(-1) if content is None else _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    encode_varint_py(number, out.append)
    return bytes(out)
