"""The journal of a partition: whatever happens to its messages, its rows say the same."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.delivery.journal import BLOCK, Journal
from streams.exactly_once.fatal import NewerStateError

_OFFSETS = st.sampled_from([0, 1, 7, BLOCK - 1, BLOCK, 5 * BLOCK + 3, (1 << 40) + 9])
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["open", "fly", "wait", "defer", "hold", "settle", "commit"]), _OFFSETS
    )
)


def _stored(rows: dict[bytes, bytes], journal: Journal) -> None:
    for key, row in journal.changes():
        if row is None:
            rows.pop(key, None)
        else:
            rows[key] = row


def _told(journal: Journal) -> tuple[object, ...]:
    parts = journal.waiting(), journal.flying(), journal.deferred()
    known = [*parts[0], *parts[1], *(offset for _, offset in parts[2])]
    more = [(journal.tries(offset), journal.route(offset)) for offset in known]
    return (*parts, more, len(journal))


def _step(journal: Journal, what: str, offset: int) -> int:
    if what in {"fly", "hold"}:
        marked: int = getattr(journal, what)(offset, 1 + offset % 3)
        return marked
    change: int = getattr(journal, what)(offset)
    return change


@given(_STEPS)
def test_rows_tell_everything_that_happened_before_the_commit(
    steps: list[tuple[str, int]],
) -> None:
    journal, rows = Journal(), dict[bytes, bytes]()
    for number, (what, offset) in enumerate(steps):
        if what == "commit":
            _stored(rows, journal)
        elif what == "open":
            journal.open(offset)
        elif what == "settle":
            journal.settle(offset)
        elif journal.is_open(offset):
            if what == "defer":
                journal.defer(offset, 1_800_000_000 + number, route=number % 2)
            else:
                _step(journal, what, offset)
    _stored(rows, journal)
    assert _told(Journal(rows)) == _told(journal)
    assert len(rows) <= len(journal)  # a row is gone with its last open message


@given(_STEPS)
def test_the_changes_add_up_to_the_messages_that_were_put_off_and_not_handed_over_since(
    steps: list[tuple[str, int]],
) -> None:
    journal, counted, expected = Journal(), 0, set[int]()
    for number, (what, offset) in enumerate(steps):
        if what == "open":
            journal.open(offset)
        elif what != "commit" and journal.is_open(offset):
            if what == "defer":
                counted += journal.defer(offset, number)
            else:
                counted += _step(journal, what, offset)
            (expected.add if what in {"defer", "hold"} else expected.discard)(offset)
        assert counted == len(expected)


@given(st.lists(_OFFSETS, unique=True))
def test_an_open_message_is_in_one_way_open(offsets: list[int]) -> None:
    journal = Journal()
    for offset in offsets:
        journal.open(offset)
    for offset in offsets[::2]:
        journal.fly(offset, 7)
    for offset in offsets[::4]:
        journal.defer(offset, 5)
    known = [*journal.waiting(), *journal.flying(), *(offset for _, offset in journal.deferred())]
    assert sorted(known) == sorted(offsets) and len(journal) == len(offsets)


def test_a_message_that_was_put_off_is_no_doubt_after_a_restart() -> None:
    journal = Journal()
    for offset in (1, 2, 3):
        journal.open(offset)
        journal.fly(offset, 7)
    journal.defer(1, 1_900_000_000)
    journal.wait(2)
    restored = Journal({key: row for key, row in journal.changes() if row is not None})
    assert restored.flying() == [3]
    assert restored.deferred() == [(1_900_000_000, 1)] and restored.tries(1) == 1


def test_a_backlog_of_one_sender_takes_a_bit_a_message() -> None:
    journal = Journal()
    for offset in range(100_000):
        journal.open(offset)
    rows = journal.changes()
    assert len(rows) == 98
    assert sum(len(row or b"") for _, row in rows) < 20_000


def test_a_row_of_a_newer_version_ends_the_worker() -> None:
    row = msgspec.msgpack.encode({"waiting": b"\1", "others": b"", "held": b"\2"})
    with pytest.raises(NewerStateError):
        Journal({b"0": row})
