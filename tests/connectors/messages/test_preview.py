"""A preview and a test message are what emission would send, but for what is tracked."""

from __future__ import annotations

import random
from dataclasses import replace
from uuid import UUID

import pytest

from connectors.messages.composing import Composed, Composer, aligned
from connectors.messages.content import Broken, Content
from connectors.messages.preview import preview, rendered, segments_per_message, variants_of
from connectors.messages.trial_sends import NOBODY, messages, spelled
from connectors.templates.checks import template_hints
from connectors.templates.links import Links, Tracking
from connectors.templates.rendering import RenderError, Template
from streams.errors import CampaignError
from streams.records.message_id import MessageIds
from streams.records.messages import Message, decode_message
from tables.audience.recipients import recipient_id

IDS, TENANT, AT = MessageIds([b"0123456789abcdef"]), "acme", "2026-01-28T09:00:00.000Z"
SOMEBODY, ANA = UUID(int=1), {"firstName": "Ana"}
PARTS = {
    "email": {
        "subject": "{{ firstName }}",
        "html": '<a href="https://a.example">{{ firstName }}</a>',
        "text": "{{ unsubscribeUrl }}",
    },
    "sms": {"text": "Hi {{ firstName }}: https://a.example"},
    "whatsapp": {"text": "Hi {{ firstName }}: https://a.example"},
    "push": {"title": "{{ firstName }}", "body": "b", "link": "https://a.example"},
}


def content(
    channel: str, *, tracked: bool = True, most: int | None = None, **parts: str
) -> Content:
    tracking = Tracking("https://mail.example", opens=tracked, clicks=tracked)
    template = Template(channel, {**PARTS[channel], **parts}, "Sale", tracking, Links())
    return Content(
        id=UUID(int=7),
        tenant_id=TENANT,
        number=42,
        channel=channel,
        key_epoch=0,
        total=None,
        sender={"senderId": "Acme"},
        templates={None: template},
        links=(),
        fields=template.fields,
        tracking=tracking,
        options={"maxSegments": 3},
        max_segments=most,
    )


def sent(made: Content, name: str = "Ana") -> tuple[list[Message], dict[str, list[int]]]:
    into = Composed()
    row = (recipient_id(42, 5), SOMEBODY, None, None, "to", None, name)
    Composer(made, IDS, None).compose(5, aligned([row], 5, 6), AT, into)
    return [decode_message(value) for _, value, _ in into.records], dict(into.skipped)


@pytest.mark.parametrize("channel", PARTS)
def test_a_preview_is_what_emission_sends(channel: str) -> None:
    made = content(channel)
    [message], _ = sent(made)
    [one] = rendered(made, variants_of(made), ANA, message.message_id)
    assert one.content == message.content
    [shown] = preview(made, made, ANA, message.message_id)
    assert (shown["content"], shown["from"], shown["headers"], shown["options"]) == (
        message.content,
        message.sender,
        message.headers,
        message.options,
    )


@pytest.mark.parametrize("channel", PARTS)
def test_a_test_message_is_what_emission_sends_without_tracking_and_marked(channel: str) -> None:
    made = content(channel, tracked=False)
    [test] = messages(
        made,
        [None],
        ["to"],
        (SOMEBODY, ANA),
        ids=IDS,
        epoch=0,
        at=AT,
        draw=random.Random(1).randrange,
    )
    [message], _ = sent(made)
    assert IDS.verify(test.message_id, TENANT) == (0, test.recipient_number)
    words = {
        part: text.replace(test.message_id, message.message_id)
        for part, text in test.content.items()
    }
    if channel == "email":
        assert words["subject"] == "[Test] Ana"
        words["subject"] = "Ana"
    assert words == message.content
    assert (test.sender, test.options, test.to, test.contact_id) == (
        message.sender,
        message.options,
        message.to,
        message.contact_id,
    )
    assert (test.is_test, message.is_test) == (True, False)
    [nobody] = messages(
        made,
        [None],
        ["to"],
        (NOBODY, ANA),
        ids=IDS,
        epoch=0,
        at=AT,
        draw=random.Random(1).randrange,
    )
    assert nobody.contact_id == "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("name", "most", "parts"),
    [("Ana", 1, 1), ("ż" * 75, 3, 3), ("ż" * 75, 2, 3), ("x" * 300, 2, 3)],
    ids=["fits", "just-fits", "unicode", "long"],
)
def test_an_sms_of_more_segments_than_allowed_is_not_sent(name: str, most: int, parts: int) -> None:
    made = content("sms", most=most)
    found, skipped = sent(made, name)
    assert (len(found), skipped) == ((1, {}) if parts <= most else (0, {"too-long": [5]}))
    [shown] = preview(
        content("sms", tracked=False, most=most),
        made,
        {"firstName": name},
        IDS.make(0, 0, TENANT, 0),
    )
    assert shown["hints"]["segments"] == parts
    assert shown["hints"]["isTooLong"] is (parts > most)
    assert shown["content"]["text"].endswith(": https://a.example")


def test_what_is_wrong_is_told_of_every_variant() -> None:
    made = content("sms")
    broken = Broken(RenderError("text, line 3: unexpected"))
    variants = replace(
        made,
        templates={
            "A": broken,
            "B": made.templates[None],
            "C": Broken(RenderError("the template does not exist")),
        },
    )
    with pytest.raises(CampaignError) as refused:
        preview(variants, variants, {}, IDS.make(0, 0, TENANT, 0))
    assert [(wrong.field, wrong.message) for wrong in refused.value.errors] == [
        ("variants.A.content.text", "variant A: text, line 3: unexpected"),
        ("variants.B.content.text", "variant B: text, line 1: `firstName` is undefined"),
        ("variants.C.templateId", "is needed: there is no template"),
    ]
    assert variants_of(variants, "B") == ("B",)
    with pytest.raises(CampaignError, match="variantId: one of A, B, C"):
        variants_of(variants, "D")
    with pytest.raises(CampaignError, match="no A/B test"):
        variants_of(made, "A")
    assert segments_per_message(made, [], IDS) is None


def test_addresses_are_spelled_as_contacts_are() -> None:
    assert spelled("email", ["Ana@Example.com"]) == ["ana@example.com"]
    assert spelled("sms", ["+49 30 123456"]) == ["+4930123456"]
    assert spelled("push", [" token "]) == ["token"]
    with pytest.raises(CampaignError) as refused:
        spelled("whatsapp", ["123", "+4930123456", ""])
    assert [wrong.field for wrong in refused.value.errors] == ["addresses.0", "addresses.2"]


def test_the_hints_of_a_template_leave_its_tags_out() -> None:
    assert template_hints("sms", {"text": "a" * 160}) | {
        "segments": 1,
        "isExact": True,
    } == template_hints("sms", {"text": "a" * 160})
    found = template_hints(
        "sms",
        {
            "text": "a" * 100
            + "{{ contact.attributes.something_long_enough_to_matter_otherwise }}"
            + "b" * 60
        },
    )
    assert (found["segments"], found["units"], found["isExact"]) == (1, 160, False)
    assert (
        template_hints("sms", {"text": "{{ 'a"})["units"] == 7
    )  # stored before it was checked: shown as it is
