"""The ids of the directory in a command's body: every one, and no other."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from streams.contracts.ab_tests import AbTest
from streams.contracts.bodies import CampaignCreate, CampaignUpdate, Explanation, validated
from streams.contracts.commands import BODIES
from streams.contracts.fields import Body, References
from streams.contracts.triggers import CampaignTrigger

ONE, TWO, THREE, FOUR = (UUID(int=number) for number in range(1, 5))
TEST: dict[str, Any] = {
    "variants": [
        {"variantId": "A", "name": "a", "weight": 50, "templateId": str(THREE)},
        {"variantId": "B", "name": "b", "weight": 50},
    ],
    "winnerCriteria": "open_rate",
    "testDurationHours": 4,
    "testSamplePercent": 20,
}
NAMING: dict[str, Any] = {
    "templateId": str(ONE),
    "segmentIds": [str(TWO)],
    "excludeSegmentIds": [str(FOUR)],
    "abTestConfig": TEST,
}


@pytest.mark.parametrize("body", [CampaignCreate, CampaignUpdate])
def test_a_campaign_names_its_segments_its_template_and_those_of_its_variants(
    body: type[CampaignCreate | CampaignUpdate],
) -> None:
    given = {"name": "n", "channel": "email", **NAMING}
    expected = References(segments=(TWO, FOUR), templates=(ONE, THREE))
    assert validated(body, given, "forbid").references == expected
    bare = validated(body, {"name": "n", "channel": "email"}, "forbid")
    assert bare.references == References()


def test_a_change_to_null_names_nothing() -> None:
    nulls = dict.fromkeys(NAMING)
    assert validated(CampaignUpdate, nulls, "forbid").references == References()


def test_a_test_names_templates_and_a_trigger_names_contacts_in_their_order() -> None:
    assert validated(AbTest, TEST, "forbid").references == References(templates=(THREE,))
    given = {"contactIds": [str(TWO), str(ONE)]}
    assert validated(CampaignTrigger, given, "forbid").references == References(contacts=(TWO, ONE))
    assert Explanation().references == References()


def test_every_body_with_ids_says_which() -> None:
    """A new body, or a new field of one, must not be forgotten."""
    for body in set(BODIES.values()):
        has_ids = any(_holds_ids(field.annotation) for field in body.model_fields.values())
        assert has_ids == (body.references is not Body.references), body


def _holds_ids(kind: Any) -> bool:
    inner = getattr(kind, "__args__", ())
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        inner = tuple(field.annotation for field in kind.model_fields.values())
    return kind is UUID or any(_holds_ids(one) for one in inner)
