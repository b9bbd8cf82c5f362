"""What the bridge publishes: the subject, the id and the envelope of every lifecycle event and of
every message event, letter by letter.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pytest

from connectors.nats.jetstream import Publication
from connectors.nats.messages import UnusableError, of_event, of_message_events
from streams.records.facts import Batch, Group, Kind, pack
from streams.records.message_events import KINDS, MessageEvent
from streams.records.message_id import MAX_ORDINAL, SHARD_BITS, SHARD_SIZE, MessageIds
from tables.campaigns.numbers import NumberedCampaign

IDS = MessageIds([b"k" * 32, b"l" * 32])
CAMPAIGN = NumberedCampaign(42, UUID(int=7), "acme", "email", 0)
BASE = 1_769_590_800  # 2026-01-28T09:00:00Z
LAST_SHARD = MAX_ORDINAL >> SHARD_BITS


@dataclass
class Record:
    """The part of a consumed record that the bridge reads."""

    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def group(kind: Kind, detail: str | None = None, variant: str | None = None) -> Group:
    """One report of recipient 5, two seconds after the batch's base."""
    return Group(kind, pack([5]), pack([2]), variant, detail)


def published(*groups: Group, shard: int = 0, prefix: str = "") -> list[Publication]:
    batch = Batch("acme", 42, shard, BASE, groups)
    return list(of_message_events(batch, CAMPAIGN, IDS, prefix))


def the_data(one: Group) -> dict[str, Any]:
    (publication,) = published(one)
    data: dict[str, Any] = json.loads(publication.payload)["data"]
    return data


def test_a_message_event_is_its_envelope_and_its_data_to_the_letter() -> None:
    message_id = IDS.make(42, 5, "acme", 0)
    (found,) = published(group(Kind.CLICKED, "https://a.example/?a=1%20b", "A"), prefix="test.")
    assert found.subject == "test.campaign.message.clicked"
    assert found.message_id == f"{message_id}:clicked"
    assert found.tenant_id == "acme"
    assert json.loads(found.payload) == {
        "version": "1.0",
        "source": "campaigns",
        "type": "campaign.message.clicked",
        "tenantId": "acme",
        "correlationId": message_id,
        "timestamp": "2026-01-28T09:00:02.000Z",
        "data": {
            "campaignId": str(CAMPAIGN.id),
            "messageId": message_id,
            "recipientNumber": 5,
            "at": "2026-01-28T09:00:02.000Z",
            "channel": "email",
            "variantId": "A",
            "isMachine": False,
            "url": "https://a.example/?a=1%20b",
        },
    }


@pytest.mark.parametrize(
    ("kind", "subject", "suffix", "more"),
    [
        (Kind.SENT, "sent", "sent", {}),
        (Kind.DELIVERED, "delivered", "delivered", {}),
        (Kind.OPENED, "opened", "opened", {"isMachine": False}),
        (Kind.CLICKED, "clicked", "clicked", {"isMachine": False, "url": "d"}),
        (Kind.MACHINE_OPENED, "opened", "machine-opened", {"isMachine": True}),
        (Kind.MACHINE_CLICKED, "clicked", "machine-clicked", {"isMachine": True, "url": "d"}),
        (Kind.BOUNCED, "bounced", "bounced", {"bounceType": "d"}),
        (Kind.FAILED, "failed", "failed", {"reason": "d"}),
        (Kind.UNSUBSCRIBED, "unsubscribed", "unsubscribed", {}),
        (Kind.COMPLAINED, "complained", "complained", {}),
        (Kind.SKIPPED, "skipped", "skipped", {"reason": "d"}),
        (Kind.REPLIED, "replied", "replied", {}),
        (Kind.ACCEPTED, "accepted", "accepted", {}),
    ],
)
def test_each_kind_has_its_subject_its_id_and_its_own_fields(
    kind: Kind, subject: str, suffix: str, more: dict[str, Any]
) -> None:
    (found,) = published(group(kind, "d"))
    assert found.subject == f"campaign.message.{subject}"
    assert found.message_id == f"{IDS.make(42, 5, 'acme', 0)}:{suffix}"
    common = {"campaignId", "messageId", "recipientNumber", "at", "channel"}
    data = the_data(group(kind, "d"))
    assert {name: value for name, value in data.items() if name not in common} == more


