"""Replies are the same however the network cuts them, and never endless."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.delivery.outcomes import Reply
from connectors.delivery.smtp.replies import MAX_REPLY, ReplyReader

_text = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)
_replies = st.lists(
    st.tuples(
        st.integers(100, 599),
        st.lists(_text, min_size=1, max_size=3),
        st.sampled_from(["\r\n", "\n"]),
    ),
    max_size=5,
)


@given(replies=_replies, cuts=st.lists(st.integers(0, 400)))
def test_any_cut_of_the_bytes_gives_the_same_replies(
    replies: list[tuple[int, list[str], str]], cuts: list[int]
) -> None:
    sent = b""
    for code, texts, end in replies:
        *before, last = texts
        sent += "".join(f"{code}-{text}{end}" for text in before).encode()
        sent += f"{code} {last}{end}".encode()
    places = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    reader, found = ReplyReader(), list[Reply]()
    for start, stop in pairwise(places):
        found += reader.feed(sent[start:stop])
    assert found == [Reply(code, "\n".join(texts)) for code, texts, _ in replies]
    assert reader.is_empty


@given(received=st.lists(st.binary(max_size=100)))
def test_any_bytes_are_replies_or_an_error(received: list[bytes]) -> None:
    reader = ReplyReader()
    for some in received:
        for reply in reader.feed(some):
            assert 0 <= reply.code <= 999


@pytest.mark.parametrize(
    "wrong", [b"\n", b"25\n", b"2a0 Ok\n", b"250_Ok\n", b"250-a\n251 b\n", b" 250 Ok\n", b"+250\n"]
)
def test_what_is_no_reply_is_an_error_behind_those_before(wrong: bytes) -> None:
    reader = ReplyReader()
    assert reader.feed(b"250 Ok\r\n" + wrong + b"250 Ok\r\n") == [Reply(250, "Ok")]
    assert reader.error is not None
    assert not reader.is_empty


@pytest.mark.parametrize(
    "endless",
    [b"2" * (MAX_REPLY + 1), b"250-x\n" * MAX_REPLY, b"250 " + b"x" * MAX_REPLY + b"\n"],
)
@pytest.mark.parametrize("size", [1, 1_000, 10_000_000])
def test_a_reply_has_an_end(endless: bytes, size: int) -> None:
    reader = ReplyReader()
    for place in range(0, len(endless), size):
        assert reader.feed(endless[place : place + size]) == []
        if reader.error is not None:
            break
    assert "more than 16,384 bytes" in str(reader.error)


@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        (b"250\r\n", "250"),
        (b"250 \r\n", "250"),
        (b"250-a\r\n250\r\n", "250 a"),
        (b"550 5.1.1 a  b\x0bc\r\n", "550 5.1.1 a b c"),
        (b"550 \xff\r\n", "550 \ufffd"),
    ],
)
def test_a_reply_is_shown_in_one_line(sent: bytes, reply: str) -> None:
    assert [str(each) for each in ReplyReader().feed(sent)] == [reply]
