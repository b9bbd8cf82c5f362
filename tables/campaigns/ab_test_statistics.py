"""The results of an A/B test, and the decision that follows from them: rates with their intervals,
a p-value, and the policy. Pure.

Interval: Wilson's score interval (Wilson, "Probable inference, the law of succession, and
statistical inference", JASA 22, 1927), which stays within 0 and 1 and is honest for small numbers.
p-value: two-sided, of the z-test for two proportions with pooled variance (NIST/SEMATECH e-Handbook
of Statistical Methods, 7.3.3), of the best variant against the second best. With three and more
variants every pair is compared and the p-value is corrected for the number of pairs (Holm, "A
simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979):
the best two variants are only known from the same data. The test is looked at once, at its end
(twice when it is extended).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from fractions import Fraction
from itertools import combinations
from math import erfc, sqrt
from statistics import NormalDist
from typing import Literal

from streams.contracts.ab_tests import AbTest, Policy
from streams.contracts.evaluations import Arm, Evaluation, Outcome
from streams.records.stats import Counts
from tables.stats.totals import percent

_NONE = Counts()


class Decision(StrEnum):
    """The end of a test, or its extension."""

    WINNER = "winner"
    EXTEND = "extend"
    ASK = "ask"


def evaluate(test: AbTest, counts: Mapping[str, Counts], at: str) -> Evaluation:
    """The variants that the sample got, as they are now. Of equal rates the variant with more
    deliveries is the better, then the first id.

    A person counts once, however late or often the report; a person counted above the line only (an
    unsubscription without a report of the delivery) cannot push a rate over 100 percent.
    """
    arms = sorted(
        (_arm(test, variant, counts.get(variant, _NONE)) for variant in test.contenders),
        key=_order(test),
    )
    p_values = holm(
        [
            p_value_of(one.count, one.of, other.count, other.of)
            for one, other in combinations([arm for arm in arms if arm.of], 2)
        ]
    )
    p_value = p_values[0] if p_values else None  # the best two are the first pair
    if any(arm.delivered < test.minimum_delivered for arm in arms):
        outcome = Outcome.TOO_FEW
    elif len(arms) > 1 and (p_value is None or p_value > 1 - test.confidence):
        outcome = Outcome.TIE
    else:
        outcome = Outcome.SIGNIFICANT
    rounded = None if p_value is None else round(p_value, 6)
    correction: Literal["holm"] | None = "holm" if len(p_values) > 1 else None
    return Evaluation(
        outcome, tuple(arms), rounded, test.confidence, _spelled(test), at, correction
    )


def decide(test: AbTest, outcome: Outcome, *, is_extended: bool) -> Decision:
    """A clear winner wins; else the policy for ties or too little data holds. A test is extended
    once, then the best so far wins.
    """
    if outcome is Outcome.SIGNIFICANT:
        return Decision.WINNER
    policy: Policy = test.on_too_few if outcome is Outcome.TOO_FEW else test.on_tie
    if policy == "manual":
        return Decision.ASK
    return Decision.EXTEND if policy == "extend" and not is_extended else Decision.WINNER


def interval(count: int, of: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a share, between 0 and 1."""
    if not of:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = count / of, z * z / of
    middle, spread = share + weight / 2, z * sqrt(share * (1 - share) / of + weight / (4 * of))
    # exactly 0 and 1 at the ends, where rounding errors would leave the interval
    low = 0.0 if count == 0 else max(0.0, (middle - spread) / (1 + weight))
    high = 1.0 if count == of else min(1.0, (middle + spread) / (1 + weight))
    return low, high


def p_value_of(count: int, of: int, other: int, other_of: int) -> float:
    """How likely a difference at least this large is, if there is none. 1 when none or all are
    counted; both `of` are positive.
    """
    pooled = (count + other) / (of + other_of)
    variance = pooled * (1 - pooled) * (1 / of + 1 / other_of)
    if variance <= 0:
        return 1.0
    return erfc(abs(count / of - other / other_of) / sqrt(variance) / sqrt(2))


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p-value corrected for the others, in the order given: how likely it is that any of these
    comparisons shows so much by chance, if no variant differs.
    """
    ascending = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, least = list(p_values), 0.0
    for place, index in enumerate(ascending):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = least
    return corrected


def _arm(test: AbTest, variant: str, counts: Counts) -> Arm:
    of: int = getattr(counts, test.criteria.denominator)
    count = min(of, int(getattr(counts, test.criteria.numerator)))
    low, high = interval(count, of, test.confidence)
    return Arm(
        variant,
        counts.delivered,
        count,
        of,
        percent(count, of),
        round(low * 100, 2),
        round(high * 100, 2),
    )


def _order(test: AbTest) -> Callable[[Arm], tuple[bool, Fraction, int, str]]:
    """Sorts the best first; a variant without recipients to count comes last, also where the lowest
    rate wins.
    """
    sign = 1 if test.criteria.best == "lowest" else -1

    def key(arm: Arm) -> tuple[bool, Fraction, int, str]:
        return not arm.of, sign * Fraction(arm.count, arm.of or 1), -arm.delivered, arm.variant_id

    return key


def _spelled(test: AbTest) -> str:
    criteria = test.criteria
    return f"{criteria.best} {criteria.numerator} of {criteria.denominator}"
