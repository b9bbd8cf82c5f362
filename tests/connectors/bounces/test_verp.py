"""The address that bounces of a message go to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.bounces.verp import parts, return_path
from streams.contracts.routes import Bounces
from streams.records.message_id import MAX_NUMBER, MAX_ORDINAL, MessageIds

_IDS = MessageIds([b"0" * 32])
_AT = Bounces(domain="bounce.acme.example")


@given(st.integers(1, MAX_NUMBER), st.integers(0, MAX_ORDINAL), st.booleans())
def test_the_address_names_its_message_whatever_servers_do_to_its_case(
    number: int, ordinal: int, is_upper: bool
) -> None:
    message_id = _IDS.make(number, ordinal, "acme", 0)
    address = return_path(_AT, message_id)
    assert address is not None and len(address.partition("@")[0]) == 38  # of 64
    read = parts(address.upper() if is_upper else f"<{address}>")
    assert read == (message_id, "bounce.acme.example")
    _IDS.check(read[0], "acme")


def test_a_route_without_a_domain_for_bounces_leaves_the_sender() -> None:
    assert return_path(None, "00000000-002a-8000-84d2-9f31c05be7a4") is None


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ana@example.com",
        "b.00000000-002a-8000-84d2-9f31c05be7a4",
        "b.00000000-002a-8000-84d2-9f31c05be7a4@",
        "b.00000000-002a-4000-84d2-9f31c05be7a4@bounce.acme.example",  # another version of UUID
        "x.00000000-002a-8000-84d2-9f31c05be7a4@bounce.acme.example",
        "b.00000000-002a-8000-84d2-9f31c05be7a4@bounce.acme.example\r\nDATA",
        "b.٠0000000-002a-8000-84d2-9f31c05be7a4@bounce.acme.example",
    ],
)
def test_any_other_address_names_none(address: str) -> None:
    assert parts(address) is None
