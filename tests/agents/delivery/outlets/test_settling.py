"""What becomes of a message after each kind of answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.delivery.outlets.settling import (
    Again,
    Answered,
    Done,
    Hold,
    PutOff,
    Subject,
    Terms,
    settled,
)
from connectors.delivery.classification import Verdict
from streams.contracts.routes import OnDoubt
from tests.connectors.routes.given import route

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
TERMS = Terms.of(route(), timedelta(hours=1))


def _subject(tries: int = 0, age: timedelta = timedelta(0)) -> Subject:
    return Subject("the-id", "acme", NOW - age, tries)


def _event(verdict: Verdict, terms: Terms = TERMS, **of: object) -> tuple[str, str | None, str]:
    fate = settled(_subject(**of), Answered(verdict, "the words"), terms, NOW)  # type: ignore[arg-type]
    assert isinstance(fate, Done) and fate.event.data is not None
    assert (fate.event.message_id, fate.event.tenant_id) == ("the-id", "acme")
    return fate.event.type, fate.event.data.bounce_type, fate.event.data.reason or ""


def test_final_refusals_are_reported_with_their_words() -> None:
    assert _event(Verdict.HARD) == ("bounced", "hard", "the words")
    assert _event(Verdict.SOFT) == ("bounced", "soft", "the words")
    assert _event(Verdict.BLOCKED) == ("failed", None, "the words")
    assert _event(Verdict.CONTENT) == ("failed", None, "the words")


def test_a_message_that_was_taken_is_accepted_without_the_words_of_the_server() -> None:
    assert _event(Verdict.ACCEPTED) == ("accepted", None, "")


@pytest.mark.parametrize("verdict", [Verdict.ROUTE, Verdict.THROTTLED, Verdict.CONFIGURATION])
def test_the_fault_of_a_route_is_no_try_of_the_message_until_it_is_too_old(
    verdict: Verdict,
) -> None:
    down = Answered(verdict, "down", is_of_message=False)
    assert settled(_subject(), down, TERMS, NOW) == Again()
    # said to one message it may be about that one, which then waits, and others go
    assert isinstance(settled(_subject(), Answered(verdict, "421"), TERMS, NOW), PutOff)
    assert _event(verdict, age=timedelta(days=1)) == ("failed", None, "expired: the words")


@given(st.integers(0, 0xFFFF))
def test_back_off_doubles_from_five_minutes_to_four_hours(tries: int) -> None:
    fate = settled(_subject(tries), Answered(Verdict.DEFERRED, "451"), TERMS, NOW)
    assert isinstance(fate, PutOff)
    even = min(timedelta(minutes=5) * 2 ** min(tries, 20), timedelta(hours=4))
    assert even * 0.75 <= fate.until - NOW <= even * 1.25
    assert fate == settled(_subject(tries), Answered(Verdict.DEFERRED, "451"), TERMS, NOW)


def test_the_last_try_is_at_the_end_of_a_messages_time() -> None:
    age = timedelta(hours=23, minutes=50)
    fate = settled(_subject(9, age), Answered(Verdict.DEFERRED, "451"), TERMS, NOW)
    assert fate == PutOff(NOW + timedelta(minutes=10))
    late = _event(Verdict.DEFERRED, tries=10, age=timedelta(days=1))
    assert late == ("bounced", "soft", "4.4.7 expired: the words")


def test_a_full_mailbox_is_tried_for_a_day_however_long_the_route_tries() -> None:
    long = Terms.of(route(retry={"maxAge": "P2D"}), timedelta(hours=1))
    assert _event(Verdict.FULL, long, age=timedelta(days=1))[0] == "bounced"
    assert isinstance(
        settled(_subject(age=timedelta(days=1)), Answered(Verdict.DEFERRED, ""), long, NOW), PutOff
    )


def test_no_message_is_tried_for_longer_than_kafka_keeps_its_content() -> None:
    assert Terms.of(route(retry={"maxAge": "P7D"}), timedelta(hours=1)).most_age == timedelta(
        hours=60
    )


def test_a_doubtful_message_goes_again_or_waits_or_is_reported_as_its_route_says() -> None:
    doubtful = Answered(Verdict.DOUBT, "lost")
    assert settled(_subject(), doubtful, TERMS, NOW) == Again()
    held = Terms.of(route(onDoubt="hold"), timedelta(hours=1))
    assert settled(_subject(), doubtful, held, NOW) == Hold()
    terms = Terms.of(route(onDoubt="drop"), timedelta(hours=1))
    kind, _, words = _event(Verdict.DOUBT, terms)
    assert kind == "failed" and words.startswith("in doubt: ")


@pytest.mark.parametrize("choice", ["resend", "drop", "hold"])
def test_a_provider_that_knows_a_repeat_gets_it_whatever_its_route_says_about_doubts(
    choice: OnDoubt,
) -> None:
    terms = Terms.of(route(onDoubt=choice), timedelta(hours=1), timedelta(minutes=25))
    doubt, young = Answered(Verdict.DOUBT, "lost"), _subject(age=timedelta(minutes=24))
    assert settled(young, doubt, terms, NOW) == Again()
    assert terms.resolution(young, NOW) == "repeat"
    old = _subject(age=timedelta(minutes=25))
    assert terms.resolution(old, NOW) == choice
    assert (settled(old, doubt, terms, NOW) == Again()) == (choice == "resend")


def test_a_server_that_was_asked_wrongly_is_asked_once_more() -> None:
    assert settled(_subject(), Answered(Verdict.PROTOCOL, "503"), TERMS, NOW) == PutOff(NOW)
    assert _event(Verdict.PROTOCOL, tries=1) == ("failed", None, "the words")
