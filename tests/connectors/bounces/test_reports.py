"""Mails of many servers, read."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.bounces.reports import Kind, Report, read
from connectors.delivery.classification import Verdict, of_reply
from connectors.delivery.outcomes import Reply
from tests.connectors.bounces import samples
from tests.connectors.bounces.samples import DOMAIN, ID, OTHER, PATH, complaint, dsn, recipient


@pytest.mark.parametrize(
    ("name", "verdict", "words"),
    [
        ("POSTFIX", Verdict.HARD, "User unknown"),
        ("POSTFIX_EXPIRED", Verdict.DEFERRED, "timed out"),
        ("POSTFIX_NO_HOST", Verdict.HARD, "Host not found"),
        ("EXIM", Verdict.HARD, "No such user"),
        ("EXIM_OLD", Verdict.HARD, "User unknown"),
        ("EXCHANGE", Verdict.HARD, "RecipientNotFound"),
        ("EXCHANGE_FULL", Verdict.FULL, "mailbox full"),
        ("EXCHANGE_POLICY", Verdict.BLOCKED, "policy"),
        ("GMAIL", Verdict.HARD, "does not exist"),
        ("OPENSMTPD", Verdict.SOFT, "5.0.0"),
        ("QMAIL", Verdict.HARD, "No such user"),
        ("QMAIL_LOCAL", Verdict.HARD, "no mailbox here"),
    ],
)
def test_a_bounce_of_each_server_means_what_its_answer_does(
    name: str, verdict: Verdict, words: str
) -> None:
    raw = getattr(samples, name)
    found = read(raw)
    assert (found.kind, found.verdict) == (Kind.BOUNCE, verdict)
    assert words in found.words
    assert found.ids[0] == ID
    # the message is known by what came back, too, or by what the server calls it
    assert read(raw.replace(f"To: {PATH}".encode(), b"To: postmaster@acme.example")).ids[0] == ID


@pytest.mark.parametrize("name", ["POSTFIX_DELAY", "EXIM_DELAY"])
def test_a_delay_is_no_bounce(name: str) -> None:
    found = read(getattr(samples, name))
    assert (found.kind, found.ids) == (Kind.DELAY, (ID,))


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded"])
def test_a_report_of_success_is_nothing(action: str) -> None:
    assert read(dsn(recipient("2.0.0", action=action))).kind is Kind.NOTHING


def test_a_message_that_was_passed_on_failed_for_good_when_it_did_everywhere() -> None:
    gone, full = recipient("5.1.1"), recipient("5.2.2")
    there, late = recipient("2.0.0", action="delivered"), recipient("4.4.1", action="delayed")
    for groups, verdict in (
        ((gone, gone), Verdict.HARD),
        ((gone, full), Verdict.FULL),
        ((full, gone), Verdict.FULL),
        ((gone, there), Verdict.SOFT),
        ((late, gone), Verdict.SOFT),
    ):
        found = read(dsn("\n".join(groups)))
        assert (found.kind, found.verdict) == (Kind.BOUNCE, verdict)


@pytest.mark.parametrize(
    ("status", "diagnostic", "reply"),
    [
        ("5.1.1", "", Reply(550, "5.1.1 ")),
        ("4.4.7", "", Reply(450, "4.4.7 ")),
        ("5.0.0", "smtp; 550 5.1.1 gone", Reply(550, "550 5.1.1 gone")),
        ("5.2.2", "smtp; 552 full", Reply(552, "5.2.2 552 full")),
        ("5.1.1", "SMTP;550 5.7.1 no", Reply(550, "550 5.7.1 no")),
        ("5.1.1", "x-unix; sent to 421 people", Reply(550, "5.1.1 sent to 421 people")),
        ("5.3.0", "smtp; 451 later", Reply(451, "451 later")),
        ("", "host mx said: 550-5.1.1 gone", Reply(550, "host mx said: 550-5.1.1 gone")),
    ],
)
def test_status_and_diagnostic_code_are_one_reply(
    status: str, diagnostic: str, reply: Reply
) -> None:
    found = read(dsn(recipient(status, diagnostic)))
    assert found.kind is Kind.BOUNCE and found.verdict is of_reply(reply)


def test_a_report_without_an_action_is_read_by_its_status() -> None:
    def report(status: str) -> Report:
        return read(dsn(f"Final-Recipient: rfc822; ana@example.com\nStatus: {status}\n"))

    assert (report("5.1.1").kind, report("5.1.1").verdict) == (Kind.BOUNCE, Verdict.HARD)
    assert report("4.2.2").kind is Kind.DELAY
    assert report("2.0.0").kind is report("x").kind is Kind.NOTHING


def test_a_report_that_is_encoded_against_the_rules_is_read() -> None:
    inner = f"Reporting-MTA: dns; a.example\n\n{recipient('5.1.1')}"
    raw = dsn("X: y").replace(
        b"message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.com\r\n\r\nX: y",
        b"message/delivery-status\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(inner.encode()),
    )
    found = read(raw)
    assert (found.kind, found.verdict) == (Kind.BOUNCE, Verdict.HARD)


def test_the_address_that_it_came_to_says_whose_it_is_before_anything_else_does() -> None:
    to_other = f"b.{OTHER}@{DOMAIN}"
    assert read(samples.POSTFIX, to_other).ids == (OTHER, ID)
    assert read(dsn(recipient("5.1.1"), to=to_other)).ids == (OTHER, ID)
    noted = dsn(recipient("5.1.1"), to="x@y.example").replace(
        b"From: ", f"Delivered-To: {to_other}\r\nFrom: ".encode(), 1
    )
    assert read(noted).ids == (OTHER, ID)


def test_the_name_that_the_report_gives_comes_before_the_returned_header() -> None:
    named = dsn(
        recipient("5.1.1"),
        to="postmaster@acme.example",
        per_message=f"Reporting-MTA: dns; a\nOriginal-Envelope-Id: {OTHER.replace('-', '+2D')}",
    )
    assert read(named).ids == (OTHER, ID)


def test_a_returned_message_is_not_read_as_a_report() -> None:
    """A person writes to the address, with a bounce of somebody else attached."""
    carried = b"Content-Type: message/rfc822\r\n\r\n" + dsn(recipient("5.1.1"), to="a@b.example")
    raw = (
        b"From: ana@example.com\r\nContent-Type: multipart/mixed; boundary=O\r\n\r\n"
        b"--O\r\nContent-Type: text/plain\r\n\r\nLook at this.\r\n--O\r\n" + carried + b"\r\n--O--"
    )
    assert read(raw, PATH) == Report(Kind.NOTHING, (ID,))


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("abuse", Kind.COMPLAINT),
        ("Abuse", Kind.COMPLAINT),
        ("fraud", Kind.COMPLAINT),
        ("opt-out", Kind.COMPLAINT),  # of a draft; and whatever comes after RFC 5965
        ("", Kind.COMPLAINT),
        ("not-spam", Kind.NOTHING),
        ("auth-failure", Kind.NOTHING),
    ],
)
def test_a_complaint_is_told_from_other_feedback(kind: str, found: Kind) -> None:
    assert read(complaint(kind)) == Report(found, (ID,))


def test_a_complaint_names_its_message_by_the_original_sender() -> None:
    named = complaint(more=f"Original-Mail-From: <b.{OTHER}@{DOMAIN}>\r\n")
    assert read(named).ids == (OTHER, ID)


def test_that_a_message_was_read_is_nothing() -> None:
    raw = complaint().replace(b"message/feedback-report", b"message/disposition-notification")
    assert read(raw).kind is Kind.NOTHING


def test_a_letter_of_a_person_is_nothing() -> None:
    raw = f"From: Ana <ana@example.com>\r\nTo: {PATH}\r\nSubject: Thanks\r\n\r\nHello!\r\n"
    assert read(raw.encode()) == Report(Kind.NOTHING, (ID,))


_STATUSES = st.from_regex(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True)
_WORDS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=200)


@given(
    status=_STATUSES,
    code=st.integers(400, 599),
    words=_WORDS,
    action=st.sampled_from(["failed", "Failed (really)", "FAILED"]),
    is_at_the_address=st.booleans(),
)
@example("5.0.0", 550, "", "failed", True)
def test_generated_reports_mean_what_the_same_refusal_at_once_does(
    status: str, code: int, words: str, action: str, is_at_the_address: bool
) -> None:
    words = " ".join(words.split())
    raw = dsn(
        recipient(status, f"smtp; {code} {words}", action),
        to=PATH if is_at_the_address else "postmaster@acme.example",
    )
    found = read(raw)
    assert found.kind is Kind.BOUNCE and found.ids == (ID,)
    if found.verdict is Verdict.HARD:
        assert code // 100 == 5
    at_once = of_reply(Reply(code, f"{code} {words}"))
    by_status = of_reply(Reply(code, f"{status} {code} {words}"))
    assert found.verdict in (at_once, by_status)
