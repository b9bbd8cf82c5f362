"""Performance facts: ids that a repeat shares, and records that say nothing they do not know."""

from __future__ import annotations

import json
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from streams.records.analytics import Performance, enveloped, record_id

keys = st.tuples(
    st.sampled_from([UUID(int=1), UUID(int=2)]),
    st.integers(0, 3),
    st.sampled_from([None, "A", "B"]),
)


@given(keys, keys)
def test_two_records_share_an_id_only_when_they_say_the_same(
    one: tuple[UUID, int, str | None], other: tuple[UUID, int, str | None]
) -> None:
    assert (record_id(*one) == record_id(*other)) == (one == other)


def test_ids_stay_what_they_are_from_release_to_release() -> None:
    assert record_id(UUID(int=1), 7, "A") == UUID("b81829e1-efb5-5674-a8c1-b8fa60818629")


def fact(**more: object) -> Performance:
    counts = {name: 0 for name in Performance.__struct_fields__ if name.endswith("_count")}
    rates = dict.fromkeys(("open_rate", "click_rate", "bounce_rate"), 0.0)
    fields = {
        "campaign_id": "c",
        "campaign_name": "Sale",
        "channel": "sms",
        "type": "one_time",
        "status": "running",
        "at": "2026-01-28T09:00:00.000Z",
        "revision": 1,
        "is_complete": False,
        "total_recipients": 5,
    }
    return Performance(**{**fields, **counts, **rates, **more})  # type: ignore[arg-type]


def test_the_record_of_a_campaign_has_every_count_and_no_word_of_variants() -> None:
    read = json.loads(enveloped(fact(), "acme", "order-7", "2026-01-28T09:00:01.000Z"))
    assert (read["tenantId"], read["correlationId"], read["type"]) == (
        "acme",
        "order-7",
        "campaign.performance",
    )
    assert (read["timestamp"], read["data"]["at"]) == (
        "2026-01-28T09:00:01.000Z",
        "2026-01-28T09:00:00.000Z",
    )
    assert {"sentCount", "machineClickedCount", "openRate", "isComplete"} <= set(read["data"])
    assert not {"variantId", "isWinner", "parentId"} & set(read["data"])


def test_the_record_of_a_variant_names_it_and_says_whether_it_has_won() -> None:
    lost = fact(variant_id="B", is_winner=False, parent_id="p")
    data = json.loads(enveloped(lost, "acme", "", ""))["data"]
    assert (data["variantId"], data["isWinner"], data["parentId"]) == ("B", False, "p")
