"""What answers mean, by answers as they come: a row for each, and laws for all the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.delivery.classification import (
    Verdict,
    of_outcome,
    of_reply,
    of_session,
    of_status,
)
from connectors.delivery.outcomes import Accepted, InDoubt, NotTried, Refused, Reply
from connectors.webhooks.meaning.causes import Cause
from connectors.webhooks.meaning.mail_servers import cause_of

_REPLIES: dict[Verdict, list[str]] = {
    Verdict.ACCEPTED: ["250 2.0.0 Ok: queued as 4A", "250", "251 2.1.5 User not local"],
    Verdict.HARD: [
        "550 5.1.1 The email account that you tried to reach does not exist. Please try",
        "550 5.1.1 <ana@example.com>: Recipient address rejected: User unknown in local table",
        "550 5.1.2 Host unknown",
        "553 5.1.3 The recipient address is not a valid RFC 5321 address",
        "551 5.1.6 The user has moved",
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
        "556 5.1.10 Recipient address has null MX",
        "556 Domain does not take mail",
        "550 5.2.1 The email account that you tried to reach is disabled.",
        "550 5.7.17 mailbox owner has changed",
        "550 5.7.18 domain owner has changed",
        "550 No such user here",
        "550 user unknown",
        "551 unknown user",
        "553 Recipient does not exist",
        "550 Requested action not taken: mailbox unavailable",
        "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302)",
        "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)",
        "550 5.0.0 Invalid recipient",
        "553 5.3.0 <ana@example.com>... User unknown, not local address",
        "554 delivery error: dd This user doesn't have a yahoo.com account (ana@yahoo.com) [0]",
        "550 #5.1.0 Address rejected. Unknown recipient",
    ],
    Verdict.SOFT: [
        "550",
        "550 5.0.0 Rejected",
        "550 Administrative prohibition",
        "551 Go elsewhere",
        "553 sorry, that domain isn't in my list",
        "550 5.1.0 Address rejected",
        "550 5.1.4 Ambiguous",
        "550 5.1.9 Relayed to non-compliant mailer",
        "550 5.2.0 Mailbox",
        "550 5.2.4 Mailing list expansion",
        "521 5.3.2 System",
        "550 5.4.7 Delivery time expired",
        "554 5.4.6 Too many hops, is that a loop",
        "553 5.6.7 Non-ASCII addresses not permitted for that recipient",
        "599 What?",
    ],
    Verdict.FULL: [
        "452 4.2.2 The email account that you tried to reach is over quota.",
        "452 Requested action not taken: insufficient system storage",
        "552 5.2.2 mailbox full",
        "552 Requested mail action aborted: exceeded storage allocation",
        "550 mailbox is full",
    ],
    Verdict.DEFERRED: [
        "450 4.7.1 <ana@example.com>: Recipient address rejected: Greylisted",
        "451 4.7.1 Greylisting in action, please come back later",
        "450 4.2.1 The user you are trying to contact is receiving mail too quickly",
        "451 Requested action aborted: local error in processing",
        "450 greylisted",
        "451 4.3.0 Mail server temporarily rejected message",
        "450 5.1.1 a code of another class",
        "450 user unknown",
        "499",
    ],
    Verdict.THROTTLED: [
        "421 4.7.0 Try again later, closing connection",
        "421 Service not available",
        "451 4.3.2 System not accepting network messages",
        "450 4.4.2 Timeout",
        "451 4.4.5 Server busy",
        "421 4.7.28 Our system has detected an unusual rate of unsolicited mail",
        "450 4.7.28 the same, without the end of the session",
        "454 Throttling failure: Maximum sending rate exceeded.",
        "454 4.7.0 Temporary authentication failure",
        "451 4.7.500 Server busy. Please try again later",
        "451 4.7.652 The mail server [192.0.2.1] has exceeded the maximum number of connections.",
        "451 [TSS04] Messages from 192.0.2.1 temporarily deferred due to user complaints",
        "450 4.7.650 rate limited due to IP reputation",
        "450 Rate limit exceeded",
    ],
    Verdict.BLOCKED: [
        "550 5.7.1 [192.0.2.1 18] Gmail has detected that this message is likely unsolicited mail.",
        "550 5.7.1 Service unavailable, Client host blocked using Spamhaus; user unknown",
        "550 5.7.606 Access denied, banned sending IP [192.0.2.1]",
        "554 5.7.0 Policy",
        "554 Transaction failed",
        "571 Blocked",
        "550 SPF check failed",
        "550 blocked using zen.spamhaus.org",
        "554 Message not allowed - [PH01] Email not accepted for policy reasons.",
    ],
    Verdict.CONFIGURATION: [
        "530 5.7.0 Authentication required",
        "530 Must issue a STARTTLS command first",
        "534 5.7.9 Authentication mechanism is too weak",
        "535 5.7.8 Username and Password not accepted",
        "535 Authentication credentials invalid",
        "538 Encryption required",
        "525 5.7.13 User account disabled",
        "550 5.7.13 User account disabled",
        "553 5.1.7 Bad sender address syntax",
        "550 5.1.8 <news@example.com>: Sender address rejected: Domain not found",
        "550 5.7.20 No passing DKIM signature",
        "550 5.7.21 No acceptable DKIM signature",
        "550 5.7.22 No author-matching DKIM signature",
        "550 5.7.23 SPF validation failed",
        "550 5.7.24 SPF validation error",
        "550 5.7.25 The IP address sending this message does not have a PTR record",
        "550 5.7.26 This mail has been blocked because the sender is unauthenticated.",
        "550 5.7.27 SPF did not pass",
        "550 5.7.29 Not sent over a TLS connection",
        "550 5.7.30 DKIM did not pass",
        "550 5.7.31 No DMARC policy",
        "550 5.7.32 From: does not align",
        "550 5.7.40 No DMARC record",
        "550 5.7.515 Access denied, sending domain does not meet the required level",
        "550 5.7.11 Encryption required",
        "550 5.7.14 Trust relationship required",
    ],
    Verdict.CONTENT: [
        "552 5.2.3 Message exceeds maximum size",
        "552 5.3.4 Message size exceeds fixed limit",
        "552 Message size exceeds fixed maximum message size",
        "550 Mail too large",
        "554 5.6.0 Message contains invalid header",
        "554 5.6.3 Conversion required but not supported",
    ],
    Verdict.PROTOCOL: [
        "503 5.5.1 Error: need MAIL command",
        "503 Bad sequence of commands",
        "500 5.5.2 Error: bad syntax",
        "501 Syntax error in parameters",
        "502 Command not implemented",
        "504 Parameter not implemented",
        "555 MAIL FROM/RCPT TO parameters not recognized",
        "550 5.5.4 Unsupported option",
        "354 Go on",
        "199",
    ],
}  # fmt: skip


def _reply(text: str) -> Reply:
    return Reply(int(text[:3]), text[4:])


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [(reply, verdict) for verdict, replies in _REPLIES.items() for reply in replies],
)
def test_a_reply_is_whose_matter_it_is(reply: str, verdict: Verdict) -> None:
    assert of_reply(_reply(reply)) is verdict
    if verdict is not Verdict.ACCEPTED:
        assert of_outcome(Refused(_reply(reply))) is verdict


def test_an_outcome_without_a_refusal_is_what_its_name_says() -> None:
    assert of_outcome(Accepted(Reply(250, "Ok"))) is Verdict.ACCEPTED
    assert of_outcome(NotTried("gone")) is Verdict.ROUTE
    assert of_outcome(InDoubt("gone")) is Verdict.DOUBT


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (None, Verdict.ROUTE),
        (Reply(421, "4.3.2 Busy"), Verdict.THROTTLED),
        (Reply(454, "4.7.0 No login now"), Verdict.THROTTLED),
        (Reply(535, "5.7.8 Wrong password"), Verdict.CONFIGURATION),
        (Reply(554, "5.7.1 user unknown"), Verdict.CONFIGURATION),
    ],
)
def test_a_session_that_did_not_begin_is_a_matter_of_the_route(
    reply: Reply | None, verdict: Verdict
) -> None:
    assert of_session(reply) is verdict


_STATUSES = {
    Verdict.ACCEPTED: [200, 201, 202, 204],
    Verdict.CONTENT: [400, 413, 422],
    Verdict.CONFIGURATION: [301, 302, 307, 401, 402, 403, 404],
    Verdict.THROTTLED: [425, 429, 503],
    Verdict.DOUBT: [500, 502, 504, 520, 599],
    Verdict.ROUTE: [408],
    Verdict.PROTOCOL: [100, 405, 406, 409, 410, 415, 431, 501, 505],
}


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(status, verdict) for verdict, statuses in _STATUSES.items() for status in statuses],
)
def test_a_status_is_whose_matter_it_is(status: int, verdict: Verdict) -> None:
    assert of_status(status) is verdict


_code = st.integers(100, 599)
_text = st.one_of(
    st.text(max_size=60),
    st.builds(
        "{}.{}.{} {}".format, st.integers(2, 5), st.integers(0, 9), st.integers(0, 700), st.text()
    ),
    st.sampled_from([reply[4:] for replies in _REPLIES.values() for reply in replies]),
)


@given(_code, _text)
def test_only_a_2xx_is_accepted_and_only_a_5xx_is_final(code: int, text: str) -> None:
    verdict = of_reply(Reply(code, text))
    assert (verdict is Verdict.ACCEPTED) == (200 <= code < 300)
    if 400 <= code < 500:
        assert verdict in (Verdict.DEFERRED, Verdict.THROTTLED, Verdict.FULL)
    assert verdict not in (Verdict.ROUTE, Verdict.DOUBT)  # a reply leaves none


@given(_code, _text)
def test_hard_is_what_says_so_and_what_reports_of_providers_mean_by_the_same_words(
    code: int, text: str
) -> None:
    reply = Reply(code, text)
    if of_reply(reply) is Verdict.HARD:
        assert code >= 500
        assert cause_of(str(reply)) is Cause.NO_SUCH_ADDRESS


@given(st.integers(500, 599).filter(lambda code: code != 556), st.text("xyz ", max_size=60))
def test_what_is_unknown_is_never_hard(code: int, text: str) -> None:
    assert of_reply(Reply(code, text)) is not Verdict.HARD


@given(st.integers(0, 999), st.integers(0, 999))
def test_an_unknown_enhanced_code_is_never_hard(subject: int, detail: int) -> None:
    known = {reply.split()[1] for reply in _REPLIES[Verdict.HARD]}
    if f"5.{subject}.{detail}" not in known:
        assert of_reply(Reply(550, f"5.{subject}.{detail} no")) is not Verdict.HARD


@given(st.integers(100, 599))
def test_no_status_is_hard(status: int) -> None:
    assert of_status(status) is not Verdict.HARD


@pytest.mark.parametrize("text", ["user " * 400, "5.1." * 500, "a" * 5_000_000, "message" * 300])
def test_an_endless_reply_is_read_in_no_time(text: str) -> None:
    of_reply(Reply(550, text))
