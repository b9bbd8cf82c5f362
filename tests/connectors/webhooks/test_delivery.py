"""What every provider's reader shares: words that end it, reasons without addresses."""

from __future__ import annotations

import pytest

from connectors.webhooks.delivery import reason
from connectors.webhooks.stop_words import is_stop


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        "stop",
        " Stop! ",
        "STOPALL",
        "Unsubscribe",
        "cancel",
        "END",
        "quit.",
        "Opt out",
        "OPT-OUT",
        "revoke",
    ],
)
def test_the_words_that_carriers_agreed_on_end_it(text: str) -> None:
    assert is_stop(text)


@pytest.mark.parametrize(
    "text",
    ["", "please stop", "STOP IT", "don't stop", "the end", "x" * 10_000, "Ｓ-STOP", "start"],
)
def test_other_words_do_not(text: str) -> None:
    assert not is_stop(text)


def test_reasons_hold_no_address_and_no_number() -> None:
    text = reason(
        "550", "user ana.b+c@mail.example.com (+4915112345678) over quota, id 12345678901", None, ""
    )
    assert text == "550 user <address> (<number>) over quota, id <number>"
    assert reason("x" * 900) == "x" * 500 and reason() is None