def test_every_kind_of_a_fact_is_published_under_a_kind_of_message_event() -> None:
    subjects = {published(group(kind))[0].subject.rpartition(".")[2] for kind in Kind}
    assert subjects == set(KINDS)


def test_no_two_kinds_of_one_message_have_the_same_id() -> None:
    ids = [published(group(kind))[0].message_id for kind in Kind]
    assert len(set(ids)) == len(Kind)


def test_every_field_that_is_published_is_a_field_of_the_documented_record() -> None:
    names = set(MessageEvent.__struct_encode_fields__)
    for kind in Kind:
        assert set(the_data(group(kind, "hard:x", "A"))) <= names


@pytest.mark.parametrize(
    ("detail", "more"),
    [
        (
            "hard:550 5.1.1: no such user",
            {"bounceType": "hard", "reason": "550 5.1.1: no such user"},
        ),
        ("soft:", {"bounceType": "soft"}),
        (":mailbox full", {"reason": "mailbox full"}),
        ("", {}),
        (None, {}),
    ],
)
def test_the_detail_of_a_bounce_is_its_type_and_its_reason(
    detail: str | None, more: dict[str, str]
) -> None:
    data = the_data(group(Kind.BOUNCED, detail))
    assert {name: data[name] for name in ("bounceType", "reason") if name in data} == more


@pytest.mark.parametrize("text", ['100% "off"\n', "%s %d %b %%", "ümlaut\x00", "\\"])
def test_no_text_of_a_detail_or_a_variant_can_spoil_the_json(text: str) -> None:
    data = the_data(group(Kind.FAILED, text, text))
    assert (data["reason"], data["variantId"]) == (text, text)


def test_neither_a_percent_sign_in_a_tenant_nor_in_a_channel_is_taken_for_a_placeholder() -> None:
    odd = replace(CAMPAIGN, tenant_id="a%b%%d", channel="%d")
    batch = Batch("a%b%%d", 42, 0, BASE, (group(Kind.SENT),))
    (found,) = of_message_events(batch, odd, IDS, "")
    envelope = json.loads(found.payload)
    assert (envelope["tenantId"], envelope["data"]["channel"]) == ("a%b%%d", "%d")


@pytest.mark.parametrize("shard", [0, 1, LAST_SHARD])
def test_the_number_of_a_recipient_is_its_place_in_the_campaign(shard: int) -> None:
    last = Group(Kind.SENT, pack([0, SHARD_SIZE - 1]), pack([0, 1]))
    found = published(last, shard=shard)
    numbers = [json.loads(one.payload)["data"]["recipientNumber"] for one in found]
    assert numbers == [shard * SHARD_SIZE, (shard + 1) * SHARD_SIZE - 1]
    verified = [IDS.verify(one.message_id.partition(":")[0], "acme") for one in found]
    assert [recipient.ordinal for recipient in verified] == numbers


@pytest.mark.parametrize("shard", [-1, LAST_SHARD + 1])
def test_a_shard_that_no_campaign_has_is_refused(shard: int) -> None:
    with pytest.raises(UnusableError, match=f"^there is no shard {shard}$") as refused:
        published(group(Kind.SENT), shard=shard)
    assert refused.value.code == "shard"


def test_a_batch_of_another_tenant_than_the_campaigns_is_refused() -> None:
    batch = Batch("other", 42, 0, BASE, (group(Kind.SENT),))
    with pytest.raises(UnusableError, match="belong to different tenants") as refused:
        list(of_message_events(batch, CAMPAIGN, IDS, ""))
    assert refused.value.code == "tenant"


