"""Checks the subjects of an A/B test when its author saves it, before half a sample is skipped for
one.
"""

from __future__ import annotations

from connectors.templates.checks import check_template
from streams.contracts.ab_tests import AbTest
from streams.contracts.bodies import CampaignCreate, CampaignUpdate
from streams.contracts.commands import Commanded
from streams.errors import CampaignError, FieldError, broken


def check_subjects(body: Commanded) -> None:
    """Raises CampaignError with each variant whose subject is no template, and the rule that it
    breaks.
    """
    match body:
        case AbTest():
            test, within = body, ""
        case (
            CampaignCreate(ab_test_config=AbTest() as config)
            | CampaignUpdate(ab_test_config=AbTest() as config)
        ):
            test, within = config, "abTestConfig."
        case _:
            return
    errors = []
    for number, variant in enumerate(test.variants):
        try:
            check_template("email", {"subject": variant.subject or "-", "text": "-"})
        except CampaignError as error:
            errors.append(
                FieldError(
                    f"{within}variants.{number}.subject",
                    "; ".join(wrong.message for wrong in error.errors),
                )
            )
    if errors:
        raise broken(*errors)
