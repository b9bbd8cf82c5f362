"""The evaluation of an A/B test as it is stored and published: every field, nulls included."""

from __future__ import annotations

import json

import msgspec
import pytest

from streams.contracts.envelope import encode
from streams.contracts.evaluations import Arm, Evaluation, Outcome

B = Arm(variant_id="B", delivered=200, count=90, of=200, rate=45.0, low=38.26, high=51.93)
A = Arm(variant_id="A", delivered=0, count=0, of=0, rate=0.0, low=0.0, high=100.0)


def evaluation(*variants: Arm, outcome: Outcome = Outcome.TOO_FEW) -> Evaluation:
    return Evaluation(
        outcome=outcome,
        variants=variants,
        p_value=None,
        confidence=0.95,
        criteria="highest opened of delivered",
        at="2026-01-28T13:00:00.000Z",
    )


def test_an_evaluation_is_spelled_with_all_its_fields() -> None:
    assert json.loads(encode(evaluation(B, A))) == {
        "outcome": "too-few",
        "variants": [
            {
                "variantId": "B",
                "delivered": 200,
                "count": 90,
                "of": 200,
                "rate": 45.0,
                "low": 38.26,
                "high": 51.93,
            },
            {
                "variantId": "A",
                "delivered": 0,
                "count": 0,
                "of": 0,
                "rate": 0.0,
                "low": 0.0,
                "high": 100.0,
            },
        ],
        "pValue": None,
        "confidence": 0.95,
        "criteria": "highest opened of delivered",
        "at": "2026-01-28T13:00:00.000Z",
        "pValueCorrection": None,
    }


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (Outcome.SIGNIFICANT, "significant"),
        (Outcome.TIE, "tie"),
        (Outcome.TOO_FEW, "too-few"),
    ],
)
def test_an_outcome_is_a_word_of_the_api(outcome: Outcome, word: str) -> None:
    assert json.loads(encode(evaluation(A, outcome=outcome)))["outcome"] == word


def test_an_evaluation_that_was_stored_without_a_correction_can_be_read() -> None:
    stored = json.loads(encode(evaluation(B)))
    del stored["pValueCorrection"]
    assert msgspec.convert(stored, Evaluation) == evaluation(B)


def test_the_best_variant_is_the_first() -> None:
    assert (evaluation(B, A).best, evaluation(A, B).best) == ("B", "A")


@pytest.mark.parametrize(("value", "field"), [(evaluation(B, A), "outcome"), (B, "count")])
def test_an_evaluation_and_its_variants_cannot_be_changed_once_made(
    value: Evaluation | Arm, field: str
) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        setattr(value, field, getattr(value, field))
