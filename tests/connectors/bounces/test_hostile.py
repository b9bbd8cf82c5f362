"""Mails that mean harm: read within bounds, and never an error."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.bounces.mails import READ
from connectors.bounces.reports import Kind, read
from tests.connectors.bounces import samples
from tests.connectors.bounces.samples import ID, PATH, complaint, dsn, recipient
from tests.pace import thread_seconds

_ALL = [
    value for name, value in vars(samples).items() if name.isupper() and isinstance(value, bytes)
] + [complaint()]


def nested(kind: str, depth: int) -> bytes:
    """Parts in parts."""
    lines = [b"From: a@b.example"]
    for level in range(depth):
        lines += [f"Content-Type: {kind}; boundary=b{level}".encode(), b"", f"--b{level}".encode()]
    return b"\r\n".join([*lines, b"", b"x"])


_BOMBS = {
    "nothing": b"",
    "one byte": b"\0",
    "line ends": b"\r\n" * 100_000,
    "no line end": b"a" * 2_000_000,
    "colons": b":" * 200_000,
    "one field": b"To: " + b"<" * 500_000,
    "many fields": b"".join(b"To: a%d@b.example\r\n" % number for number in range(20_000)),
    "comments": b"To: " + b"(" * 100_000 + b"\r\n\r\n",
    "encoded words": b"Subject: " + b"=?utf-8?b?" * 20_000 + b"\r\n\r\n",
    "folded": b"Subject: a" + b"\r\n a" * 50_000 + b"\r\n\r\n",
    "multiparts": nested("multipart/mixed", 5_000),
    "digests": nested("multipart/digest", 30),
    "few multiparts": nested("multipart/mixed", 30),
    "messages": b"Content-Type: message/rfc822\r\n\r\n" * 5_000,
    "few messages": b"Content-Type: message/rfc822\r\n\r\n" * 30,
    "reports": b"Content-Type: message/delivery-status\r\n\r\n" * 5_000,
    "empty groups": dsn("\n" * 50_000 + recipient("5.1.1")),
    "many recipients": dsn("\n".join([recipient("5.1.1")] * 2_000)),
    "long words": dsn(recipient("5.1.1", "smtp; 550 " + "user " * 50_000)),
    "spaces": dsn(recipient("5.1.1", "smtp; 550" + " " * 100_000)),
    "large": dsn(recipient("5.1.1")) + b"x" * 30_000_000,
    "binary": random.Random(1).randbytes(1_000_000),
    "qmail of angles": samples.QMAIL[:200] + b"<" * 100_000,
    "failures": b"From: postmaster@a.example\r\n\r\n"
    + b"The following addresses failed:\r\n" * 4_000,
}


@pytest.mark.parametrize("name", _BOMBS)
def test_a_bomb_is_read_in_little_time(name: str) -> None:
    """Measured: 0.2 s at most; a parser without bounds takes minutes, or the whole stack."""
    assert thread_seconds(lambda: read(_BOMBS[name], PATH)) < 20


def test_what_is_behind_the_report_may_be_as_large_as_it_likes() -> None:
    large = dsn(recipient("5.1.1")).replace(b"--B_1--", b"x: " + b"y" * 20 * READ)
    assert read(large).kind is Kind.BOUNCE


@given(st.binary(max_size=4_000))
def test_no_bytes_raise(raw: bytes) -> None:
    read(raw)
    read(b"Content-Type: multipart/report; boundary=B\r\n\r\n--B\r\n" + raw, PATH)
    read(b"Content-Type: message/delivery-status\r\n\r\n" + raw, raw.decode("latin-1"))


@given(st.sampled_from(_ALL), st.data())
def test_no_damage_to_a_report_raises_and_none_names_another_message(
    raw: bytes, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, min(len(raw), start + 200)))
    damaged = raw[:start] + data.draw(st.binary(max_size=50)) + raw[end:]
    assert read(damaged, PATH).ids[0] == ID


@given(st.sampled_from(_ALL), st.sampled_from(["utf-16", "utf-7", "idna", "punycode", "x", "\xff"]))
def test_no_character_set_raises(raw: bytes, charset: str) -> None:
    found = raw.replace(b"us-ascii", charset.encode("latin-1"))
    found = found.replace(b"Subject: ", f"Subject: =?{charset}?q?=ff=fe?= ".encode("latin-1"))
    assert read(found, PATH).ids[0] == ID
