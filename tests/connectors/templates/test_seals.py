"""A seal fits one message, one URL and one key only."""

from __future__ import annotations

import secrets

from hypothesis import given
from hypothesis import strategies as st

from connectors.templates.links import Links, Tracking
from connectors.templates.rendering import Template
from connectors.templates.seals import LinkSeals
from streams.records.message_id import MessageIds

KEYS = [secrets.token_bytes(32), secrets.token_bytes(32)]
SEALS, IDS = LinkSeals(KEYS), MessageIds(KEYS)
URLS = st.text(max_size=40)
ORDINALS = st.integers(0, 9)
EPOCHS = st.integers(0, 1)


@given(URLS, ORDINALS, EPOCHS, URLS, ORDINALS, EPOCHS)
def test_a_seal_fits_its_own_message_and_url_only(
    url: str, ordinal: int, epoch: int, other_url: str, other_ordinal: int, other_epoch: int
) -> None:
    message, other = IDS.make(1, ordinal, "a", epoch), IDS.make(1, other_ordinal, "a", other_epoch)
    seal = SEALS.seal(message, url)
    assert SEALS.fits(seal, message, url)
    assert SEALS.fits(seal, other, other_url) is ((message, url) == (other, other_url))
    assert not LinkSeals([secrets.token_bytes(32)] * 2).fits(seal, message, url)
    assert not SEALS.fits(seal[:-1] + ("A" if seal[-1] != "A" else "B"), message, url)


def test_a_seal_of_a_key_that_is_gone_fits_nothing() -> None:
    message = IDS.make(1, 1, "a", 1)
    assert not LinkSeals(KEYS[:1]).fits(SEALS.seal(message, "x"), message, "x")


def test_a_seal_is_no_message_id_and_can_stand_in_a_path() -> None:
    seal = SEALS.seal(IDS.make(1, 1, "a", 0), "https://é.example")
    assert len(seal) == 16
    assert seal.replace("-", "").replace("_", "").isalnum()
    assert not SEALS.fits("é" * 16, IDS.make(1, 1, "a", 0), "x")


def test_the_link_of_a_push_message_may_hold_variables() -> None:
    content = {"title": "t", "body": "b", "link": "https://shop.example/?e={{ email }}"}
    tracking = Tracking("https://mail.example", clicks=True, seals=SEALS)
    message = IDS.make(1, 1, "a", 0)
    made = Template("push", content, "c", tracking, Links()).render({"email": "a&b"}, message)
    url = "https://shop.example/?e=a&b"
    seal = SEALS.seal(message, url)
    assert made["link"] == (
        f"https://mail.example/t/d/{message}/{seal}?u=https://shop.example/?e%3Da%26b"
    )
