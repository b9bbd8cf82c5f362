"""Whether somebody whom a triggered campaign has had may be triggered again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from streams.contracts.bodies import validated
from streams.contracts.triggers import MOST_AT_ONCE, CampaignTrigger, Reentry
from streams.errors import CampaignError

NOW = datetime(2026, 1, 28, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("policy", "barred", "free"),
    [
        ({}, timedelta(days=20_000), None),
        ({"policy": "never"}, timedelta(microseconds=1), None),
        ({"policy": "always"}, None, timedelta(0)),
        (
            {"policy": "after", "after": "P7D"},
            timedelta(days=7, microseconds=-1),
            timedelta(days=7),
        ),
        ({"policy": "after", "after": "PT1S"}, timedelta(0), timedelta(seconds=1)),
        ({"policy": "after", "after": "P9000Y"}, timedelta(days=20_000), None),
    ],
)
def test_who_entered_within_the_time_is_barred_and_nobody_else(
    policy: dict[str, str], barred: timedelta | None, free: timedelta | None
) -> None:
    since = Reentry.model_validate(policy).bars_since(NOW)
    if barred is not None:
        assert since is not None
        assert NOW - barred > since
    if free is not None:
        assert since is None or NOW - free <= since


@pytest.mark.parametrize(
    "wrong",
    [
        {"policy": "after"},
        {"policy": "never", "after": "P7D"},
        {"policy": "always", "after": "P7D"},
        {"after": "P7D"},
    ],
)
def test_a_time_belongs_to_the_policy_after_and_to_no_other(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match='belongs to the policy "after" and to no other'):
        Reentry.model_validate(wrong)


@pytest.mark.parametrize(
    ("count", "is_right"), [(0, False), (1, True), (10_000, True), (10_001, False)]
)
def test_a_trigger_names_1_to_10_000_contacts(count: int, is_right: bool) -> None:
    assert MOST_AT_ONCE == 10_000
    body = {"contactIds": [str(UUID(int=number)) for number in range(count)]}
    if is_right:
        made = validated(CampaignTrigger, body, "forbid")
        assert [contact.int for contact in made.contact_ids] == list(range(count))
    else:
        with pytest.raises(CampaignError, match=r"^contactIds: "):
            validated(CampaignTrigger, body, "forbid")


def test_a_contact_that_is_named_twice_is_triggered_twice() -> None:
    """The order and the repeats are the caller's; the policy decides about the second time."""
    twice = [str(UUID(int=1)), str(UUID(int=1))]
    assert len(validated(CampaignTrigger, {"contactIds": twice}, "forbid").contact_ids) == 2
