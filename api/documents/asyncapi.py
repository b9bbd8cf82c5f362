"""The AsyncAPI 3.0 document: every public topic and NATS subject, with schemas made from the
definitions in `streams/`.

`python -m api.write_documents` writes docs/reference/asyncapi.json; a test compares the two. A new
verb, event type or public topic without an example here makes that test fail.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from pydantic.json_schema import models_json_schema

from api.documents import asyncapi_examples as examples
from api.documents.asyncapi_examples import (
    AT,
    CAMPAIGN_ID,
    CORRELATION_ID,
    EVENT_ID,
    MESSAGE_ID,
    TENANT,
)
from api.documents.asyncapi_schemas import (
    DEAD_LETTER,
    KAFKA_HEADERS,
    MESSAGE_HEADERS,
    NATS_HEADERS,
    RESULT,
    TEXT,
    TRACE,
    UUID,
    Json,
)
from streams.contracts.commands import BODIES, Verb
from streams.contracts.envelope import SOURCE, VERSION
from streams.contracts.events import TYPES
from streams.records import analytics
from streams.records.message_events import KINDS, MessageEvent
from streams.records.messages import Message
from streams.records.reported_events import Incoming
from streams.records.stats import ShardStats
from streams.topics import TOPICS, Name

FILE = Path(__file__).parents[2] / "docs" / "reference" / "asyncapi.json"
_REF = "#/components/schemas/"
_INTRODUCTION = """
Commands in, events, messages and counts out. JSON is camelCase, times are RFC 3339 in UTC with \
milliseconds, ids are lower-case UUIDs.
Optional fields may be added to any of these records: ignore what you do not know, as we do. A \
break would be a new topic, `….v2`.
Kafka: every consumer of `pipeline.messages.v1` and `campaigns.stats.v1` reads with \
`isolation.level=read_committed`;
`CAMPAIGNS_TOPIC_PREFIX` stands before every name. Access to the topics is the authorisation: a \
command names its tenant itself.
NATS: stream `CAMPAIGNS`; a repeat has the same `Nats-Msg-Id`, which the stream drops within its \
duplicate window.
"""


def document() -> Json:
    """The whole document; it does not depend on the settings."""
    messages = {**_commands(), **_records(), **_events()}
    subjects = [kind for kind, message in messages.items() if kind.startswith("nats.")]
    channels = {str(name): _topic(name, kinds) for name, kinds in _topics().items()}
    channels |= {kind: _subject(kind.removeprefix("nats."), kind) for kind in subjects}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Campaigns",
            "version": version("campaigns"),
            "description": _INTRODUCTION.strip(),
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "kafka.example.com:9092",
                "protocol": "kafka",
                "description": "any Kafka; addresses are settings",
            },
            "nats": {
                "host": "nats.example.com:4222",
                "protocol": "nats",
                "description": "JetStream, stream CAMPAIGNS",
            },
        },
        "channels": channels,
        "operations": {name: _operation(name, channels[name]) for name in channels},
        "components": {"messages": messages, "schemas": dict(sorted(_schemas().items()))},
    }


def _topics() -> dict[Name, list[str]]:
    """The messages of every public topic. Raises KeyError for a public topic that is not described
    here.
    """
    described = {
        Name.COMMANDS: [f"campaign.{verb}" for verb in Verb],
        Name.COMMAND_RESULTS: ["campaign.command-result"],
        Name.EVENTS: list(TYPES.values()),
        Name.MESSAGES: ["message"],
        Name.INCOMING: ["message-event"],
        Name.STATS: ["shard-stats"],
        Name.PERFORMANCE: [analytics.TYPE],
        Name.DEAD_LETTERS: ["dead-letter"],
    }
    return {name: described[name] for name, topic in TOPICS.items() if topic.is_public}


def _topic(name: Name, kinds: Iterable[str]) -> Json:
    return {
        "address": str(name),
        "description": f"Key: {TOPICS[name].key}.",
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {kind: {"$ref": f"#/components/messages/{kind}"} for kind in kinds},
        "bindings": {"kafka": {"topic": str(name), "bindingVersion": "0.5.0"}},
    }


def _subject(address: str, kind: str) -> Json:
    return {
        "address": address,
        "servers": [{"$ref": "#/servers/nats"}],
        "messages": {kind: {"$ref": f"#/components/messages/{kind}"}},
    }


def _operation(name: str, channel: Json) -> Json:
    is_input = name in (Name.COMMANDS, Name.INCOMING)
    return {
        "action": "receive" if is_input else "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": _summary(name, channel),
    }


def _summary(name: str, channel: Json) -> str:
    what = {
        Name.COMMANDS: (
            "Ask for something; REST does the same. A repeated correlationId gets the first result"
        ),
        Name.COMMAND_RESULTS: "What became of a command",
        Name.EVENTS: "What happened to campaigns, in order per campaign",
        Name.MESSAGES: "One message per recipient, ready for a provider",
        Name.INCOMING: "What happened to a message; in any order, any number of times",
        Name.STATS: (
            "Absolute counts of a slice of a campaign: replace by version, add up over shards"
        ),
        Name.PERFORMANCE: "Absolute counts and rates per campaign and variant, for analytics",
        Name.DEAD_LETTERS: "What could not be used, with the reason",
    }
    return next(
        (text for topic, text in what.items() if topic == name), f"`{channel['address']}` on NATS"
    )


def _commands() -> Json:
    made = {}
    for verb in Verb:
        identity = (
            {"createdBy": examples.USER_ID} if verb is Verb.CREATE else {"campaignId": CAMPAIGN_ID}
        )
        data = {**identity, **examples.COMMANDS[verb]}
        made[f"campaign.{verb}"] = _message(
            f"campaign.{verb}",
            _enveloped(_command(verb), None),
            {"type": f"campaign.{verb}"},
            [_envelope("", data)],
            {
                "type": "object",
                "properties": {"type": {**TEXT, "const": f"campaign.{verb}"}, **TRACE},
            },
        )
    return made


def _command(verb: Verb) -> Json:
    identity = "createdBy" if verb is Verb.CREATE else "campaignId"
    return {
        "allOf": [
            {"type": "object", "required": [identity], "properties": {identity: UUID}},
            _schema(BODIES[verb].__name__),
        ]
    }


def _records() -> Json:
    plain: Mapping[str, tuple[Json, Iterable[Mapping[str, Any]]]] = {
        "message": (_schema("Message"), [examples.MESSAGE]),
        "message-event": (_schema("Incoming"), examples.INCOMING.values()),
        "shard-stats": (_schema("ShardStats"), [examples.STATS]),
        "dead-letter": (DEAD_LETTER, [examples.DEAD_LETTER]),
    }
    made = {
        kind: _message(kind, schema, None, shown, None) for kind, (schema, shown) in plain.items()
    }
    schema, shown = plain["message"]
    made["message"] = _message("message", schema, {"delivery": "builtin"}, shown, MESSAGE_HEADERS)
    result, fact = "campaign.command-result", analytics.TYPE
    headers = {"type": result, "id": EVENT_ID}
    results = [_envelope(result, data) for data in examples.RESULTS.values()]
    made[result] = _message(result, _enveloped(RESULT, result), headers, results, KAFKA_HEADERS)
    facts = [_envelope(fact, examples.PERFORMANCE)]
    made[fact] = _message(
        fact,
        _enveloped(_schema("Performance"), fact),
        {"type": fact, "id": EVENT_ID},
        facts,
        KAFKA_HEADERS,
    )
    return made


def _events() -> Json:
    made = {}
    for event, kind in TYPES.items():
        payload, shown = (
            _enveloped(_schema(event.__name__), kind),
            [_envelope(kind, examples.EVENTS[kind])],
        )
        made[kind] = _message(kind, payload, {"type": kind, "id": EVENT_ID}, shown, KAFKA_HEADERS)
        made[f"nats.{kind}"] = _message(
            kind, payload, {"Nats-Msg-Id": EVENT_ID, "tenantId": TENANT}, shown, NATS_HEADERS
        )
    for name in KINDS:
        kind = f"campaign.message.{name}"
        headers = {"Nats-Msg-Id": f"{MESSAGE_ID}:{name}", "tenantId": TENANT}
        shown = [{**_envelope(kind, examples.MESSAGE_EVENTS[name]), "correlationId": MESSAGE_ID}]
        made[f"nats.{kind}"] = _message(
            kind, _enveloped(_schema("MessageEvent"), kind), headers, shown, NATS_HEADERS
        )
    return made


def _message(
    kind: str,
    payload: Json,
    headers: Json | None,
    shown: Iterable[Mapping[str, Any]],
    header_schema: Json | None,
) -> Json:
    extra = {} if headers is None else {"headers": headers}
    made: Json = {"name": kind, "contentType": "application/json", "payload": payload}
    made |= {} if header_schema is None else {"headers": header_schema}
    return made | {"examples": [{**extra, "payload": dict(one)} for one in shown]}


def _enveloped(data: Json, kind: str | None) -> Json:
    """The envelope around `data`. Commands may name their type in the header instead."""
    properties: Json = {
        "version": {**TEXT, "const": VERSION},
        "source": {**TEXT, "const": SOURCE} if kind else TEXT,
        "type": {**TEXT, "const": kind}
        if kind
        else {**TEXT, "description": "needed when the header `type` is missing"},
        "tenantId": TEXT,
        "correlationId": {**TEXT, "minLength": 1, "maxLength": 128},
        "timestamp": {**TEXT, "format": "date-time"},
        "data": data,
    }
    required = ["tenantId", "correlationId", "data"] if kind is None else list(properties)
    return {"type": "object", "required": required, "properties": properties}


def _envelope(kind: str, data: Mapping[str, Any]) -> Json:
    source = SOURCE if kind else "shop"
    head = {
        "version": VERSION,
        "source": source,
        "tenantId": TENANT,
        "correlationId": CORRELATION_ID,
        "timestamp": AT,
    }
    return head | ({"type": kind} if kind else {}) | {"data": dict(data)}


def _schema(name: str) -> Json:
    return {"$ref": _REF + name}


def _schemas() -> Json:
    records = [*TYPES, MessageEvent, Message, Incoming, ShardStats, analytics.Performance]
    _, structs = msgspec.json.schema_components(records, ref_template=_REF + "{name}")
    bodies = sorted(set(BODIES.values()), key=lambda body: body.__name__)
    _, models = models_json_schema(
        [(body, "validation") for body in bodies], ref_template=_REF + "{model}"
    )
    return {name: _portable(schema) for name, schema in {**structs, **models["$defs"]}.items()}


def _portable(schema: Any) -> Any:
    """JSON Schema draft-07, which AsyncAPI speaks; open for unknown fields, which REST refuses and
    Kafka ignores.
    """
    if isinstance(schema, list):
        return [_portable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "prefixItems" in schema:  # draft 2020-12's word for a tuple
        schema = {**schema, "items": schema["prefixItems"], "additionalItems": False}
    made = {
        name: _portable(value)
        for name, value in schema.items()
        if (name, value) != ("additionalProperties", False)
    }
    made.pop("prefixItems", None)
    said = made.get("description")
    return made | ({"description": " ".join(said.split())} if isinstance(said, str) else {})


def text() -> str:
    """The document as it is stored."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"
