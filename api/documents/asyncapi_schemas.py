"""The schemas of records that no definition in `streams/` makes: dead letters, results of commands,
and the headers of Kafka and NATS.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
UUID: Json = {"type": "string", "format": "uuid"}
TEXT: Json = {"type": "string"}
DEAD_LETTER: Json = {
    "type": "object",
    "description": (
        "Input that could not be used. The key is the source position, so a repeat replaces its "
        "first."
    ),
    "required": ["reason", "code", "source", "payload", "headers"],
    "properties": {
        "reason": {**TEXT, "description": "a sentence for people"},
        "code": {**TEXT, "description": "the same for counters; the codes do not change"},
        "source": {
            "type": "object",
            "required": ["topic", "partition", "offset", "timestamp"],
            "properties": {
                "topic": TEXT,
                **{name: {"type": "integer"} for name in ("partition", "offset", "timestamp")},
            },
        },
        "payload": {
            **TEXT,
            "contentEncoding": "base64",
            "description": "the record as it was, its first 500,000 bytes",
        },
        "headers": {"type": "object", "additionalProperties": TEXT},
        "size": {
            "type": "integer",
            "description": "bytes of the whole record, when only its beginning is kept",
        },
    },
}
RESULT: Json = {
    "type": "object",
    "description": (
        "Exactly one for each command that could be read. `outcome` is what a trigger came to."
    ),
    "required": ["command", "accepted"],
    "properties": {
        "command": TEXT,
        "accepted": {"type": "boolean"},
        "campaignId": UUID,
        "outcome": {"type": "object"},
        "error": {
            "type": "object",
            "description": "problem details (RFC 9457), as REST answers them",
            "required": ["type", "title", "status", "detail", "errors", "correlationId"],
            "properties": {
                **dict.fromkeys(("type", "title", "detail", "correlationId"), TEXT),
                "status": {"type": "integer"},
                "errors": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"field": TEXT, "message": TEXT}},
                },
            },
        },
    },
}
_TYPE = {"type": {**TEXT, "description": "the type, such as campaign.started"}}
_ID = {"id": {**TEXT, "description": "unique per record, the same in every repeat of it"}}
TRACE = {"traceparent": {**TEXT, "description": "W3C trace context, when it is known"}}
KAFKA_HEADERS: Json = {
    "type": "object",
    "required": ["type", "id"],
    "properties": {**_TYPE, **_ID, **TRACE},
}
MESSAGE_HEADERS: Json = {
    "type": "object",
    "properties": {
        "delivery": {
            **TEXT,
            "const": "builtin",
            "description": "where it is set, the engine itself delivers the message, by a route of"
            " the tenant: leave it out",
        }
    },
}
NATS_HEADERS: Json = {
    "type": "object",
    "required": ["Nats-Msg-Id", "tenantId"],
    "properties": {
        "Nats-Msg-Id": {
            **TEXT,
            "description": "unique per message, the same in every repeat of it",
        },
        "tenantId": TEXT,
    },
}
