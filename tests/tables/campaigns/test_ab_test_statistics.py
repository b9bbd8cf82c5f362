"""What an A/B test has shown: textbook values, laws, and every policy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.contracts.ab_tests import AbTest
from streams.contracts.evaluations import Evaluation, Outcome
from streams.records.stats import Counts
from tables.campaigns.ab_test_statistics import (
    Decision,
    decide,
    evaluate,
    holm,
    interval,
    p_value_of,
)
from tests.streams.contracts.test_ab_tests import ab_test

AT = "2026-01-28T13:00:00.000Z"


def shown(test: AbTest, **opened: tuple[int, int]) -> Evaluation:
    """Each variant's (opened, delivered)."""
    return evaluate(
        test,
        {name: Counts(sent=of, delivered=of, opened=count) for name, (count, of) in opened.items()},
        AT,
    )


def test_the_interval_is_wilsons() -> None:
    # Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine
    # 17 (1998), table I, method 3
    for count, of, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert interval(count, of, 0.95) == pytest.approx((low, high), abs=5e-5)


def test_the_p_value_is_that_of_the_pooled_z_test() -> None:
    # z = (0.5 - 0.6) / sqrt(0.55 * 0.45 * 2 / 200) = -2.0101; 2 * (1 - Phi(2.0101)) = 0.04442
    assert p_value_of(100, 200, 120, 200) == pytest.approx(0.04442, abs=5e-6)
    assert p_value_of(0, 10, 0, 20) == 1.0
    assert p_value_of(10, 10, 20, 20) == 1.0


def test_holms_correction_is_that_of_the_textbook() -> None:
    # as p.adjust(p, "holm") of R: 5 * 0.01, 4 * 0.02, 3 * 0.03, then never less than before
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert (holm([0.04]), holm([])) == ([0.04], [])


@given(st.lists(st.floats(0, 1), max_size=10), st.floats(0.001, 0.5))
def test_a_corrected_p_value_is_never_smaller_and_keeps_the_order(
    raw: list[float], alpha: float
) -> None:
    corrected = holm(raw)
    assert all(one <= other <= 1 for one, other in zip(raw, corrected, strict=True))
    by_raw = [other for _, other in sorted(zip(raw, corrected, strict=True))]
    assert by_raw == sorted(corrected)
    assert holm(raw[::-1]) == corrected[::-1]
    if raw:  # between no correction and Bonferroni's
        assert min(corrected) == pytest.approx(min(1.0, len(raw) * min(raw)))
        assert max(corrected) <= min(1.0, len(raw) * max(raw))
    rejected = 0  # the procedure as Holm states it: step down while each is small enough
    for place, one in enumerate(sorted(raw)):
        if (len(raw) - place) * one > alpha:
            break
        rejected += 1
    assert sum(one <= alpha for one in corrected) == rejected


@given(st.lists(st.tuples(st.integers(0, 200), st.just(200)), min_size=3, max_size=5))
def test_with_three_and_more_variants_the_answer_says_that_it_is_corrected(
    people: list[tuple[int, int]],
) -> None:
    weights = {3: (40, 30, 30), 4: (25, 25, 25, 25), 5: (20, 20, 20, 20, 20)}[len(people)]
    found = shown(ab_test(*weights), **dict(zip("ABCDE", people, strict=False)))
    best, second = found.variants[:2]
    raw = p_value_of(best.count, best.of, second.count, second.of)
    pairs = len(people) * (len(people) - 1) // 2
    assert found.p_value is not None and found.p_value_correction == "holm"
    assert round(raw, 6) <= found.p_value <= min(1.0, round(pairs * raw, 6) + 1e-6)
    assert (found.outcome is Outcome.SIGNIFICANT) <= (raw <= 0.05)


