"""The envelope of every answer that is no problem document, and the base of what stands in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

from streams.contracts.envelope import rfc3339

T = TypeVar("T")
Instant = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class Schema(BaseModel):
    """A part of an answer: camelCase on the wire, nulls included, times with milliseconds."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        frozen=True,
    )

    @classmethod
    def of_row(cls, row: object, **more: Any) -> Self:
        """The attributes of `row` that have a field here; `more` stands beside or in place."""
        if not more:
            return cls.model_validate(row, from_attributes=True, by_alias=False, by_name=True)
        found = {name: getattr(row, name) for name in cls.model_fields if name not in more}
        return cls.model_validate(found | more, by_alias=False, by_name=True)


def shown_as(example: Any) -> ConfigDict:
    """The `model_config` of a schema whose example in the API's documentation is this one."""
    return ConfigDict(json_schema_extra={"examples": [example]})


def shown_by(schema: type[BaseModel]) -> Any:
    """The example that `shown_as` gave the schema; None when it has none."""
    extra = schema.model_config.get("json_schema_extra")
    examples = extra.get("examples") if isinstance(extra, dict) else None
    return examples[0] if isinstance(examples, list) else None


def asks(example: Any) -> dict[str, Any]:
    """The `openapi_extra` of a route whose body has this example."""
    return {"requestBody": {"content": {"application/json": {"example": example}}}}


def answers(status: int, data: Any) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route whose answer has another example than its schema."""
    example = {"success": True, "data": data}
    return {status: {"content": {"application/json": {"example": example}}}}


def _is_absent(value: object) -> bool:
    return value is None


def _without_null(schema: dict[str, Any]) -> None:
    [kind] = [kind for kind in schema.pop("anyOf") if kind != {"type": "null"}]
    schema.pop("default", None)
    schema |= kind


def sometimes(description: str | None = None) -> Any:
    """A field that is left out of the answer when it has no value, instead of being null."""
    return Field(
        default=None,
        exclude_if=_is_absent,
        description=description,
        json_schema_extra=_without_null,
    )


def _name(kind: type[Any]) -> str:
    return getattr(kind, "__name__", "Empty")


class Envelope(BaseModel):
    """The members of every answer."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)

    success: Literal[True] = True


class Success(Envelope, Generic[T]):
    """One thing."""

    data: T

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{_name(params[0])}Answer"


class PageMeta(Schema):
    """A list that is read by page number."""

    model_config = shown_as({"page": 1, "pageSize": 20, "total": 1, "totalPages": 1})

    page: int
    page_size: int
    total: int
    total_pages: int


class Page(Envelope, Generic[T]):
    """A page of a list."""

    data: list[T]
    meta: PageMeta

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[0].__name__}Page"


class CursorMeta(Schema):
    """A list that is read by cursor; `nextCursor` is null at the end."""

    model_config = shown_as({"limit": 100, "nextCursor": None})

    limit: int
    next_cursor: UUID | None


class Slice(Envelope, Generic[T]):
    """A part of a list that is too long for page numbers."""

    data: list[T]
    meta: CursorMeta

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[0].__name__}Slice"


def success(data: T) -> Success[T]:
    """The body of an answer about one thing."""
    return Success(data=data)


def page_of(found: Sequence[T], page: int, size: int, total: int) -> Page[T]:
    """The body of an answer that lists: page number `page` of `size` things, of `total`."""
    meta = PageMeta(page=page, page_size=size, total=total, total_pages=-(-total // size))
    return Page(data=list(found), meta=meta)
