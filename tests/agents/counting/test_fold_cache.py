"""The decoded shards beside the table are used only while the table still holds what they were
stored as.
"""

from __future__ import annotations

import pytest

from agents.counting.fold import SEALED, SealedError, Shards
from streams.records.facts import Batch, Group, Kind, pack

SENT = Batch("acme", 1, 0, 1_795_000_000, (Group(Kind.SENT, pack([1, 2]), pack([0, 0])),))
OPENED = Batch("acme", 1, 0, 1_795_000_000, (Group(Kind.OPENED, pack([1]), pack([0])),))
KEY = b"1:0"


def test_a_shard_stays_decoded_while_its_row_is_the_same() -> None:
    shards = Shards(table := dict[bytes, bytes]())
    shard = shards.load(KEY, SENT)
    shard.fold(SENT)
    shards.save(KEY, shard)
    assert shards.load(KEY, OPENED) is shard
    assert KEY in table


def test_a_partition_that_moved_away_and_came_back_is_decoded_again() -> None:
    shards = Shards(table := dict[bytes, bytes]())
    shard = shards.load(KEY, SENT)
    shard.fold(SENT)
    shards.save(KEY, shard)
    committed = bytes(bytearray(table[KEY]))  # what another worker read from the state topic
    shard.fold(OPENED)  # what this worker did after it had lost the partition
    table[KEY] = committed
    assert shards.load(KEY, OPENED) is not shard
    assert shards.load(KEY, OPENED).stats(1, "").total.opened == 0


def test_the_number_of_decoded_shards_is_bounded_and_nothing_is_lost() -> None:
    shards = Shards(table := dict[bytes, bytes]())
    for number in range(1, 2001):
        batch = Batch("acme", number, 0, 0, SENT.groups)
        shard = shards.load(b"%d:0" % number, batch)
        shard.fold(batch)
        shards.save(b"%d:0" % number, shard)
    assert len(shards) < 1000 < len(table)
    assert shards.load(b"1:0", SENT).stats(1, "").total.sent == 2


def test_a_sealed_shard_is_small_and_takes_nothing_more() -> None:
    shards = Shards(table := dict[bytes, bytes]())
    shard = shards.load(KEY, SENT)
    shard.fold(SENT)
    shards.save(KEY, shard)
    shards.seal(KEY)
    shards.seal(b"2:0")  # nobody has heard of it
    assert table == {KEY: SEALED} and len(shards) == 0
    with pytest.raises(SealedError):
        shards.load(KEY, OPENED)