def test_what_is_clear_between_two_may_be_chance_among_five() -> None:
    two = shown(ab_test(50, 50), A=(41, 200), B=(60, 200))
    assert (two.outcome, two.p_value_correction) == (Outcome.SIGNIFICANT, None)
    others = {"C": (40, 200), "D": (41, 200), "E": (41, 200)}
    five = shown(ab_test(20, 20, 20, 20, 20), A=(41, 200), B=(60, 200), **others)
    assert (five.outcome, five.p_value_correction) == (Outcome.TIE, "holm")
    assert two.p_value is not None and five.p_value is not None
    assert two.p_value < 0.05 < five.p_value


def test_two_of_three_variants_that_reached_somebody_are_one_comparison() -> None:
    found = shown(ab_test(40, 30, 30), A=(40, 200), B=(90, 200))
    two = shown(ab_test(50, 50), A=(40, 200), B=(90, 200))
    assert (found.p_value, found.p_value_correction) == (two.p_value, None)
    assert found.outcome is Outcome.TOO_FEW


@given(st.integers(0, 1000), st.integers(1, 1000), st.floats(0.5, 0.9999))
def test_an_interval_holds_the_rate_and_stays_within_its_bounds(
    count: int, more: int, confidence: float
) -> None:
    low, high = interval(count, count + more, confidence)
    assert 0 <= low <= count / (count + more) <= high <= 1


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500), st.integers(0, 500))
def test_a_p_value_is_a_probability_and_knows_no_order(
    a: int, more: int, b: int, others: int
) -> None:
    of, other_of = a + more + 1, b + others + 1
    p = p_value_of(a, of, b, other_of)
    assert 0 <= p <= 1
    assert p == pytest.approx(p_value_of(b, other_of, a, of))


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=3, max_size=3),
    st.sampled_from(["highest", "lowest"]),
)
def test_the_winner_has_the_best_rate_then_more_deliveries_then_the_first_id(
    people: list[tuple[int, int]], best: str
) -> None:
    test = ab_test(
        40, 30, 30, winnerCriteria="custom", customCriteria={"numerator": "opened", "best": best}
    )
    found = shown(
        test,
        **{name: (min(count, of), of) for name, (count, of) in zip("ABC", people, strict=True)},
    )
    first = found.variants[0]
    for other in found.variants[1:]:
        if not other.of:
            continue
        assert first.of
        a, b = first.count * other.of, other.count * first.of
        assert a >= b if best == "highest" else a <= b
        if a == b:
            assert (-first.delivered, first.variant_id) < (-other.delivered, other.variant_id)


def test_a_clear_difference_is_significant() -> None:
    found = shown(ab_test(50, 50), A=(40, 200), B=(90, 200))
    assert (found.outcome, found.best) == (Outcome.SIGNIFICANT, "B")
    assert found.p_value is not None
    assert found.p_value < 0.05
    best = found.variants[0]
    assert (best.count, best.of, best.rate) == (90, 200, 45.0)
    assert best.low < 45.0 < best.high


@pytest.mark.parametrize(
    ("a", "b"), [((40, 200), (41, 200)), ((40, 200), (40, 200)), ((0, 200), (0, 200))], ids=str
)
def test_what_chance_explains_is_a_tie(a: tuple[int, int], b: tuple[int, int]) -> None:
    assert shown(ab_test(50, 50), A=a, B=b).outcome is Outcome.TIE


def test_a_variant_with_too_few_deliveries_is_too_little_data_however_clear_it_looks() -> None:
    assert shown(ab_test(50, 50), A=(0, 29), B=(200, 200)).outcome is Outcome.TOO_FEW
    assert (
        shown(ab_test(50, 50, minimumDelivered=29), A=(0, 29), B=(200, 200)).outcome
        is Outcome.SIGNIFICANT
    )
    assert shown(ab_test(50, 50), A=(10, 200)).outcome is Outcome.TOO_FEW


def test_nobody_to_count_never_wins_where_the_lowest_rate_does() -> None:
    test = ab_test(
        50,
        50,
        winnerCriteria="custom",
        customCriteria={"numerator": "complained", "best": "lowest"},
    )
    assert evaluate(test, {"B": Counts(delivered=100, complained=3)}, AT).best == "B"


