"""The AsyncAPI document: stored as generated, complete by construction, true in its examples and of
what the code really writes.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jsonschema_rs
import msgspec
import pytest

from agents.sending.commands import result
from api.documents import asyncapi
from api.documents import asyncapi_examples as examples
from connectors.nats.messages import of_message_events
from streams.contracts.commands import Command, Verb, parse
from streams.contracts.envelope import Record
from streams.contracts.events import TYPES
from streams.errors import IllegalTransitionError
from streams.records.dead_letters import dead_letter
from streams.records.facts import Batch, Group, Kind, pack
from streams.records.message_events import KINDS, MessageEvent
from streams.records.message_id import MessageIds
from streams.topics import TOPICS
from tables.campaigns.numbers import NumberedCampaign
from tables.commands.answers import Answer, Refusal

_DOCUMENT = asyncapi.document()
_MESSAGES = _DOCUMENT["components"]["messages"]
_AT = datetime(2026, 1, 28, 9, tzinfo=UTC)


def _check(schema: dict[str, Any], value: object) -> None:
    """With the document's own definitions. Raises jsonschema_rs.ValidationError."""
    jsonschema_rs.validator_for(
        {**schema, "components": _DOCUMENT["components"]}, validate_formats=True
    ).validate(value)


def test_the_stored_document_is_the_generated_one() -> None:
    assert asyncapi.FILE.read_text() == asyncapi.text(), "run `python -m api.write_documents`"


def test_every_public_topic_verb_event_and_outcome_has_its_message() -> None:
    addresses = {channel["address"] for channel in _DOCUMENT["channels"].values()}
    subjects = {*TYPES.values(), *(f"campaign.message.{kind}" for kind in KINDS)}
    assert addresses == {str(name) for name, topic in TOPICS.items() if topic.is_public} | subjects
    assert {f"campaign.{verb}" for verb in Verb} | set(TYPES.values()) | {
        f"nats.{kind}" for kind in subjects
    } <= set(_MESSAGES)
    assert (
        set(examples.COMMANDS) == set(Verb)
        and set(examples.EVENTS) == set(TYPES.values())
        and set(examples.MESSAGE_EVENTS) == set(KINDS)
    )


@pytest.mark.parametrize("name", sorted(_MESSAGES))
def test_every_example_is_what_its_schema_says(name: str) -> None:
    message = _MESSAGES[name]
    assert message["examples"], name
    for example in message["examples"]:
        _check(message["payload"], example["payload"])
        if "headers" in message:
            _check(message["headers"], example["headers"])
    with pytest.raises(jsonschema_rs.ValidationError):
        _check(message["payload"], {})


def test_every_reference_leads_somewhere() -> None:
    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            inner = [
                found
                for name, each in value.items()
                if name != "$ref"
                for found in references(each)
            ]
            return inner + ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
        return (
            [found for each in value for found in references(each)]
            if isinstance(value, list)
            else []
        )

    for reference in references(_DOCUMENT):
        where: Any = _DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            where = where[part]


@pytest.mark.parametrize("verb", list(Verb))
def test_the_example_of_a_command_is_carried_out_as_written(verb: Verb) -> None:
    example = _MESSAGES[f"campaign.{verb}"]["examples"][0]
    command = parse(json.dumps(example["payload"]).encode(), example["headers"]["type"])
    assert isinstance(command, Command) and command.verb is verb


def test_the_examples_of_records_decode_into_their_structs_without_a_field_left_over() -> None:
    for event, kind in TYPES.items():
        _strictly(event, examples.EVENTS[kind])
    for said in examples.MESSAGE_EVENTS.values():
        _strictly(MessageEvent, said)


def _strictly(kind: type[Record], data: Any) -> None:
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    msgspec.convert(data, kind)
    assert set(data) <= known, kind


def test_what_the_code_writes_is_what_the_document_says() -> None:
    refused = Answer(
        409, refusal=Refusal.of(IllegalTransitionError("A completed campaign cannot be started."))
    )
    accepted = Answer(200, campaign={"id": examples.CAMPAIGN_ID})
    for answer in (refused, accepted):
        value = json.loads(result("acme", "c-1", "campaign.start", answer, _AT))
        _check(_MESSAGES["campaign.command-result"]["payload"], value)
    for payload in (b"{", b"", b"x" * 600_000):
        _, value_bytes = dead_letter(
            "not JSON", "json", "t", 0, 7, 1, payload, [("type", b"x"), ("none", None)]
        )
        _check(_MESSAGES["dead-letter"]["payload"], json.loads(value_bytes))


def test_what_the_bridge_publishes_about_messages_is_what_the_document_says() -> None:
    campaign, ids = (
        NumberedCampaign(42, UUID(examples.CAMPAIGN_ID), "acme", "email", 0),
        MessageIds((b"k" * 32,)),
    )
    groups = [
        Group(kind, pack([3]), pack([0]), variant, detail)
        for kind in Kind
        for variant in (None, "B")
        for detail in (None, "hard:550 5.1.1: no such user", ":reason", "soft:")
    ]
    seen = set()
    for published in of_message_events(
        Batch("acme", 42, 0, 1_795_000_000, tuple(groups)), campaign, ids, ""
    ):
        kind = f"nats.{published.subject}"
        value = json.loads(published.payload)
        _check(_MESSAGES[kind]["payload"], value)
        _strictly(MessageEvent, value["data"])
        seen.add(kind)
    assert seen == {f"nats.campaign.message.{kind}" for kind in KINDS}
