"""The keys of a state topic, read as they are written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.exactly_once.tables import decode_entry, position_entry
from streams.exactly_once.transactions import Transaction
from tests.streams.exactly_once.bench import Bench, event


@given(st.text(max_size=20))
def test_the_key_of_a_row_is_read_as_it_was_written(key: str) -> None:
    table: Any = Bench().app.tables.transactional["totals"]
    stored, value = table.encoded(key, {})
    assert (decode_entry(stored), value) == (("totals", key), None)


async def test_the_key_of_a_window_has_its_bounds_and_a_position_has_no_table() -> None:
    bench = Bench()

    async def body(tx: Transaction) -> None:
        bench.minutes.relative_to(75.0)["a\0b"] += 3

    await bench.feed(body, event(0))
    entries = {decode_entry(key): value for key, value in bench.producers[0].state().items() if key}
    assert entries == {("minutes", ("a\0b", (60.0, 119.9))): b"3", ("", "x-in"): b"1"}
    assert decode_entry(position_entry("x-in")) == ("", "x-in")


@pytest.mark.parametrize(
    "key", [b"totals\0{", b"totals\0", b"totals", b"totals\0[1]", b'totals\0["a",5]']
)
def test_a_key_that_no_table_has_written_is_a_value_error(key: bytes) -> None:
    with pytest.raises(ValueError):
        decode_entry(key)
