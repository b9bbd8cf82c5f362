"""What Mailgun reports, in our words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from connectors.webhooks import mailgun
from connectors.webhooks.delivery import Delivery, Read, SignatureError
from tests.connectors.webhooks import webhook_signing as signing
from tests.connectors.webhooks.reported_as import ID, NOW, SECONDS, the_only


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"event": "accepted"}, ("accepted", {})),
        ({"event": "delivered"}, ("delivered", {})),
        ({"event": "opened", "client-info": {"client-name": "Chrome"}}, ("opened", {})),
        ({"event": "opened", "client-info": {"bot": "apple"}}, ("opened", {"isMachine": True})),
        (
            {"event": "clicked", "url": "https://a.example/"},
            ("clicked", {"url": "https://a.example/"}),
        ),
        (
            {
                "event": "failed",
                "severity": "permanent",
                "reason": "bounce",
                "delivery-status": {"code": 550, "message": "5.1.1 no ana@example.com"},
            },
            ("bounced", {"reason": "550 5.1.1 no <address>", "bounceType": "hard"}),
        ),
        (
            {"event": "failed", "severity": "permanent", "reason": "old"},
            ("bounced", {"reason": "old", "bounceType": "soft"}),
        ),
        (
            {"event": "failed", "severity": "permanent", "reason": "suppress-bounce"},
            ("failed", {"reason": "suppress-bounce"}),
        ),
        ({"event": "rejected"}, ("failed", {})),
        ({"event": "complained"}, ("complained", {})),
        ({"event": "unsubscribed"}, ("unsubscribed", {})),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_an_event_of_mailgun_is_read_in_our_words(event: dict[str, Any], expected: object) -> None:
    _, body = signing.mailgun(
        {"timestamp": SECONDS + 0.0, "user-variables": {"messageId": ID}, **event}
    )
    assert the_only(mailgun.read(Delivery({}, body), NOW)) == expected


def test_mailgun_will_try_again_or_reports_of_nobody() -> None:
    for event in (
        {"event": "failed", "severity": "temporary", "user-variables": {"messageId": ID}},
        {"event": "accepted"},
        {"event": "opened"},
    ):
        assert (
            mailgun.read(Delivery({}, signing.mailgun({"timestamp": 1, **event})[1]), NOW).ignored
            == 1
        )
    assert mailgun.read(Delivery({}, signing.mailgun({"event": 7})[1]), NOW).unusable == 1


def _read(event: dict[str, Any]) -> Read:
    whole = {"timestamp": SECONDS, "user-variables": {"messageId": ID}, **event}
    return mailgun.read(Delivery({}, signing.mailgun(whole)[1]), NOW)


@pytest.mark.parametrize("kind", ["suppress-bounce", "suppress-unsubscribe", "suppress-complaint"])
def test_mailguns_own_list_is_no_bounce(kind: str) -> None:
    event = {"event": "failed", "severity": "permanent", "reason": kind}
    assert the_only(_read(event)) == ("failed", {"reason": kind})


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({"code": 550, "message": "m", "description": "d"}, "550 m"),
        ({"code": "5.1.1", "description": "d"}, "5.1.1 d"),
        ({"code": 0, "message": ""}, "0 generic"),
        ({}, "generic"),
    ],
)
def test_the_reason_of_a_bounce_is_the_most_that_mailgun_says(
    status: dict[str, Any], why: str
) -> None:
    event = {"event": "failed", "severity": "permanent", "reason": "generic"}
    found = the_only(_read({**event, "delivery-status": status}))
    assert found == ("bounced", {"reason": why, "bounceType": "hard"})


def test_a_bot_that_clicks_is_a_machine_at_that_url() -> None:
    event = {"event": "clicked", "url": "https://a.example/", "client-info": {"bot": "generic"}}
    assert the_only(_read(event)) == (
        "clicked",
        {"url": "https://a.example/", "isMachine": True},
    )
    person = {**event, "client-info": {"bot": ""}}
    assert the_only(_read(person)) == ("clicked", {"url": "https://a.example/"})


@pytest.mark.parametrize("place", [{"reject": {"reason": "Sandbox"}}, {"reason": "Sandbox"}])
def test_a_rejection_has_its_reason(place: dict[str, Any]) -> None:
    """The documentation's sample has it in `reject`."""
    assert the_only(_read({"event": "rejected", **place})) == ("failed", {"reason": "Sandbox"})


@pytest.mark.parametrize(
    ("event", "ignored", "unusable"),
    [
        ({"event": "failed"}, 1, 0),
        ({"event": "failed", "severity": "temporary", "reason": "bounce"}, 1, 0),
        ({"event": "stored"}, 1, 0),
        ({"event": "delivered", "user-variables": {"messageId": 7}}, 1, 0),
        ({"event": "delivered", "user-variables": {}}, 1, 0),
        ({"event": "delivered", "user-variables": 1}, 1, 0),
        ({"event": None}, 0, 1),
    ],
)
def test_what_says_nothing_new_is_ignored_and_what_has_no_form_is_unusable(
    event: dict[str, Any], ignored: int, unusable: int
) -> None:
    found = _read(event)
    assert (found.reported, found.ignored, found.unusable) == ([], ignored, unusable)


@pytest.mark.parametrize(
    ("token", "is_right"), [("t" * 200, True), ("t" * 201, False), ("a\0b", False), ("", True)]
)
def test_a_token_is_remembered_only_when_it_can_be_mailguns(token: str, is_right: bool) -> None:
    delivery = Delivery({}, signing.mailgun({"event": "opened"}, token=token)[1])
    now, tolerance = datetime.now(UTC), timedelta(minutes=5)
    if is_right:
        assert mailgun.verify(delivery, signing.SECRET, now, tolerance)[0] == token
    else:
        with pytest.raises(SignatureError, match=r"^The token is none of Mailgun's\.$"):
            mailgun.verify(delivery, signing.SECRET, now, tolerance)


def test_a_token_means_the_digest_of_its_event() -> None:
    delivery = Delivery({}, signing.mailgun({"event": "opened", "a": 1})[1])
    _, meaning = mailgun.verify(delivery, signing.SECRET, datetime.now(UTC), timedelta(minutes=5))
    assert meaning == sha256(b'{"a":1,"event":"opened"}').hexdigest()
