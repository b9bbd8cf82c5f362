"""What ingest accepts, what it refuses and why, and how it groups."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from agents.counting.batching import MAX_BYTES, Pile, batches, sort, unheard
from streams.exactly_once.batches import MOST_BYTES
from streams.records.dead_letters import dead_letter
from streams.records.facts import Kind, decode_batch, encode_batch, unpack
from streams.records.message_id import MessageIds
from streams.records.reported_events import Details, Incoming, encode_incoming

IDS = MessageIds([b"0123456789abcdef"])
OTHERS = MessageIds([b"fedcba9876543210"])
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
CLOCK = "2026-11-24T11:59:58.250Z"
SECOND = int(NOW) - 2


def record(value: bytes | None, offset: int = 0) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord(
        "pipeline.events.v1",
        0,
        offset,
        1_000,
        0,
        None,
        value,
        None,
        0,
        0 if value is None else len(value),
        (),
    )


def event(
    kind: str = "opened", number: int = 42, ordinal: int = 7, **changes: Any
) -> dict[str, Any]:
    made = {
        "type": kind,
        "messageId": IDS.make(number, ordinal, "acme", 0),
        "tenantId": "acme",
        "timestamp": CLOCK,
    }
    return {key: value for key, value in (made | changes).items() if value is not ...}


def sorted_out(
    *events: dict[str, Any] | bytes | None,
) -> tuple[list[tuple[Kind, str | None, list[int], list[int]]], list[str]]:
    """Groups of the facts as (kind, detail, ordinals, Unix seconds), and the codes of the
    refused.
    """
    piles: dict[str, Pile] = {}
    values = [json.dumps(e).encode() if isinstance(e, dict) else e for e in events]
    refused = sort(map(record, values), IDS, NOW, piles)
    made = [decode_batch(encode_batch(batch)) for pile in piles.values() for batch in batches(pile)]
    groups = [
        (
            group.kind,
            group.detail,
            list(unpack(group.ordinals)),
            [batch.base + s for s in unpack(group.seconds)],
        )
        for batch in made
        for group in batch.groups
    ]
    return groups, [code for _, _, code in refused]


@pytest.mark.parametrize(
    "kind",
    [
        "accepted",
        "delivered",
        "opened",
        "clicked",
        "bounced",
        "failed",
        "unsubscribed",
        "complained",
        "replied",
    ],
)
def test_every_reported_type_becomes_a_fact(kind: str) -> None:
    assert sorted_out(event(kind)) == ([(Kind[kind.upper()], None, [7], [SECOND])], [])


@pytest.mark.parametrize(
    ("kind", "data", "fact", "detail"),
    [
        ("opened", {"isMachine": True}, Kind.MACHINE_OPENED, None),
        (
            "clicked",
            {"isMachine": True, "url": "https://a.example/x"},
            Kind.MACHINE_CLICKED,
            "https://a.example/x",
        ),
        ("clicked", {"url": "https://a.example/x"}, Kind.CLICKED, "https://a.example/x"),
        ("delivered", {"isMachine": True, "reason": "250 ok"}, Kind.DELIVERED, None),
        ("accepted", {"isMachine": True, "reason": "queued as 4711"}, Kind.ACCEPTED, None),
        (
            "bounced",
            {"bounceType": "hard", "reason": "no such user"},
            Kind.BOUNCED,
            "hard:no such user",
        ),
        ("bounced", {"bounceType": "soft"}, Kind.BOUNCED, "soft:"),
        ("bounced", {"reason": "mailbox full"}, Kind.BOUNCED, ":mailbox full"),
        (
            "bounced",
            {"reason": "550 5.1.1: no such user"},
            Kind.BOUNCED,
            ":550 5.1.1: no such user",
        ),
        ("bounced", {}, Kind.BOUNCED, None),
        ("failed", {"reason": "a\u0000b"}, Kind.FAILED, "ab"),
        ("failed", {"reason": "no " * 5000}, Kind.FAILED, ("no " * 500)[:500]),
        ("failed", {"reason": "x" * 5000}, Kind.FAILED, None),
        ("failed", {"reason": "no user <ana@a.example>"}, Kind.FAILED, "no user <<address>>"),
        ("complained", {"reason": "by +4915112345678"}, Kind.COMPLAINED, "by <number>"),
        ("unsubscribed", {"reason": "bob@b.example"}, Kind.UNSUBSCRIBED, "<address>"),
        (
            "bounced",
            {"bounceType": "hard", "reason": "550 5.1.1 <late@example.com>: unknown"},
            Kind.BOUNCED,
            "hard:550 5.1.1 <<address>>: unknown",
        ),
        ("complained", {"reason": "spam", "unknown": [1, {"a": None}]}, Kind.COMPLAINED, "spam"),
        ("opened", None, Kind.OPENED, None),
    ],
)
def test_details_become_the_kind_and_detail_of_a_group(
    kind: str, data: Any, fact: Kind, detail: str | None
) -> None:
    assert sorted_out(event(kind, data=data)) == ([(fact, detail, [7], [SECOND])], [])


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"{not json", "json"),
        (b"\xff\xfe\x00", "json"),
        (json.dumps(event()).encode()[:-9], "json"),
        (json.dumps(event()).encode() + b"\0", "json"),
        (json.dumps(event(tenantId="x")).encode().replace(b'"x"', b'"\xc3\x28"'), "json"),
        (json.dumps(event(tenantId="\ud800")).encode(), "json"),
        (b'{"a":' + b"[" * 60_000, "json"),
        (b'{"type":"opened","data":' + b'{"reason":' * 4_000, "schema"),
        (json.dumps(event(padding="x" * MAX_BYTES)).encode(), "oversize"),
        (b"[]", "schema"),
        (b"1e400", "schema"),
        (json.dumps(event("exploded")).encode(), "schema"),
        (json.dumps(event("sent")).encode(), "schema"),
        (json.dumps(event(messageId=...)).encode(), "schema"),
        (json.dumps(event(timestamp=1_795_000_000)).encode(), "schema"),
        (json.dumps(event(data="x")).encode(), "schema"),
        (json.dumps(event(data={"bounceType": "odd"})).encode(), "schema"),
        (json.dumps(event(messageId="")).encode(), "id-format"),
        (json.dumps(event(messageId="0190a1b2-1111-7aaa-8bbb-0123456789ab")).encode(), "id-format"),
        (json.dumps(event(messageId="é" * 36)).encode(), "id-format"),
        (json.dumps(event(messageId=OTHERS.make(42, 7, "acme", 0))).encode(), "id-forged"),
        (json.dumps(event(messageId=IDS.make(42, 7, "acme", 0).upper())).encode(), "id-forged"),
        (
            json.dumps(
                event(messageId=IDS.make(42, 8, "acme", 0)[:23] + IDS.make(42, 7, "acme", 0)[23:])
            ).encode(),
            "id-forged",
        ),
        (
            json.dumps(
                event(
                    messageId=IDS.make(42, 7, "acme", 0)[:19]
                    + "b"
                    + IDS.make(42, 7, "acme", 0)[20:]
                )
            ).encode(),
            "id-forged",
        ),
        (
            json.dumps(
                event(
                    messageId=IDS.make(42, 7, "acme", 0)[:23]
                    + "_"
                    + IDS.make(42, 7, "acme", 0)[24:]
                )
            ).encode(),
            "id-forged",
        ),
        (json.dumps(event(tenantId="other")).encode(), "id-forged"),
        (json.dumps(event(tenantId="acme\0")).encode(), "id-forged"),
        *[
            (json.dumps(event(timestamp=text)).encode(), "timestamp")
            for text in (
                "",
                "yesterday",
                "2026-13-45T00:00:00Z",
                "2026-11-24T11:59:58",
                "2026-11-24T11:59:58.xZ",
                "2026-11-24T11:59Z0",
                "2026-11-24T11:59:58." + "0" * 21 + "Z",
                "\0",
            )
        ],
    ],
)
def test_what_cannot_be_used_is_refused_and_the_rest_goes_on(
    value: bytes | None, code: str
) -> None:
    groups, codes = sorted_out(event(ordinal=1), value, event(ordinal=2))
    assert codes == [code]
    assert [(kind, ordinals) for kind, _, ordinals, _ in groups] == [(Kind.OPENED, [1, 2])]


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T11:59:58Z",
        "2026-11-24T11:59:58.9Z",
        "2026-11-24T13:59:58+02:00",
        "2026-11-24T11:59:58.123456Z",
    ],
)
def test_timestamps_are_rfc_3339(text: str) -> None:
    assert sorted_out(event(timestamp=text))[0][0][3] == [SECOND]


@pytest.mark.parametrize(
    "text",
    [
        "1970-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "2019-12-31T23:59:59Z",
        "2026-11-24T12:15:01Z",
        "9999-12-31T23:59:59Z",
    ],
)
def test_an_impossible_time_counts_as_now(text: str) -> None:
    assert sorted_out(event(timestamp=text)) == ([(Kind.OPENED, None, [7], [int(NOW)])], [])


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T12:10:00Z",
        "2026-11-24T11:50:00Z",
        "2026-11-17T12:00:00Z",
        "2020-01-01T00:00:00Z",
    ],
)
def test_a_skewed_clock_and_late_events_keep_their_time(text: str) -> None:
    assert sorted_out(event(timestamp=text))[0][0][3] == [
        int(datetime.fromisoformat(text).timestamp())
    ]


def test_events_meet_on_the_pile_of_their_campaign_and_shard() -> None:
    piles: dict[str, Pile] = {}
    events = [
        event(number=n, ordinal=o) for n in (1, 2**47 - 1) for o in (0, 65_535, 65_536, 2**24 - 1)
    ]
    assert sort([record(json.dumps(e).encode()) for e in events], IDS, NOW, piles) == []
    found = {
        (pile.number, pile.shard): pile.groups[Kind.OPENED, None][0] for pile in piles.values()
    }
    assert found == {
        (n, shard): ordinals
        for n in (1, 2**47 - 1)
        for shard, ordinals in ((0, [0, 65_535]), (1, [0]), (255, [65_535]))
    }


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["accepted", "delivered", "clicked", "bounced"]),
            st.integers(0, 70_000),
            st.text(max_size=3000),
        ),
        max_size=40,
    ),
    st.integers(1, 300),
)
def test_every_event_is_in_a_bounded_record_once(
    reported: list[tuple[str, int, str]], times: int
) -> None:
    events = [
        event(kind, ordinal=o, data={"url": text, "reason": text}) for kind, o, text in reported
    ] * times
    piles: dict[str, Pile] = {}
    assert (
        sort([record(json.dumps(e, ensure_ascii=False).encode()) for e in events], IDS, NOW, piles)
        == []
    )
    made = [batch for pile in piles.values() for batch in batches(pile)]
    assert all(len(encode_batch(batch)) < 600_000 for batch in made)
    assert all(sum(len(group.ordinals) // 4 for group in batch.groups) < 10_000 for batch in made)
    counted = Counter(
        (group.kind.name.lower(), (b.shard << 16) + o)
        for b in made
        for group in b.groups
        for o in unpack(group.ordinals)
    )
    assert counted == Counter((kind, o) for kind, o, _ in reported * times)


def test_records_of_accepted_messages_have_no_other_facts() -> None:
    """A worker of the version before, which drops them, loses nothing else."""
    kinds = ["accepted", "delivered", "accepted", "opened", "bounced"]
    piles: dict[str, Pile] = {}
    sort([record(json.dumps(event(kind)).encode()) for kind in kinds], IDS, NOW, piles)
    (pile,) = piles.values()
    assert [[group.kind for group in batch.groups] for batch in batches(pile)] == [
        [Kind.DELIVERED, Kind.OPENED, Kind.BOUNCED],
        [Kind.ACCEPTED],
    ]


def test_random_bytes_never_get_through_and_never_raise() -> None:
    chance = random.Random(5)
    good = json.dumps(event()).encode()
    values = [chance.randbytes(chance.randrange(1, 300)) for _ in range(2000)]
    for _ in range(5000):  # and good ones with a byte changed: refused, or still the same recipient
        at = chance.randrange(len(good))
        values.append(good[:at] + bytes([chance.randrange(256)]) + good[at + 1 :])
    groups, codes = sorted_out(*values)
    assert {ordinal for _, _, ordinals, _ in groups for ordinal in ordinals} == {7}
    assert sum(len(ordinals) for _, _, ordinals, _ in groups) + len(codes) == len(values)


def test_what_incoming_encodes_is_accepted() -> None:
    made = Incoming(
        "clicked", IDS.make(42, 7, "acme", 0), "acme", CLOCK, Details(url="https://a.example")
    )
    assert sorted_out(encode_incoming(made)) == (
        [(Kind.CLICKED, "https://a.example", [7], [SECOND])],
        [],
    )


def test_a_dead_letter_keeps_odd_headers_and_the_beginning_of_a_huge_record() -> None:
    key, value = dead_letter(
        "why", "code", "topic", 3, 17, 5, b"x" * 2_000_000, [("empty", None), ("odd", b"\xff")]
    )
    letter = json.loads(value)
    assert key == b"topic-3-17" and letter["size"] == 2_000_000 and len(value) < 900_000
    assert letter["headers"] == {"empty": "", "odd": "\ufffd"}


def test_the_largest_dead_letter_fits_into_a_batch() -> None:
    headers = [(chr(0x0E + n) + "\x01" * 2_000, b"\x01" * 2_000) for n in range(18)]
    headers += [("\x01" * 3_000, b"\x01" * 3_000), ("\x02" * 3_000, b"\x02" * 3_000)]
    key, value = dead_letter("why", "code", "t" * 249, 3, 17, 5, b"x" * 2_000_000, headers)
    assert len(json.loads(value)["headers"]) == 20
    assert 850_000 < len(key) + len(value) < MOST_BYTES - 1_000


@pytest.mark.parametrize("name", ["reason", "bounceType", "url", "isMachine"])
@pytest.mark.parametrize("kind", ["bounced", "clicked", "complained"])
def test_null_is_absent_in_every_optional_member(name: str, kind: str) -> None:
    data = {"reason": "r", "bounceType": "hard", "url": "https://a.example/", "isMachine": True}
    null, absent = {**data, name: None}, {key: data[key] for key in data if key != name}
    assert sorted_out(event(kind, data=null)) == sorted_out(event(kind, data=absent))
    assert sorted_out(event(kind, data=None)) == sorted_out(event(kind))
    assert sorted_out(event(kind, data=null))[1] == []


_BAD: list[dict[str, Any]] = [
    {"timestamp": None},
    {"timestamp": ...},
    {"timestamp": 7},
    {"timestamp": "soon"},
    {"timestamp": "2026-11-24T11:59:58"},
    {"data": 7},
    {"data": {"reason": 5}},
    {"data": {"bounceType": "dead", "reason": "x" * MAX_BYTES}},
]


@pytest.mark.parametrize("bad", _BAD, ids=lambda one: str(one)[:40])
@pytest.mark.parametrize("kind", ["unsubscribed", "complained"])
def test_of_a_persons_no_only_kind_id_and_tenant_are_needed(kind: str, bad: dict[str, Any]) -> None:
    groups, refused = sorted_out(event(kind, **bad))
    assert [(one[0], one[2]) for one in groups] == [(Kind[kind.upper()], [7])]
    assert refused == []
    assert sorted_out(event("opened", **bad))[1] != []


def test_a_no_that_cannot_be_used_is_told_from_other_dead_letters() -> None:
    forged = event("unsubscribed", messageId=OTHERS.make(42, 7, "acme", 0))
    values = [forged, event("opened", tenantId="globex"), b"{unsubscribed", b"{", None, b""]
    encoded = [json.dumps(e).encode() if isinstance(e, dict) else e for e in values]
    refused = sort(map(record, encoded), IDS, NOW, {})
    assert len(refused) == 6
    assert [one.code for one in unheard(refused)] == ["id-forged", "json"]
