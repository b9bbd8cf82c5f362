"""Raw batches that a broker stores and no friendly producer writes: the stream goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pytest

from streams.topics import Name
from tests.faults import raw_kafka
from tests.faults.counting_app import COMMANDS, GRANTS
from tests.faults.raw_batches import Raw, batch, sealed, send
from tests.faults.test_exactly_once_chaos import PARTITIONS, arrived, installation, produce
from tests.faults.workers import Worker, settings_environment

UNKNOWN, CORRUPT, UNSUPPORTED, INVALID = -1, 2, 76, 87  # Kafka's error codes
NAME = b"QQQQ"  # a header name whose bytes are replaced by as many that are not UTF-8
WITH_NAME = [Raw(b"k", b'{"id":1}', [(NAME.decode(), b"x")])]
ONE = [Raw(b"k", b"no JSON", [])]

# Kafka deletes what is older than its retention.
of_now = partial(batch, at=round(time.time() * 1000))

# What a broker stores as it is. The dead letters that each becomes, by code.
STORED: Mapping[str, tuple[bytes, Mapping[str, int]]] = MappingProxyType(
    {
        "a header name that is not UTF-8": (
            of_now(WITH_NAME, replace=(NAME, b"\xff\xfe\xff\xfe")),
            {"unreadable": 1},
        ),
        "the same, packed": (
            of_now(WITH_NAME, codec=4, replace=(NAME, b"\xff\xfe\xff\xfe")),
            {"unreadable": 1},
        ),
        "between others": (
            of_now([*ONE, *WITH_NAME, *ONE], codec=3, replace=(NAME, b"\xed\xa0\x80Q")),
            {"unreadable": 1, "malformed": 2},
        ),
        "a bomb": (of_now([Raw(b"k", bytes(100 << 20))], codec=4), {"unreadable": 1}),
        "another bomb": (of_now([Raw(b"k", bytes(60 << 20))], codec=1), {"unreadable": 1}),
        "no key, no value, two empty names": (
            of_now([Raw(None, None, [("", None), ("", b"")])]),
            {"malformed": 1},
        ),
        "two hundred thousand headers": (
            of_now([Raw(b"k", b"", [("n", None)] * 200_000)], codec=4),
            {"malformed": 1},
        ),
    }
)

# What a broker refuses. tests/streams/kafka shows what is read if one stores it all the same.
REFUSED: Mapping[str, bytes] = MappingProxyType(
    {
        "a wrong checksum": batch(ONE)[:17] + b"\0\0\0\0" + batch(ONE)[21:],
        "format 3": batch(ONE)[:16] + b"\3" + batch(ONE)[17:],
        "format 1": batch(ONE)[:16] + b"\1" + batch(ONE)[17:],
        "a control record": batch([Raw(b"\0\0\0\0", b"\0\0\0\0\0\0")], attributes=0x20),
        "an unknown codec": sealed(batch(ONE, attributes=7)),
        "a record longer than its batch": batch(ONE, spoil=(61, b"\x7e")),
        "no records": sealed(batch(ONE)[:61]),
    }
)


@pytest.mark.parametrize("what", REFUSED)
def test_a_broker_refuses_a_batch_that_it_can_check(what: str, kafka: str) -> None:
    topic = installation(kafka, partitions=1) + COMMANDS
    assert send(kafka, topic, 0, REFUSED[what]) in (UNKNOWN, CORRUPT, UNSUPPORTED, INVALID)
    assert raw_kafka.count_all(kafka, topic, 1) == 0


async def test_what_a_broker_stores_becomes_dead_letters_and_the_stream_goes_on(
    kafka: str, tmp_path: Path
) -> None:
    prefix = installation(kafka)
    worker = Worker(
        "limit", tmp_path / "limit.log", settings_environment(kafka, prefix, PARTITIONS)
    )
    for partition in range(PARTITIONS):
        for what, (raw, _) in STORED.items():
            assert send(kafka, prefix + COMMANDS, partition, raw) == 0, what
    # into the state of every partition, too: foreign records there are left out
    for partition in range(PARTITIONS):
        assert send(kafka, f"{prefix}campaigns-limit-state", partition, STORED["a bomb"][0]) == 0
    produce(kafka, prefix + COMMANDS, 10)
    await worker.start()
    await arrived(kafka, prefix + GRANTS, lambda n: n == 10 * PARTITIONS, within=300)
    assert worker.peak_memory() < 400 << 20, "the bombs are 960 MB"
    assert await worker.stop() == 0
    [letters] = raw_kafka.read_all(kafka, prefix + Name.DEAD_LETTERS, 1)
    codes = [json.loads(letter.value or b"")["code"] for letter in letters]
    expected = [codes for _, codes in STORED.values()]
    for code in ("unreadable", "malformed"):
        assert codes.count(code) == PARTITIONS * sum(each.get(code, 0) for each in expected)
    assert len({letter.key for letter in letters}) == len(letters)
