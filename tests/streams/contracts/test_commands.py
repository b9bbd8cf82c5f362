"""A Kafka record becomes a command, a refusal or a dead letter; nothing raises."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from streams.contracts.bodies import (
    CampaignCreate,
    CampaignSchedule,
    CampaignUpdate,
    Explanation,
    checked_settings,
    validated,
)
from streams.contracts.commands import (
    BODIES,
    COMMANDS,
    Command,
    Create,
    Pause,
    Refused,
    Start,
    Unreadable,
    Verb,
    parse,
)
from streams.errors import CampaignError

_GOOD = {"name": "a", "channel": "email"}
_DEEP: dict[str, Any] = {}
for _ in range(9):
    _DEEP = {"a": _DEEP}
_ID = "550e8400-e29b-41d4-a716-446655440000"


def envelope(data: object = None, **more: object) -> bytes:
    fields = {
        "version": "1.0",
        "tenantId": "acme",
        "correlationId": "c-1",
        "timestamp": "2026-01-28T09:00:00.000Z",
        "data": data or {},
    }
    return json.dumps(fields | more).encode()


def test_every_verb_is_a_class_of_its_own_with_the_body_that_it_declares() -> None:
    assert list(COMMANDS) == list(BODIES) == list(Verb)
    assert len(set(COMMANDS.values())) == len(Verb)
    assert {verb: kind.verb for verb, kind in COMMANDS.items()} == {verb: verb for verb in Verb}
    assert (BODIES[Verb.CREATE], BODIES[Verb.PAUSE]) == (CampaignCreate, Explanation)


def test_the_content_of_a_command_is_what_tells_a_repeat_from_another_command() -> None:
    """The digests of remembered answers are made of it: it must not change between versions."""
    of: dict[str, Any] = {"tenant_id": "acme", "campaign_id": UUID(_ID), "actor": UUID(_ID)}
    start = Start(**of, correlation_id="c-1", if_match=frozenset({3}))
    assert start.content() == Start(**of, correlation_id="c-2", if_match=frozenset({3})).content()
    fields: dict[str, Any] = {"campaignId": _ID, "body": {}, "actor": None, "ifMatch": 3}
    assert json.loads(json.dumps(start.content())) == {"verb": "start", **fields}
    pause = Pause(**of, correlation_id="c-1", body=Explanation(reason="lunch"))
    assert pause.content() == {
        "verb": "pause",
        "campaignId": _ID,
        "body": {"reason": "lunch"},
        "actor": None,
        "ifMatch": None,
    }
    body = CampaignCreate(name="Sale", channel="sms")
    create = Create(tenant_id="acme", correlation_id="c-1", actor=UUID(_ID), body=body)
    assert create.content() == {
        "verb": "create",
        "campaignId": "None",
        "body": {"name": "Sale", "channel": "sms"},
        "actor": _ID,
        "ifMatch": None,
    }


def test_the_type_is_in_the_header_or_in_the_envelope() -> None:
    data = {"campaignId": _ID, "reason": "lunch", "unknown": {"field": 1}}
    for parsed in (
        parse(envelope(data), "campaign.pause"),
        parse(envelope(data, type="campaign.pause")),
    ):
        assert isinstance(parsed, Pause)
        assert (parsed.verb, parsed.tenant_id, parsed.correlation_id) == (Verb.PAUSE, "acme", "c-1")
        assert parsed.campaign_id == UUID(_ID)
        assert parsed.body == Explanation(reason="lunch")


def test_a_create_names_its_user_and_ignores_unknown_fields() -> None:
    data = {
        "createdBy": _ID,
        "name": " Sale ",
        "channel": "sms",
        "segmentIds": [_ID, _ID],
        "colour": "red",
    }
    parsed = parse(envelope(data), "campaign.create")
    assert isinstance(parsed, Create)
    assert parsed.actor == UUID(_ID)
    assert isinstance(parsed.body, CampaignCreate)
    assert (parsed.body.name, parsed.body.segment_ids) == ("Sale", [UUID(_ID)])


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"{not json", "json"),
        (b"\xff\xfe\x00", "json"),
        (b"[" * 100_000, "envelope"),
        (b'{"tenantId":"acme","correlationId":"c","data":' + b'{"a":' * 100_000, "json"),
        (b"[]", "envelope"),
        (b'"text"', "envelope"),
        (b"{}", "envelope"),
        (envelope(tenantId=""), "envelope"),
        (envelope(tenantId="Acme Inc."), "envelope"),
        (envelope(tenantId=7), "envelope"),
        (envelope(correlationId=""), "envelope"),
        (envelope(correlationId="x" * 129), "envelope"),
        (envelope(correlationId="a\0b"), "envelope"),
        (envelope(data=[1]), "envelope"),
    ],
)
def test_what_cannot_be_answered_is_a_dead_letter(value: bytes | None, code: str) -> None:
    parsed = parse(value, "campaign.start")
    assert isinstance(parsed, Unreadable)
    assert parsed.code == code


@pytest.mark.parametrize(
    ("kind", "data", "field"),
    [
        ("campaign.explode", {}, "type"),
        ("start", {}, "type"),
        ("", {}, "type"),
        ("campaign.start", {}, "campaignId"),
        ("campaign.start", {"campaignId": 5}, "campaignId"),
        ("campaign.start", {"campaignId": "no-uuid"}, "campaignId"),
        ("campaign.create", {"name": "x", "channel": "email"}, "createdBy"),
        ("campaign.create", {"createdBy": _ID, "channel": "email"}, "name"),
        ("campaign.create", {"createdBy": _ID, "name": "x", "channel": "fax"}, "channel"),
        ("campaign.schedule", {"campaignId": _ID}, "scheduledAt"),
    ],
)
def test_a_wrong_command_is_refused_and_names_the_field(
    kind: str, data: dict[str, Any], field: str
) -> None:
    parsed = parse(envelope(data), kind)
    assert isinstance(parsed, Refused)
    assert [wrong.field for wrong in parsed.error.errors] == [field]


@given(st.binary(max_size=300))
def test_no_bytes_raise(value: bytes) -> None:
    assert isinstance(parse(value, "campaign.create"), Unreadable)


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3)
    ),
    max_leaves=8,
)
_FIELDS = [
    "name",
    "channel",
    "segmentIds",
    "settings",
    "throttleConfig",
    "scheduledAt",
    "timezone",
    "campaignId",
    "createdBy",
    "reason",
]


@given(
    st.sampled_from([f"campaign.{verb}" for verb in Verb]),
    st.dictionaries(st.sampled_from(_FIELDS), _json),
)
def test_no_data_raises(kind: str, data: dict[str, Any]) -> None:
    assert isinstance(
        parse(envelope({"campaignId": _ID, "createdBy": _ID, **data}), kind), Command | Refused
    )


@pytest.mark.parametrize(
    ("model", "data", "path", "rule"),
    [
        (CampaignCreate, {"name": "", "channel": "email"}, "name", "at least 1"),
        (CampaignCreate, {"name": "   ", "channel": "email"}, "name", "at least 1"),
        (CampaignCreate, {"name": "x" * 256, "channel": "email"}, "name", "at most 255"),
        (CampaignCreate, {"name": "a\nb", "channel": "email"}, "name", "one line"),
        (
            CampaignCreate,
            {"name": "a", "description": "\0", "channel": "email"},
            "description",
            "NUL",
        ),
        (CampaignCreate, {**_GOOD, "segmentIds": ["x"]}, "segmentIds.0", "UUID"),
        (CampaignCreate, {**_GOOD, "segmentIds": [_ID] * 1001}, "segmentIds", "at most 1000"),
        (
            CampaignCreate,
            {**_GOOD, "throttleConfig": {"messagesPerHour": 99}},
            "throttleConfig.messagesPerHour",
            "100",
        ),
        (
            CampaignCreate,
            {**_GOOD, "throttleConfig": {"messagesPerDay": "9"}},
            "throttleConfig.messagesPerDay",
            "int",
        ),
        (CampaignCreate, {**_GOOD, "timezone": "Mars/Olympus"}, "timezone", "IANA"),
        (CampaignCreate, {**_GOOD, "timezone": "../../etc/passwd"}, "timezone", "IANA"),
        (CampaignCreate, {**_GOOD, "timezone": "America"}, "timezone", "IANA"),
        (CampaignCreate, {**_GOOD, "scheduledAt": 5}, "scheduledAt", "RFC 3339"),
        (CampaignCreate, {**_GOOD, "scheduledAt": "1785000000"}, "scheduledAt", "RFC 3339"),
        (CampaignCreate, {**_GOOD, "scheduledAt": "2026-01-28"}, "scheduledAt", "RFC 3339"),
        (
            CampaignCreate,
            {**_GOOD, "scheduledAt": "9999-12-31T23:59:59-12:00"},
            "scheduledAt",
            "9999",
        ),
        (CampaignCreate, {**_GOOD, "extra": 1}, "extra", "not permitted"),
        (CampaignCreate, {**_GOOD, "settings": {"a": [_DEEP]}}, "settings", "nested more than 10"),
        (CampaignUpdate, {"status": "running"}, "status", "not permitted"),
        (CampaignSchedule, {"scheduledAt": "soon"}, "scheduledAt", "RFC 3339"),
        (Explanation, {"reason": "x" * 201}, "reason", "at most 200"),
    ],
)
def test_every_broken_rule_names_field_and_limit(
    model: type[BaseModel], data: dict[str, Any], path: str, rule: str
) -> None:
    with pytest.raises(CampaignError) as refused:
        validated(model, data, "forbid")
    assert [wrong.field for wrong in refused.value.errors] == [path]
    assert rule in refused.value.errors[0].message
    assert refused.value.status == 422


def test_settings_depend_on_the_channel() -> None:
    email = {"fromName": "Acme", "fromEmail": "news@acme.com", "replyTo": None, "trackOpens": True}
    assert checked_settings("email", email, "forbid") == {
        "fromName": "Acme",
        "fromEmail": "news@acme.com",
        "trackOpens": True,
    }
    assert checked_settings("sms", email, "ignore") == {}
    for channel, settings, field in (
        ("sms", {"fromEmail": "news@acme.com"}, "settings.fromEmail"),
        ("email", {"fromEmail": "news"}, "settings.fromEmail"),
        ("email", {"fromName": "Acme\r\nBcc: x"}, "settings.fromName"),
        ("email", {"trackOpens": "yes"}, "settings.trackOpens"),
        ("push", {"maxLateness": "tomorrow"}, "settings.maxLateness"),
        ("push", {"maxLateness": "PT0S"}, "settings.maxLateness"),
    ):
        with pytest.raises(CampaignError) as refused:
            checked_settings(channel, settings, "forbid")
        assert [wrong.field for wrong in refused.value.errors] == [field]
