"""A chunk becomes messages and skips, and those become facts: nothing is lost on the way, and a
replay makes the same.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.sending.work import facts
from connectors.messages.composing import Composed, Composer, aligned
from connectors.messages.content import Broken, Content
from connectors.templates.links import Links, Tracking
from connectors.templates.rendering import MAX_MESSAGE, RenderError, Template
from streams.records.facts import Kind, unpack
from streams.records.message_id import SHARD_SIZE, MessageIds
from streams.records.messages import decode_message
from tables.audience.recipients import recipient_id

NUMBER, TENANT, AT = 42, "acme", "2026-01-28T09:00:00.000Z"
SOMEBODY = UUID(int=1)
TRACKING = Tracking("https://mail.example")
IDS = MessageIds([secrets.token_bytes(32)])


def content(
    text: str = "Hi {{ firstName }}", variants: tuple[str, ...] = (), channel: str = "sms"
) -> Content:
    template = Template(channel, {"text": text, "subject": "s"}, "Sale", TRACKING, Links())
    return Content(
        id=UUID(int=7),
        tenant_id=TENANT,
        number=NUMBER,
        channel=channel,
        key_epoch=0,
        total=None,
        sender=None,
        templates={None: template, **dict.fromkeys(variants, template)},
        links=(),
        fields=template.fields,
        tracking=TRACKING,
    )


def row(
    ordinal: int,
    *,
    contact: UUID | None = SOMEBODY,
    variant: str | None = None,
    suppressed: bool | None = None,
    address: str | None = "+49",
) -> tuple[Any, ...]:
    return (
        recipient_id(NUMBER, ordinal),
        contact,
        variant,
        suppressed,
        address,
        None,
        f"Ana{ordinal}",
    )


def composed(
    made: Content,
    start: int,
    rows: list[tuple[Any, ...]],
    stop: int | None = None,
    variant: str | None = None,
) -> Composed:
    into = Composed()
    all_rows = aligned(rows, start, len(rows) + start if stop is None else stop)
    Composer(made, IDS, variant).compose(start, all_rows, AT, into)
    return into


def test_who_has_another_address_than_when_the_audience_was_made_is_noted() -> None:
    same, changed = row(0), row(1)
    made = composed(content(), 0, [same, (*changed[:5], 3, changed[6]), row(2, address=None)])
    assert made.readdressed == {1: 3}


def test_a_message_says_who_gets_what_from_whom() -> None:
    contact = uuid4()
    made = composed(
        content(channel="email"), 5, [row(5, contact=contact, address="ana@example.com")]
    )
    [(key, value, headers)] = made.records
    message = decode_message(value)
    assert (key.decode(), list(headers)) == (message.message_id, [])
    assert IDS.verify(message.message_id, TENANT) == (NUMBER, 5)
    assert (message.tenant_id, message.campaign_id, message.contact_id) == (
        TENANT,
        str(UUID(int=7)),
        str(contact),
    )
    assert (message.channel, message.to, message.recipient_number, message.created_at) == (
        "email",
        "ana@example.com",
        5,
        AT,
    )
    assert message.content == {"subject": "s", "text": "Hi Ana5"}
    url = f"https://mail.example/u/{message.message_id}"
    assert message.headers == {
        "List-Unsubscribe": f"<{url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


outcomes = st.sampled_from(
    ("sent", "suppressed", "no-address", "erased", "missing", "render-error")
)


@settings(deadline=None)
@given(st.lists(outcomes, min_size=1, max_size=40), st.integers(0, SHARD_SIZE * 3))
def test_every_ordinal_ends_as_one_message_or_one_skip(ends: list[str], start: int) -> None:
    rows = []
    for ordinal, end in enumerate(ends, start):
        one = row(
            ordinal,
            contact=None if end == "erased" else SOMEBODY,
            suppressed=True if end == "suppressed" else None,
            address=None if end == "no-address" else "+49",
        )
        if end != "missing":
            rows.append((*one[:-1], None) if end == "render-error" else one)
    made = composed(content(), start, rows, start + len(ends))
    expected = {
        reason: [
            ordinal
            for ordinal, end in enumerate(ends, start)
            if end == reason or (reason, end) == ("erased", "missing")
        ]
        for reason in ("suppressed", "no-address", "erased", "render-error")
    }
    assert made.skipped == {reason: ordinals for reason, ordinals in expected.items() if ordinals}
    sent = [ordinal for ordinal, end in enumerate(ends, start) if end == "sent"]
    assert (
        [decode_message(value).recipient_number for _, value, _ in made.records]
        == made.sent[None]
        == sent
    )


def test_a_replay_makes_the_same_messages() -> None:
    rows = [row(ordinal) for ordinal in range(100)]
    assert composed(content(), 0, rows).records == composed(content(), 0, rows).records


def test_a_grants_variant_wins_and_without_one_each_has_its_own() -> None:
    made = content(variants=("A", "B"))
    rows = [row(0, variant="A"), row(1, variant="B"), row(2)]
    assert composed(made, 0, rows).sent == {None: [2], "A": [0], "B": [1]}
    assert composed(made, 0, rows, variant="B").sent == {"B": [0, 1, 2]}


def test_a_broken_template_skips_everybody() -> None:
    good = content()
    templates: dict[str | None, Template | Broken] = {
        None: Broken(RenderError("the template does not exist"))
    }
    made = composed(replace(good, templates=templates), 0, [row(0), row(1)])
    assert made.skipped == {"render-error": [0, 1]}


def test_a_message_that_kafka_would_not_take_is_a_render_error() -> None:
    assert len("\x01" * 200_000) * len("\\u0001") > MAX_MESSAGE
    made = composed(content("{{ firstName }}"), 0, [(*row(0)[:-1], "\x01" * 200_000)])
    assert (made.records, dict(made.skipped)) == ([], {"render-error": [0]})


@pytest.mark.parametrize(
    "attributes", ["[]", "7", '{"a":' * 2_000 + "1" + "}" * 2_000, '{"plan": null}', "{}"]
)
def test_attributes_that_the_template_cannot_use_are_a_render_error(attributes: str) -> None:
    made = composed(content("{{ contact.attributes.plan }}"), 0, [(*row(0)[:-1], attributes)])
    assert (made.records, dict(made.skipped)) == ([], {"render-error": [0]})


@given(
    st.dictionaries(
        st.sampled_from((None, "A", "B")), st.sets(st.integers(0, SHARD_SIZE * 4), max_size=30)
    ),
    st.dictionaries(
        st.sampled_from(("erased", "suppressed")),
        st.sets(st.integers(0, SHARD_SIZE * 4), max_size=30),
    ),
)
def test_facts_hold_every_ordinal_under_its_shard_once(
    sent: dict[str | None, set[int]], skipped: dict[str, set[int]]
) -> None:
    made = Composed()
    for variant, ordinals in sent.items():
        made.sent[variant] += ordinals
    for reason, ordinals in skipped.items():
        made.skipped[reason] += ordinals
    batches = list(facts(content(), made, 1_700_000_000))
    assert len({batch.shard for batch in batches}) == len(batches)
    found: list[tuple[Kind, str | None, str | None, int]] = []
    for batch in batches:
        assert (batch.tenant_id, batch.number, batch.campaign_id, batch.base) == (
            TENANT,
            NUMBER,
            str(UUID(int=7)),
            1_700_000_000,
        )
        for group in batch.groups:
            assert list(unpack(group.seconds)) == [0] * len(unpack(group.ordinals))
            found += [
                (group.kind, group.variant_id, group.detail, batch.shard * SHARD_SIZE + within)
                for within in unpack(group.ordinals)
            ]
    expected: list[tuple[Kind, str | None, str | None, int]]
    expected = [
        (Kind.SENT, variant, None, ordinal)
        for variant, ordinals in sent.items()
        for ordinal in ordinals
    ]
    expected += [
        (Kind.SKIPPED, None, reason, ordinal)
        for reason, ordinals in skipped.items()
        for ordinal in ordinals
    ]
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_ids_made_together_are_the_ids_made_one_by_one() -> None:
    keyed = MessageIds([secrets.token_bytes(16), secrets.token_bytes(64)])
    for epoch in (0, 1):
        ordinals = [0, 1, 4095, 4096, (1 << 24) - 1]
        assert keyed.make_many((1 << 47) - 1, ordinals, TENANT, epoch) == [
            keyed.make((1 << 47) - 1, o, TENANT, epoch) for o in ordinals
        ]
