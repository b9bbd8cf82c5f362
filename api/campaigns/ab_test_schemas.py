"""Answers of the routes of A/B tests, with the examples of the API's documentation."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from api.campaigns.schemas import CAMPAIGN_ID, DRAFT, RUNNING
from api.http.envelope import Instant, Schema, shown_as, sometimes

State = Literal["planned", "sampling", "measuring", "undecided", "decided", "cancelled"]
_VARIANTS: tuple[dict[str, Any], ...] = (
    {"variantId": "A", "name": "Short Subject", "subject": "Big Sale!", "weight": 50},
    {
        "variantId": "B",
        "name": "Long Subject",
        "subject": "Exclusive Sale - Up to 70% Off!",
        "weight": 50,
    },
)
TEST: dict[str, Any] = {
    "variants": list(_VARIANTS),
    "winnerCriteria": "open_rate",
    "testDurationHours": 4,
    "testSamplePercent": 20,
}
STORED = {
    **TEST,
    "onTie": "best",
    "onTooFew": "best",
    "minimumDelivered": 30,
    "confidence": 0.95,
}
WINNER = {"variantId": "B"}
WITH_TEST = {**DRAFT, "abTestConfig": STORED, "version": 2}
WITH_WINNER = {**RUNNING, "abTestConfig": STORED, "winnerVariantId": "B", "version": 5}
_EVALUATION = {
    "outcome": "significant",
    "variants": [
        {
            "variantId": "B",
            "delivered": 950,
            "count": 333,
            "of": 950,
            "rate": 35.05,
            "low": 32.08,
            "high": 38.14,
        },
        {
            "variantId": "A",
            "delivered": 952,
            "count": 286,
            "of": 952,
            "rate": 30.04,
            "low": 27.21,
            "high": 33.03,
        },
    ],
    "pValue": 0.019704,
    "confidence": 0.95,
    "criteria": "highest opened of delivered",
    "at": "2026-01-28T13:00:04.118Z",
    "pValueCorrection": None,
}


class Arm(Schema):
    """One variant: `count` of `of` recipients; rate and interval in percent. Without recipients the
    interval is 0 to 100.
    """

    variant_id: str
    delivered: int
    count: int
    of: int
    rate: float
    low: float
    high: float


class Evaluation(Schema):
    """Variants from the best to the worst; `pValue` is null when there is nothing to compare.
    `criteria` in words. `pValueCorrection` is "holm" where more than two variants were compared.
    """

    outcome: Literal["significant", "tie", "too-few"]
    variants: list[Arm]
    p_value: float | None
    confidence: float
    criteria: str
    at: str
    p_value_correction: Literal["holm"] | None = None


class Variant(Schema):
    """A variant as it was given; only the winner has `isWinner`."""

    variant_id: str
    name: str
    template_id: UUID | None = sometimes()
    subject: str | None = sometimes()
    weight: int
    is_winner: bool | None = sometimes()


class Decision(Schema):
    """`decidedBy`: the user, null for the evaluator."""

    at: Instant
    decision: str
    variant_id: str | None
    decided_by: UUID | None


class AbTestShown(Schema):
    """The plan, its state, what was decided and on which figures (`evaluation`), and the figures as
    they are now (`current`).
    """

    model_config = shown_as(
        {
            "campaignId": CAMPAIGN_ID,
            **STORED,
            "variants": [_VARIANTS[0], {**_VARIANTS[1], "isWinner": True}],
            "state": "decided",
            "sampleSize": 2000,
            "sampleSentAt": "2026-01-28T09:00:04.000Z",
            "until": None,
            "winnerVariantId": "B",
            "evaluation": _EVALUATION,
            "current": {**_EVALUATION, "at": "2026-01-28T13:05:00.000Z"},
            "decisions": [
                {
                    "at": "2026-01-28T13:00:04.118Z",
                    "decision": "winner",
                    "variantId": "B",
                    "decidedBy": None,
                }
            ],
        }
    )

    campaign_id: UUID
    variants: list[Variant]
    custom_criteria: dict[str, str] | None = sometimes()
    winner_criteria: str
    test_duration_hours: int | float
    test_sample_percent: int
    on_tie: str
    on_too_few: str
    minimum_delivered: int
    confidence: float
    state: State
    sample_size: int | None
    sample_sent_at: Instant | None
    until: Instant | None
    winner_variant_id: str | None
    evaluation: Evaluation | None
    current: Evaluation | None
    decisions: list[Decision]
