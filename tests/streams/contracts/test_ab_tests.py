"""Who gets which variant: exact, interleaved, the same for ever; and the rules of an A/B test's
body.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.contracts.ab_tests import BLOCK, AbTest, Sample, Winner, sample
from streams.contracts.bodies import validated
from streams.contracts.commands import Command, Verb, parse
from streams.errors import CampaignError

IDS = ("A", "B", "C", "D", "E")


def body(*weights: int, percent: int = 20, **more: Any) -> dict[str, Any]:
    variants = [
        {"variantId": name, "name": f"Variant {name}", "weight": weight}
        for name, weight in zip(IDS, weights, strict=False)
    ]
    return {
        "variants": variants,
        "winnerCriteria": "open_rate",
        "testDurationHours": 4,
        "testSamplePercent": percent,
        **more,
    }


def ab_test(*weights: int, percent: int = 20, **more: Any) -> AbTest:
    return validated(AbTest, body(*weights, percent=percent, **more), "forbid")


@st.composite
def weights(draw: st.DrawFn) -> tuple[int, ...]:
    """2 to 5 that sum to 100; some may be 0."""
    cuts = sorted(draw(st.lists(st.integers(0, 100), min_size=1, max_size=4)))
    return tuple(b - a for a, b in zip([0, *cuts], [*cuts, 100], strict=True))


def assigned(split: Sample) -> list[str]:
    variants = [split.variant(ordinal) for ordinal in range(split.cut)]
    assert split.variant(split.cut) is None
    assert None not in variants
    return [variant for variant in variants if variant]


@given(weights(), st.integers(0, 3000), st.integers(1, 100))
def test_the_sample_is_exact(shares: tuple[int, ...], total: int, percent: int) -> None:
    split = sample(ab_test(*shares, percent=percent), total)
    contenders = sum(1 for share in shares if share)
    exact = total * percent / 100
    assert split.cut <= total
    assert abs(split.cut - exact) <= 0.5 or split.cut == min(total, contenders)
    counts = Counter(assigned(split))
    assert set(counts) <= {name for name, share in zip(IDS, shares, strict=False) if share}
    if total >= contenders:
        assert len(counts) == contenders  # everybody who has a weight is tried
    if split.cut >= BLOCK:
        for name, share in zip(IDS, shares, strict=False):
            assert (
                abs(counts[name] - split.cut * share / 100) < 1
            )  # the quota rule of the largest remainder


@given(weights(), st.integers(100, 3000))
def test_every_prefix_of_the_sample_is_near_the_weights(
    shares: tuple[int, ...], total: int
) -> None:
    seen = Counter[str]()
    for sent, variant in enumerate(assigned(sample(ab_test(*shares, percent=100), total)), 1):
        seen[variant] += 1
        assert all(
            abs(seen[name] - sent * share / 100) < 2
            for name, share in zip(IDS, shares, strict=False)
        )


@given(weights(), st.integers(0, 10_000), st.integers(1, 100))
def test_the_same_test_and_audience_make_the_same_sample(
    shares: tuple[int, ...], total: int, percent: int
) -> None:
    assert sample(ab_test(*shares, percent=percent), total) == sample(
        ab_test(*shares, percent=percent), total
    )


def test_two_halves_alternate() -> None:
    split = sample(ab_test(50, 50), 1000)
    assert (split.cut, "".join(assigned(split))) == (200, "AB" * 100)


@pytest.mark.parametrize(
    ("total", "percent", "cut"),
    [
        (0, 20, 0),
        (1, 20, 1),
        (2, 1, 2),
        (5, 10, 2),
        (249, 1, 2),
        (250, 1, 3),
        (10, 25, 3),
        (10, 100, 10),
    ],
)
def test_the_sample_is_rounded_half_up_and_holds_every_variant(
    total: int, percent: int, cut: int
) -> None:
    assert sample(ab_test(50, 50, percent=percent), total).cut == cut


def test_what_is_left_over_after_whole_blocks_is_split_by_itself() -> None:
    """Two of 102 are left over: one for each variant, whichever would begin another block."""
    assert Counter(assigned(sample(ab_test(49, 51, percent=100), 102))) == {"A": 50, "B": 52}


@given(weights(), st.integers(0, 3000), st.integers(1, 100))
def test_the_rest_of_a_sample_holds_as_many_places_as_whole_blocks_leave(
    shares: tuple[int, ...], total: int, percent: int
) -> None:
    split = sample(ab_test(*shares, percent=percent), total)
    assert (len(split.block), len(split.rest)) == (BLOCK, split.cut % BLOCK)


@pytest.mark.parametrize(
    ("shares", "left_over", "split"),
    [
        ((60, 30, 10), 7, {"A": 4, "B": 2, "C": 1}),  # 4.2, 2.1 and 0.7
        ((34, 66), 3, {"A": 1, "B": 2}),  # 1.02 and 1.98
        ((45, 45, 10), 3, {"A": 2, "B": 1}),  # 1.35, 1.35 and 0.3
        ((50, 50), 0, {}),
        ((50, 50), 1, {"A": 1}),
        ((20, 80), 1, {"B": 1}),
    ],
)
def test_what_is_left_over_goes_to_the_largest_remainder_then_to_the_first_variant(
    shares: tuple[int, ...], left_over: int, split: dict[str, int]
) -> None:
    assert Counter(sample(ab_test(*shares, percent=100), BLOCK + left_over).rest) == split


@pytest.mark.parametrize(("total", "split"), [(3, "ABC"), (4, "AABC")])
def test_a_place_for_each_variant_is_taken_from_the_one_with_the_most(
    total: int, split: str
) -> None:
    assert Counter(sample(ab_test(98, 1, 1, percent=100), total).rest) == Counter(split)


def test_a_small_sample_has_one_of_each_however_small_the_weight() -> None:
    assert Counter(assigned(sample(ab_test(98, 1, 1), 20))) == {"A": 2, "B": 1, "C": 1}


@pytest.mark.parametrize(
    ("wrong", "field", "says"),
    [
        (body(100), "variants", "at least 2"),
        (
            {"variants": [body(20)["variants"][0] | {"variantId": str(n)} for n in range(6)]},
            "variants",
            "at most 5",
        ),
        (body(50, 49), "variants", "sum to 100, they sum to 99"),
        ({"variants": body(50)["variants"] * 2}, "variants", "every variantId must occur once"),
        (body(101, -1), "variants.0.weight", "less than or equal to 100"),
        ({"testDurationHours": 0}, "testDurationHours", "greater than 0"),
        ({"testDurationHours": 168.01}, "testDurationHours", "less than or equal to 168"),
        ({"testSamplePercent": 0}, "testSamplePercent", "greater than or equal to 1"),
        ({"testSamplePercent": 101}, "testSamplePercent", "less than or equal to 100"),
        ({"testSamplePercent": 20.5}, "testSamplePercent", "integer"),
        ({"winnerCriteria": "revenue"}, "winnerCriteria", "open_rate"),
        ({"winnerCriteria": "custom"}, "winnerCriteria", "customCriteria are needed"),
        (
            {"customCriteria": {"numerator": "replied"}},
            "winnerCriteria",
            "customCriteria are needed",
        ),
        (
            {
                "winnerCriteria": "custom",
                "customCriteria": {"numerator": "opened", "denominator": "opened"},
            },
            "customCriteria.denominator",
            "100 percent",
        ),
        ({"onTie": "flip a coin"}, "onTie", "extend"),
        ({"colour": "red"}, "colour", "not permitted"),
    ],
    ids=str,
)
def test_a_broken_rule_is_named_with_its_field_and_limit(
    wrong: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(CampaignError) as refused:
        validated(AbTest, body(50, 50) | wrong, "forbid")
    assert field in [error.field for error in refused.value.errors]
    assert says in refused.value.detail


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {
                "winnerCriteria": "custom",
                "customCriteria": {"numerator": "opened", "denominator": "opened"},
            },
            "must not be the numerator: the rate would always be 100 percent",
        ),
        ({"variants": body(50)["variants"] * 2}, "every variantId must occur once"),
        (
            {"winnerCriteria": "custom"},
            'customCriteria are needed for "custom", and for nothing else',
        ),
    ],
    ids=["numerator", "variantId", "customCriteria"],
)
def test_a_rule_of_a_test_alone_is_told_in_one_sentence(
    wrong: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(CampaignError) as refused:
        validated(AbTest, body(50, 50) | wrong, "forbid")
    assert [error.message for error in refused.value.errors] == [sentence]


def test_a_stored_test_is_json_with_its_templates_as_text() -> None:
    given = body(50, 50)
    given["variants"][1]["templateId"] = "550e8400-e29b-41d4-a716-446655440000"
    stored = validated(AbTest, given, "forbid").stored()
    assert json.loads(json.dumps(stored)) == stored
    assert stored["variants"] == given["variants"]


def test_the_specifications_body_is_stored_as_it_came_with_the_defaults() -> None:
    specified = {
        "variants": [
            {"variantId": "A", "name": "Short Subject", "subject": "Big Sale!", "weight": 50},
            {
                "variantId": "B",
                "name": "Long Subject",
                "subject": "Exclusive Sale - Up to 70% Off!",
                "weight": 50,
            },
        ],
        "winnerCriteria": "open_rate",
        "testDurationHours": 4,
        "testSamplePercent": 20,
    }
    policies = {"onTie": "best", "onTooFew": "best", "minimumDelivered": 30, "confidence": 0.95}
    stored = validated(AbTest, specified, "forbid").stored()
    assert stored == specified | policies
    assert str(stored["testDurationHours"]) == "4"
    assert validated(AbTest, stored, "forbid").stored() == stored


@pytest.mark.parametrize("denominator", ["sent", "delivered", "opened"])
def test_the_criteria_of_a_custom_test_are_those_that_it_names(denominator: str) -> None:
    named = {"numerator": "clicked", "denominator": denominator, "best": "lowest"}
    test = ab_test(50, 50, winnerCriteria="custom", customCriteria=named)
    assert test.criteria.model_dump() == named
    assert test.stored()["customCriteria"] == named


@pytest.mark.parametrize(
    ("criteria", "numerator"), [("open_rate", "opened"), ("click_rate", "clicked")]
)
def test_a_rate_with_a_name_is_the_highest_share_of_the_deliveries(
    criteria: str, numerator: str
) -> None:
    assert ab_test(50, 50, winnerCriteria=criteria).criteria.model_dump() == {
        "numerator": numerator,
        "denominator": "delivered",
        "best": "highest",
    }


@pytest.mark.parametrize("hours", [0.25, 4, 168])
def test_a_test_lasts_as_many_hours_as_it_says(hours: float) -> None:
    test = ab_test(50, 50, testDurationHours=hours)
    assert test.duration == timedelta(hours=hours)
    assert test.stored()["testDurationHours"] == hours


def test_both_kafka_commands_are_read_as_rest_reads_its_bodies() -> None:
    campaign = "550e8400-e29b-41d4-a716-446655440000"

    def command(kind: str, **data: Any) -> Command:
        envelope = {
            "version": "1.0",
            "tenantId": "acme",
            "correlationId": "c",
            "timestamp": "2026-01-28T09:00:00.000Z",
        }
        parsed = parse(
            json.dumps({**envelope, "data": {"campaignId": campaign, **data}}).encode(), kind
        )
        assert isinstance(parsed, Command)
        return parsed

    made = command("campaign.ab-test.create", **body(50, 50), unknown="is ignored")
    assert (made.verb, made.body) == (Verb.AB_TEST, ab_test(50, 50))
    won = command("campaign.ab-test.declare-winner", variantId="B")
    assert (won.verb, won.body) == (Verb.WINNER, validated(Winner, {"variantId": "B"}, "forbid"))