def test_messages_come_in_the_order_of_the_batch_each_with_its_own_time() -> None:
    opened = Group(Kind.OPENED, pack([9, 3]), pack([60, 0]))
    found = published(opened, group(Kind.SENT))
    data = [json.loads(one.payload)["data"] for one in found]
    assert [(one["recipientNumber"], one["at"][11:19]) for one in data] == [
        (9, "09:01:00"),
        (3, "09:00:00"),
        (5, "09:00:02"),
    ]


def test_ids_are_signed_with_the_key_of_the_campaigns_time() -> None:
    batch = Batch("acme", 42, 0, BASE, (group(Kind.SENT),))
    (found,) = of_message_events(batch, replace(CAMPAIGN, key_epoch=1), IDS, "")
    assert found.message_id == f"{IDS.make(42, 5, 'acme', 1)}:sent"
    assert found.message_id != published(group(Kind.SENT))[0].message_id


_EVENT = b'{"tenantId":"acme","type":"campaign.started","data":{}}'


def test_a_lifecycle_event_is_published_unchanged_under_its_type() -> None:
    record = Record(_EVENT, [("type", b"campaign.started"), ("id", b"e-1"), ("other", b"\xff")])
    assert of_event(record, "test.") == Publication("test.campaign.started", "e-1", "acme", _EVENT)


def test_the_type_in_the_headers_comes_before_the_one_in_the_body() -> None:
    record = Record(_EVENT, [("type", b"campaign.ab-test.winner-declared"), ("id", b"e-1")])
    assert of_event(record, "").subject == "campaign.ab-test.winner-declared"
    assert of_event(Record(_EVENT, [("id", b"e-1")]), "").subject == "campaign.started"


@pytest.mark.parametrize(
    "kind",
    [
        "campaign",
        "campaign.",
        "campaign.Started",
        "campaign.a b",
        "campaign.*",
        "campaign.>",
        "campaign..a",
        "other.started",
        "xcampaign.started",
        "campaign.started\n",
    ],
)
def test_a_type_that_is_no_subject_below_campaign_is_refused(kind: str) -> None:
    record = Record(_EVENT, [("type", kind.encode()), ("id", b"e-1")])
    with pytest.raises(UnusableError, match="no subject below campaign") as refused:
        of_event(record, "")
    assert refused.value.code == "type"


@pytest.mark.parametrize(
    "identity", [b"", b"a b", b"a\r\nNats-Rollup: all", b"\x7f", "é".encode(), b"x" * 201]
)
def test_an_id_that_could_not_be_a_header_is_refused(identity: bytes) -> None:
    with pytest.raises(UnusableError, match="missing or malformed") as refused:
        of_event(Record(_EVENT, [("id", identity)]), "")
    assert refused.value.code == "id"


def test_an_id_may_have_200_characters() -> None:
    assert of_event(Record(_EVENT, [("id", b"x" * 200)]), "").message_id == "x" * 200


@pytest.mark.parametrize("tenant", ["", "a b", "a.b.>", "x" * 65])
def test_a_tenant_id_that_no_tenant_has_is_refused(tenant: str) -> None:
    value = json.dumps({"tenantId": tenant, "type": "campaign.started"}).encode()
    with pytest.raises(UnusableError, match="missing or malformed"):
        of_event(Record(value, [("id", b"e-1")]), "")


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (None, ()),
        (b"", ()),
        (b"{", ()),
        (b"[]", ()),
        (b'{"type":"campaign.started"}', ()),
        (_EVENT, [("type", b"\xff"), ("id", b"e-1")]),
        (_EVENT, [("id", b"\xff")]),
    ],
)
def test_a_record_that_is_no_envelope_is_refused(
    value: bytes | None, headers: Sequence[tuple[str, bytes]]
) -> None:
    with pytest.raises(UnusableError, match=r"^not an envelope: ") as refused:
        of_event(Record(value, headers), "")
    assert refused.value.code == "envelope"
