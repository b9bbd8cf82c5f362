"""JSON Schemas of answers, made of the values that they hold (api/documents/shapes.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from api.documents.shapes import SHAPES, Progress, Waiting
from tables.campaigns.campaign import INTERNAL

_REF = "#/components/schemas/"


def answer(operation: str) -> dict[str, Any]:
    """The schema of the body of a success. Raises KeyError for an operation without a shape."""
    shape = SHAPES[operation]
    one = {"$ref": _REF + shape.of.__name__}
    members = {
        "success": {"const": True},
        "data": one if shape.meta is None else {"type": "array", "items": one},
    }
    if shape.meta is not None:
        members["meta"] = {"$ref": _REF + shape.meta.__name__}
    return {"type": "object", "required": list(members), "properties": members}


def components() -> dict[str, Any]:
    """The schemas that the answers name. Answers hold every field, nulls included, so all of them
    are required.
    """
    kinds = {kind for shape in SHAPES.values() for kind in (shape.of, shape.meta) if kind} | {
        Waiting,
        Progress,
    }
    _, found = msgspec.json.schema_components(
        sorted(kinds, key=lambda kind: kind.__name__), ref_template=_REF + "{name}"
    )
    made = {name: _complete(schema) for name, schema in found.items()}
    return made | dict(_campaign(made["Campaign"]))


def _complete(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What has a default is there all the same; only what the struct leaves unset may be missing."""
    if schema.get("type") != "object":
        return dict(schema)
    members, needed = schema["properties"], schema.get("required", ())
    required = [name for name, member in members.items() if name in needed or "default" in member]
    plain = {
        name: {key: value for key, value in member.items() if key != "default"}
        for name, member in members.items()
    }
    return {
        **schema,
        "description": " ".join(schema.get("description", "").split()),
        "properties": plain,
        "required": required,
    }


def _campaign(row: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Without the fields that are never shown; the answers of pause and cancel also hold
    `inFlight`, those of reads the live side.
    """
    members = {name: member for name, member in row["properties"].items() if name not in INTERNAL}
    still = "after pause and cancel: how many still go out; null while that has not been read from Kafka"
    flying = {"inFlight": {"type": ["integer", "null"], "description": still}}
    text = "`version` grows with every change and is the ETag."
    yield (
        "Campaign",
        {**row, "description": text, "properties": members | flying, "required": list(members)},
    )
    live = {
        "waiting": {"anyOf": [{"$ref": _REF + "Waiting"}, {"type": "null"}]},
        "progress": {"anyOf": [{"$ref": _REF + "Progress"}, {"type": "null"}]},
    }
    shown = {"type": "object", "properties": live, "required": list(live)}
    yield (
        "ShownCampaign",
        {
            "allOf": [{"$ref": _REF + "Campaign"}, shown],
            "description": "With its live side; null: nothing is in the way",
        },
    )
