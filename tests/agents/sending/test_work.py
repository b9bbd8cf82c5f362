"""What emission has to do for a grant, and the facts about it: no ordinal twice, none left out."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.sending.work import Piece, Work, facts, is_usable
from connectors.messages.composing import Composed
from connectors.messages.content import Content
from connectors.templates.links import Tracking
from streams.records.facts import Batch, Kind, unpack
from streams.records.message_id import MAX_ORDINAL, SHARD_SIZE
from streams.records.sending import CHUNK, Grant
from tables.throttle.progress import Progress

CONTENT = Content(
    id=UUID(int=7),
    tenant_id="acme",
    number=42,
    channel="sms",
    key_epoch=0,
    total=None,
    sender=None,
    templates={},
    links=(),
    fields=(),
    tracking=Tracking("https://mail.example"),
)


def grant(start: int, stop: int, variant: str | None = None, number: int = 42) -> Grant:
    return Grant("acme", str(CONTENT.id), number, start, stop, variant)


def work(*grants: Grant, lanes: int = 1) -> Work:
    made = Work(CONTENT, Progress())
    for one in grants:
        made.add(one, lanes)
    return made


def test_a_fact_names_the_version_of_an_address_only_where_the_ledger_has_another() -> None:
    made = Composed(readdressed={2: 1, 3: 4, 5: 1})
    made.sent["A"] = [0, 1, 2, 3]
    made.sent[None] = [4, 5]
    [batch] = facts(CONTENT, made, 9)
    found = {
        (group.variant_id, group.detail): list(unpack(group.ordinals)) for group in batch.groups
    }
    assert found == {
        ("A", None): [0, 1],
        ("A", "1"): [2],
        ("A", "4"): [3],
        (None, None): [4],
        (None, "1"): [5],
    }
    assert {group.kind for group in batch.groups} == {Kind.SENT}


def test_a_grant_is_one_piece_and_is_done_afterwards() -> None:
    made = work(grant(100, 200, "A"))
    assert made.pieces == [Piece(100, 200, "A")]
    assert made.progress.missing(0, 300, 1) == ((0, 100), (200, 300))


def test_neighbours_are_read_together() -> None:
    assert work(grant(0, 100), grant(100, 200), grant(200, 250)).pieces == [Piece(0, 250, None)]
    across = work(grant(0, CHUNK), grant(CHUNK, CHUNK + 5))
    assert across.pieces == [Piece(0, CHUNK + 5, None)]


def test_neighbours_of_different_variants_are_read_apart() -> None:
    made = work(grant(0, 100, "A"), grant(100, 200, "B"), grant(200, 300, "B"), grant(300, 400))
    assert made.pieces == [Piece(0, 100, "A"), Piece(100, 300, "B"), Piece(300, 400, None)]


def test_a_grant_before_the_last_piece_is_a_piece_of_its_own() -> None:
    assert work(grant(100, 200), grant(0, 100)).pieces == [
        Piece(100, 200, None),
        Piece(0, 100, None),
    ]


def test_only_what_is_not_done_of_a_grant_is_work() -> None:
    assert work(grant(0, 100), grant(50, 150)).pieces == [Piece(0, 150, None)]
    assert work(grant(40, 60), grant(0, 100)).pieces == [
        Piece(40, 60, None),
        Piece(0, 40, None),
        Piece(60, 100, None),
    ]
    assert work(grant(0, 100), grant(0, 100), grant(20, 30, "A")).pieces == [Piece(0, 100, None)]


def test_chunks_of_a_lane_are_neighbours_in_its_progress_and_not_as_ordinals() -> None:
    made = work(grant(0, CHUNK), grant(4 * CHUNK, 5 * CHUNK), lanes=4)
    assert made.pieces == [Piece(0, CHUNK, None), Piece(4 * CHUNK, 5 * CHUNK, None)]
    assert made.progress.done == ((0, 2 * CHUNK),)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, CHUNK - 1), st.integers(1, 300)), max_size=12
    )
)
def test_whatever_is_granted_again_each_ordinal_is_work_once(
    given_: list[tuple[int, int, int]],
) -> None:
    grants = [
        grant(chunk * CHUNK + start, chunk * CHUNK + min(CHUNK, start + size))
        for chunk, start, size in given_
    ]
    ordinals = [n for piece in work(*grants).pieces for n in range(piece.start, piece.stop)]
    assert len(ordinals) == len(set(ordinals))
    assert set(ordinals) == {n for one in grants for n in range(one.start, one.stop)}


@pytest.mark.parametrize(
    ("one", "partition", "expected"),
    [
        (grant(0, CHUNK), 0, True),
        (grant(CHUNK, CHUNK + 1), 1, True),
        (grant(0, CHUNK), 1, False),  # another lane's
        (grant(5, 5), 0, False),
        (grant(5, CHUNK + 1), 0, False),
        (grant(0, 1, number=1), 0, True),
        (grant(0, 1, number=0), 0, False),  # test messages have no grants
        (grant(0, 1, number=-1), 0, False),
        (grant(0, 1, number=(1 << 47) - 1), 0, True),
        (grant(0, 1, number=1 << 47), 0, False),
        (Grant("ac\0me", "c", 42, 0, 1), 0, False),
    ],
)
def test_a_grant_that_would_end_the_worker_again_and_again_is_not_used(
    one: Grant, partition: int, expected: bool
) -> None:
    assert is_usable(one, partition, 4) is expected


def told(batch: Batch) -> list[tuple[Kind, str | None, str | None, list[int]]]:
    return [
        (group.kind, group.variant_id, group.detail, list(unpack(group.ordinals)))
        for group in batch.groups
    ]


def test_facts_are_one_batch_per_shard_with_a_group_per_kind_variant_and_reason() -> None:
    composed = Composed()
    composed.sent["A"] += [0, 1, SHARD_SIZE]
    composed.sent["B"] += [2]
    composed.skipped["erased"] += [3, SHARD_SIZE + 1]
    composed.skipped["suppressed"] += [4]
    first, second = facts(CONTENT, composed, 1_769_590_800)
    assert told(first) == [
        (Kind.SENT, "A", None, [0, 1]),
        (Kind.SENT, "B", None, [2]),
        (Kind.SKIPPED, None, "erased", [3]),
        (Kind.SKIPPED, None, "suppressed", [4]),
    ]
    assert told(second) == [(Kind.SENT, "A", None, [0]), (Kind.SKIPPED, None, "erased", [1])]
    for batch, shard in ((first, 0), (second, 1)):
        identity = batch.tenant_id, batch.number, batch.shard, batch.base, batch.campaign_id
        assert identity == ("acme", 42, shard, 1_769_590_800, str(CONTENT.id))
        for group in batch.groups:
            assert set(unpack(group.seconds)) == {0}  # all at the base
            assert len(group.seconds) == len(group.ordinals)


def test_a_transaction_without_messages_and_skips_has_no_facts() -> None:
    composed = Composed()
    composed.sent["A"] += []
    assert list(facts(CONTENT, composed, 1)) == []


def test_the_last_ordinals_of_a_shard_and_of_a_campaign_are_in_their_shard() -> None:
    composed = Composed()
    composed.sent[None] += [SHARD_SIZE - 1, MAX_ORDINAL]
    batches = list(facts(CONTENT, composed, 1))
    assert [(batch.shard, told(batch)[0][3]) for batch in batches] == [
        (0, [SHARD_SIZE - 1]),
        (MAX_ORDINAL // SHARD_SIZE, [SHARD_SIZE - 1]),
    ]