def test_variants_that_cannot_be_compared_are_a_tie() -> None:
    """One variant has no openings, so no share of them; both have deliveries enough."""
    clicks = {"numerator": "clicked", "denominator": "opened"}
    test = ab_test(50, 50, winnerCriteria="custom", customCriteria=clicks)
    counts = {
        "A": Counts(delivered=100),
        "B": Counts(delivered=100, opened=40, clicked=4),
    }
    found = evaluate(test, counts, AT)
    assert (found.outcome, found.p_value, found.best) == (Outcome.TIE, None, "B")


def test_a_variant_without_weight_takes_no_part() -> None:
    found = shown(ab_test(100, 0), A=(50, 200))
    assert ([arm.variant_id for arm in found.variants], found.p_value, found.outcome) == (
        ["A"],
        None,
        Outcome.SIGNIFICANT,
    )


def test_more_replies_than_deliveries_are_no_rate_over_100() -> None:
    test = ab_test(50, 50, winnerCriteria="custom", customCriteria={"numerator": "replied"})
    assert evaluate(test, {"A": Counts(delivered=1, replied=3)}, AT).variants[0].rate == 100.0


@pytest.mark.parametrize("outcome", [Outcome.TIE, Outcome.TOO_FEW])
@pytest.mark.parametrize(
    ("policy", "is_extended", "decision"),
    [
        ("best", False, Decision.WINNER),
        ("extend", False, Decision.EXTEND),
        ("extend", True, Decision.WINNER),
        ("manual", False, Decision.ASK),
        ("manual", True, Decision.ASK),
    ],
)
def test_every_policy_is_followed(
    outcome: Outcome, policy: str, is_extended: bool, decision: Decision
) -> None:
    mine: dict[str, Any] = {("onTie" if outcome is Outcome.TIE else "onTooFew"): policy}
    assert decide(ab_test(50, 50, **mine), outcome, is_extended=is_extended) is decision
    assert (
        decide(ab_test(50, 50, **mine), Outcome.SIGNIFICANT, is_extended=is_extended)
        is Decision.WINNER
    )


def test_rates_and_intervals_are_shown_in_percent_with_two_digits() -> None:
    found = shown(ab_test(50, 50), A=(10, 100), B=(81, 263))
    assert [(arm.variant_id, arm.rate, arm.low, arm.high) for arm in found.variants] == [
        ("B", 30.8, 25.53, 36.62),
        ("A", 10.0, 5.52, 17.44),
    ]


def test_at_the_ends_an_interval_is_closed_and_without_anybody_it_is_everything() -> None:
    assert interval(5, 5, 0.95)[1] == 1.0
    assert interval(0, 5, 0.95)[0] == 0.0
    found = shown(ab_test(50, 50), A=(5, 5))
    assert [(arm.low, arm.high) for arm in found.variants] == [(56.55, 100.0), (0.0, 100.0)]


def test_variants_of_unequal_size_are_compared_each_by_its_own() -> None:
    # pooled 250 of 460; z = (0.576923 - 0.5) / sqrt(0.543478 * 0.456522 * (1/200 + 1/260)) = 1.6418
    found = shown(ab_test(50, 50), A=(100, 200), B=(150, 260))
    assert found.p_value == 0.100602
    assert (found.best, found.criteria) == ("B", "highest opened of delivered")


def test_a_p_value_of_exactly_what_the_confidence_leaves_is_significant() -> None:
    p_value = p_value_of(53, 200, 70, 200)
    assert 1 - (1 - p_value) == p_value  # no rounding hides the boundary
    found = shown(ab_test(50, 50, confidence=1 - p_value), A=(53, 200), B=(70, 200))
    assert found.outcome is Outcome.SIGNIFICANT


def test_a_decision_is_stored_in_the_words_of_the_database() -> None:
    assert [str(one) for one in (Decision.WINNER, Decision.EXTEND, Decision.ASK)] == [
        "winner",
        "extend",
        "ask",
    ]
