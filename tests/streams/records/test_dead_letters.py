"""A dead letter holds what nobody could use, whatever it was, and always fits into a record."""

from __future__ import annotations

import json
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.records.dead_letters import dead_letter

headers_ = st.lists(st.tuples(st.text(max_size=8), st.none() | st.binary(max_size=20)), max_size=25)


@given(st.none() | st.binary(max_size=300), headers_)
def test_the_bytes_and_where_they_stood_are_kept(
    payload: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    key, value = dead_letter(
        "cut", "malformed", "t-1.v1", 3, 77, 1_769_590_800_000, payload, headers
    )
    assert key == b"t-1.v1-3-77"
    read = json.loads(value)
    assert b64decode(read.pop("payload")) == (payload or b"")
    assert set(read.pop("headers")) == {name for name, _ in headers[:20]}
    assert read == {
        "reason": "cut",
        "code": "malformed",
        "source": {"topic": "t-1.v1", "partition": 3, "offset": 77, "timestamp": 1_769_590_800_000},
    }


@pytest.mark.parametrize(("size", "is_cut"), [(500_000, False), (500_001, True)])
def test_of_a_huge_record_the_beginning_and_the_size_are_kept(size: int, is_cut: bool) -> None:
    _, value = dead_letter("large", "malformed", "t", 0, 0, 0, b"x" * size)
    read = json.loads(value)
    assert b64decode(read["payload"]) == b"x" * 500_000
    assert read.get("size") == (size if is_cut else None)
    assert len(value) < 900_000


def test_headers_are_text_whatever_they_hold_and_bounded() -> None:
    headers = [
        ("none", None),
        ("text", "é".encode()),
        ("bytes", b"\xff\0"),
        ("n" * 801, b"v" * 801),
    ]
    _, value = dead_letter("r", "c", "t", 0, 0, 0, b"", headers)
    assert json.loads(value)["headers"] == {
        "none": "",
        "text": "é",
        "bytes": "\ufffd\0",
        "n" * 800: "v" * 800,
    }


def test_the_worst_that_can_come_still_fits_into_a_batch() -> None:
    """Control characters take six bytes of JSON each, and base64 a third more than the payload."""
    headers = [("\1" * 799 + chr(65 + number), b"\1" * 900) for number in range(25)]
    _, value = dead_letter("r" * 1000, "c", "t" * 200, 0, 0, 0, b"\xff" * 900_000, headers)
    assert len(json.loads(value)["headers"]) == 20
    assert len(value) < 900_000
