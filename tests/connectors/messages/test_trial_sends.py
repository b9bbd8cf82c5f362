"""The messages of a trial send: one per address and variant, each with an id of its own that names
no campaign, and none that Kafka would refuse.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from connectors.messages.content import Broken, Content
from connectors.messages.trial_sends import SAMPLE, messages, spelled
from connectors.templates.links import Links, Tracking
from connectors.templates.rendering import MAX_MESSAGE, RenderError, Template
from streams.errors import CampaignError
from streams.records.message_id import MAX_ORDINAL, TESTS, MessageIds, is_test
from streams.records.messages import Message, encode_message
from tables.audience.recipients import FIELDS
from tables.channels import CHANNELS

IDS, AT = MessageIds([b"k" * 32, b"l" * 32]), "2026-01-28T09:00:00.000Z"
ANA = UUID(int=1), {"firstName": "Ana"}
TRACKING = Tracking("https://mail.example")
EMAIL = {"subject": "For {{ firstName }}", "text": "subject: {{ firstName }}"}


def content(channel: str = "email", **parts: str) -> Content:
    template = Template(channel, parts or EMAIL, "Sale", TRACKING, Links())
    return Content(
        id=UUID(int=7),
        tenant_id="acme",
        number=42,
        channel=channel,
        key_epoch=0,
        total=None,
        sender=None,
        templates={None: template},
        links=(),
        fields=template.fields,
        tracking=TRACKING,
    )


def made(
    of: Content,
    addresses: Sequence[str] = ("ana@example.com",),
    variants: Sequence[str | None] = (None,),
    contact: tuple[UUID, dict[str, Any]] = ANA,
    draw: Callable[[int], int] | None = None,
) -> list[Message]:
    draw = draw or random.Random(1).randrange
    return messages(of, variants, addresses, contact, ids=IDS, epoch=1, at=AT, draw=draw)


def test_every_address_gets_every_variant_in_order() -> None:
    two = replace(content(), templates={name: content().templates[None] for name in ("A", "B")})
    found = made(two, ["ana@example.com", "ben@example.com"], ["A", "B"])
    assert [(one.to, one.variant_id) for one in found] == [
        ("ana@example.com", "A"),
        ("ana@example.com", "B"),
        ("ben@example.com", "A"),
        ("ben@example.com", "B"),
    ]
    assert len({one.message_id for one in found}) == 4


def test_without_addresses_or_variants_there_is_nothing_to_send() -> None:
    assert made(content(), []) == made(content(), variants=[]) == []


def test_an_id_names_no_campaign_and_the_ordinal_that_was_drawn() -> None:
    bounds = list[int]()

    def last(bound: int) -> int:
        bounds.append(bound)
        return bound - 1

    [one] = made(content(), draw=last)
    assert bounds == [MAX_ORDINAL + 1]
    assert IDS.verify(one.message_id, "acme") == (TESTS, MAX_ORDINAL)
    assert one.recipient_number == MAX_ORDINAL
    assert one.message_id == IDS.make(TESTS, MAX_ORDINAL, "acme", 1)
    assert is_test(one.message_id)


def test_a_message_says_that_it_is_a_test_and_when_it_was_made() -> None:
    [one] = made(content())
    assert (one.is_test, one.created_at, one.tenant_id) == (True, AT, "acme")
    assert (one.campaign_id, one.contact_id) == (str(UUID(int=7)), str(UUID(int=1)))


def test_only_the_subject_is_marked() -> None:
    [one] = made(content())
    assert one.content == {"subject": "[Test] For Ana", "text": "subject: Ana"}
    [push] = made(content("push", title="subject", body="b"), ["token"])
    assert push.content == {"title": "subject", "body": "b"}


def test_only_an_email_has_headers_and_they_unsubscribe_this_message() -> None:
    [one] = made(content())
    assert one.headers == {
        "List-Unsubscribe": f"<https://mail.example/u/{one.message_id}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    [sms] = made(content("sms", text="hi"), ["+12025550123"])
    assert sms.headers is None


def test_a_sender_and_options_are_those_of_the_campaign_and_none_when_it_has_none() -> None:
    [plain] = made(content())
    assert (plain.sender, plain.options) == (None, None)
    own = replace(content(), sender={"name": "Acme"}, options={"ttl": 5})
    [one] = made(own)
    assert (one.sender, one.options) == ({"name": "Acme"}, {"ttl": 5})
    empty = replace(content(), sender={}, options={})
    [none] = made(empty)
    assert (none.sender, none.options) == (None, None)


def test_the_first_template_that_cannot_be_rendered_refuses_the_whole_send() -> None:
    broken = replace(content(), templates={None: Broken(RenderError("text, line 3: unexpected"))})
    with pytest.raises(CampaignError) as refused:
        made(broken)
    assert [(one.field, one.message) for one in refused.value.errors] == [
        ("content.text", "text, line 3: unexpected")
    ]
    with pytest.raises(CampaignError, match="`firstName` is undefined"):
        made(content(), contact=(UUID(int=1), {}))


@pytest.mark.parametrize("over", [0, 1])
def test_a_message_may_be_as_large_as_kafka_takes_and_no_larger(over: int) -> None:
    """A character of six bytes in JSON fills a message long before a template is too long."""
    text = "\u0001" * 120_000
    small = made(content("sms", text="{{ firstName }}"), ["+1"], contact=(UUID(int=1), {**ANA[1]}))
    around = len(encode_message(small[0])) - len("Ana")
    name = "x" * (MAX_MESSAGE - around - 6 * len(text) + over)
    of = content("sms", text="{{ firstName }}{{ lastName }}")
    contact = UUID(int=1), {"firstName": text, "lastName": name}
    if not over:
        assert len(encode_message(made(of, ["+1"], contact=contact)[0])) == MAX_MESSAGE
        return
    with pytest.raises(CampaignError) as refused:
        made(of, ["+1"], contact=contact)
    assert [(one.field, one.message) for one in refused.value.errors] == [
        ("content", "the message has 800,001 bytes, the limit is 800,000")
    ]


def test_the_sample_has_every_field_of_a_contact_and_an_address_for_every_channel() -> None:
    assert SAMPLE.keys() == FIELDS.keys()
    columns = {column: SAMPLE[name] for name, column in FIELDS.items()}
    for channel in CHANNELS.values():
        address = columns[channel.column]
        assert channel.normalise(address) == address


@pytest.mark.parametrize(
    ("channel", "wrong"),
    [("email", "ana@"), ("sms", "12"), ("whatsapp", "+49"), ("push", "two words")],
)
def test_every_text_that_is_no_address_is_named_by_its_place_and_rule(
    channel: str, wrong: str
) -> None:
    good = {"email": "a@example.com", "push": "token"}.get(channel, "+4930123456")
    with pytest.raises(CampaignError) as refused:
        spelled(channel, [wrong, good, wrong])
    assert [one.field for one in refused.value.errors] == ["addresses.0", "addresses.2"]
    with pytest.raises(ValueError) as rule:
        CHANNELS[channel].normalise(wrong)
    assert {one.message for one in refused.value.errors} == {str(rule.value)}


def test_no_addresses_are_spelled_as_none() -> None:
    assert spelled("email", []) == []
