"""The envelope of answers: one spelling of names, times and absent values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from api.http.envelope import (
    Instant,
    Page,
    Schema,
    Success,
    page_of,
    shown_as,
    shown_by,
    sometimes,
    success,
)
from streams.contracts.envelope import rfc3339


class Parcel(Schema):
    """A schema with every kind of field."""

    model_config = shown_as({"parcelId": "00000000-0000-0000-0000-000000000007"})

    parcel_id: UUID
    sent_at: Instant | None
    is_lost: bool | None = sometimes("only of a lost one")


@dataclass
class Row:
    """A row with more columns than are shown."""

    parcel_id: UUID
    sent_at: datetime | None
    secret: str = "s"


_ID = UUID(int=7)


def test_names_are_camel_case_nulls_stay_and_absent_values_are_left_out() -> None:
    shown = Parcel.of_row(Row(_ID, None), is_lost=None)
    assert json.loads(success(shown).model_dump_json()) == {
        "success": True,
        "data": {"parcelId": str(_ID), "sentAt": None},
    }
    lost = Parcel.of_row(Row(_ID, None), is_lost=True)
    assert json.loads(lost.model_dump_json())["isLost"] is True


@given(
    st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(9998, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
)
def test_times_are_spelled_as_everywhere_and_survive_being_remembered(
    local: datetime, minutes: int
) -> None:
    at = local.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    remembered = Parcel.of_row(Row(_ID, at), is_lost=None).model_dump(mode="json", by_alias=True)
    assert remembered["sentAt"] == rfc3339(at)
    assert Parcel.model_validate(remembered).model_dump(mode="json") == remembered


def test_a_page_counts_its_pages_and_the_last_one_may_be_short() -> None:
    for total, pages in ((0, 0), (1, 1), (20, 1), (21, 2)):
        meta = page_of([], 1, 20, total).meta
        assert (meta.total_pages, meta.total, meta.page_size) == (pages, total, 20)


def test_the_schema_requires_what_is_always_there_and_gives_the_example() -> None:
    described = TypeAdapter(Success[Parcel]).json_schema(mode="serialization")
    assert set(described["required"]) == {"success", "data"}
    parcel = described["$defs"]["Parcel"]
    assert set(parcel["required"]) == {"parcelId", "sentAt"}
    assert parcel["properties"]["isLost"]["type"] == "boolean"
    assert parcel["properties"]["sentAt"]["anyOf"][0]["format"] == "date-time"
    assert shown_by(Parcel) == {"parcelId": str(_ID)}
    assert (Success[Parcel].__name__, Page[Parcel].__name__) == ("ParcelAnswer", "ParcelPage")


def test_an_example_is_that_of_its_own_schema() -> None:
    class Bare(Schema):
        at: Instant

    assert shown_by(Bare) is None
    assert Bare(at=datetime(2026, 1, 1, tzinfo=UTC)).model_dump(mode="json") == {
        "at": "2026-01-01T00:00:00.000Z"
    }
