"""The evaluation of an A/B test, as the API and the event `campaign.ab-test.winner-declared` spell
it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from streams.contracts.envelope import Record


class Outcome(StrEnum):
    """The result of the comparison."""

    SIGNIFICANT = "significant"
    TIE = "tie"
    TOO_FEW = "too-few"


class Arm(Record, frozen=True, omit_defaults=False):
    """One variant: `count` is the numerator and `of` the denominator, in recipients; rate and
    interval are in percent. Without recipients the interval is 0 to 100.
    """

    variant_id: str
    delivered: int
    count: int
    of: int
    rate: float
    low: float
    high: float


class Evaluation(Record, frozen=True, omit_defaults=False):
    """Variants from the best to the worst; `p_value` is None when there is nothing to compare.
    `criteria` in words. `p_value_correction` is "holm" where more than two variants were compared.
    """

    outcome: Outcome
    variants: tuple[Arm, ...]
    p_value: float | None
    confidence: float
    criteria: str
    at: str
    p_value_correction: Literal["holm"] | None = None  # evaluations of earlier versions lack it

    @property
    def best(self) -> str:
        return self.variants[0].variant_id
