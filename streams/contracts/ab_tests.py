"""A/B tests: their bodies, one definition for REST and Kafka, and the variant of each recipient of
an audience. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator

from streams.contracts.fields import Body, References
from streams.contracts.values.one_line import one_line

FEWEST, MOST = 2, 5  # variants (specification, section 9)
BLOCK = 100  # ordinals in which every weight, a whole number of percent, is met exactly

VariantId = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=50),
    AfterValidator(one_line),
]
_VariantName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(one_line),
]
_Subject = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(one_line)]
_Percent = Annotated[int, Field(strict=True, ge=0, le=100)]
_Hours = Annotated[float, Field(strict=True, gt=0, le=168)]
Policy = Literal["best", "extend", "manual"]


class Variant(Body):
    """One version of the messages. Without `templateId` it has the campaign's template; `subject`
    replaces that of the template.
    """

    variant_id: VariantId
    name: _VariantName
    template_id: UUID | None = None
    subject: _Subject | None = None
    weight: _Percent


class CustomCriteria(Body):
    """Recipients with `numerator` per recipients with `denominator`, people only; the best variant
    has the highest or lowest share.
    """

    numerator: Literal["opened", "clicked", "replied", "unsubscribed", "complained"]
    denominator: Literal["sent", "delivered", "opened"] = "delivered"
    best: Literal["highest", "lowest"] = "highest"

    @field_validator("denominator")
    @classmethod
    def _differs(cls, denominator: str, known: ValidationInfo) -> str:
        if denominator == known.data.get("numerator"):
            raise ValueError("must not be the numerator: the rate would always be 100 percent")
        return denominator


_RATES: Mapping[str, CustomCriteria] = {
    "open_rate": CustomCriteria(numerator="opened"),
    "click_rate": CustomCriteria(numerator="clicked"),
}


class AbTest(Body):
    """The body of `POST /campaigns/{id}/ab-test` and of `campaign.ab-test.create`, and
    `abTestConfig` of a campaign.

    `onTie` is the policy of a test without a clear winner, `onTooFew` that of a test with a variant
    that fewer than `minimumDelivered` people got: the best so far wins, the test goes on once for
    the same time, or a person decides.
    """

    variants: Annotated[list[Variant], Field(min_length=FEWEST, max_length=MOST)]
    custom_criteria: CustomCriteria | None = None
    winner_criteria: Literal["open_rate", "click_rate", "custom"]
    test_duration_hours: _Hours
    test_sample_percent: Annotated[int, Field(strict=True, ge=1, le=100)]
    on_tie: Policy = "best"
    on_too_few: Policy = "best"
    minimum_delivered: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 30
    confidence: Annotated[float, Field(strict=True, ge=0.5, le=0.9999)] = 0.95

    @field_validator("variants")
    @classmethod
    def _complete(cls, variants: list[Variant]) -> list[Variant]:
        if len({variant.variant_id for variant in variants}) < len(variants):
            raise ValueError("every variantId must occur once")
        if (total := sum(variant.weight for variant in variants)) != 100:
            raise ValueError(f"the weights must sum to 100, they sum to {total}")
        return variants

    @field_validator("winner_criteria")
    @classmethod
    def _described(cls, criteria: str, known: ValidationInfo) -> str:
        if "custom_criteria" in known.data and (criteria == "custom") != (
            known.data["custom_criteria"] is not None
        ):
            raise ValueError('customCriteria are needed for "custom", and for nothing else')
        return criteria

    @property
    def duration(self) -> timedelta:
        return timedelta(hours=self.test_duration_hours)

    @property
    def criteria(self) -> CustomCriteria:
        """The rate that is compared, also for the criteria with a name."""
        return self.custom_criteria or _RATES[self.winner_criteria]

    @property
    def references(self) -> References:
        ids = (variant.template_id for variant in self.variants)
        return References(templates=tuple(one for one in ids if one is not None))

    @property
    def contenders(self) -> tuple[str, ...]:
        """The variants with a part of the sample."""
        return tuple(variant.variant_id for variant in self.variants if variant.weight)

    def stored(self) -> dict[str, Any]:
        """As JSON, with the defaults, as `abTestConfig` shows it."""
        whole = int(self.test_duration_hours)  # 4 stays 4
        hours = {"testDurationHours": whole} if whole == self.test_duration_hours else {}
        return self.model_dump(mode="json", by_alias=True, exclude_none=True) | hours


class Winner(Body):
    """The body of `POST /campaigns/{id}/ab-test/winner` and of
    `campaign.ab-test.declare-winner`.
    """

    variant_id: VariantId


class Sample(NamedTuple):
    """Ordinals [0, cut) are the sample. `block` holds the variants of each 100 of them, `rest`
    those of the remainder, in order.

    Ordinals are places in a random order of the audience (tables/audience), so any prefix is a
    random sample, and the variant of an ordinal follows from test and audience alone: it is the
    same after a crash, a replay, or with more workers.
    """

    cut: int
    block: tuple[str, ...]
    rest: tuple[str, ...]

    def variant(self, ordinal: int) -> str | None:
        """None: held back for the winner."""
        if ordinal >= self.cut:
            return None
        whole = self.cut - len(self.rest)
        return self.block[ordinal % BLOCK] if ordinal < whole else self.rest[ordinal - whole]


def sample(test: AbTest, total: int) -> Sample:
    """The percentage of the audience, half up, but one for every variant if there are so many
    recipients; split by weight.

    Exact: the variants' shares of the sample are apportioned by largest remainder. Every prefix of
    it is close to the weights, too (by less than two messages), so a sample that is sent slowly
    does not send one variant first.
    """
    weights = {variant.variant_id: variant.weight for variant in test.variants if variant.weight}
    cut = max((total * test.test_sample_percent * 2 + 100) // 200, min(total, len(weights)))
    shares = _largest_remainder(weights, cut % BLOCK)
    if len(weights) <= cut < BLOCK:
        for without in [variant for variant, share in shares.items() if not share]:
            shares[max(shares, key=lambda variant: shares[variant])] -= 1
            shares[without] = 1
    return Sample(cut, _interleaved(weights), _interleaved(shares))


def _largest_remainder(weights: Mapping[str, int], seats: int) -> dict[str, int]:
    """Hamilton's apportionment of `seats` among weights that sum to 100; of equal remainders the
    first variant's goes first.
    """
    shares = {variant: seats * weight // 100 for variant, weight in weights.items()}
    by_remainder = sorted(weights, key=lambda variant: -(seats * weights[variant] % 100))
    for variant in by_remainder[: seats - sum(shares.values())]:
        shares[variant] += 1
    return shares


def _interleaved(shares: Mapping[str, int]) -> tuple[str, ...]:
    """Each variant as often as its share says, spread evenly: the one that is furthest behind goes
    next (nginx's smooth round robin).
    """
    total, behind, order = sum(shares.values()), dict.fromkeys(shares, 0), []
    for _ in range(total):
        for variant, share in shares.items():
            behind[variant] += share
        following = max(behind, key=lambda variant: behind[variant])
        behind[following] -= total
        order.append(following)
    return tuple(order)
