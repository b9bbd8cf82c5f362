"""What receiving mail servers mean, by answers as they come: from public postmaster pages and NDR
references.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.webhooks.meaning.causes import Cause
from connectors.webhooks.meaning.mail_servers import cause_of

_NOBODY = [
    "550 5.1.1 The email account that you tried to reach does not exist. Please try",
    "smtp; 550-5.1.1 The email account that you tried to reach does not exist.",
    "550 5.1.1 <ana@example.com>: Recipient address rejected: User unknown in local table",
    "550 5.1.1. no such user",
    "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
    "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)",
    "550 5.2.1 The email account that you tried to reach is disabled.",
    "554 delivery error: dd This user doesn't have a yahoo.com account (ana@yahoo.com) [0]",
    "554 30 Sorry, your message to ana@yahoo.com cannot be delivered. This mailbox is disabled",
    "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302)",
    "550 Requested action not taken: mailbox unavailable",
    "550 No such user here",
    "550 user unknown",
    "551 unknown user",
    "511 5.1.1 unknown address or alias",
    "550 Invalid recipient",
    "550 #5.1.0 Address rejected. Unknown recipient",
    "553 5.3.0 <ana@example.com>... User unknown, not local address",
    "553 sorry, that domain isn't in my list",
    "550 5.1.2 Host unknown",
    "556 5.1.10 Recipient address has null MX",
    "521 5.3.2 does not accept mail",
    "550 5.7.17 mailbox owner has changed",
]
_REFUSED = [
    "554 5.7.1 Message rejected due to content restrictions",
    "550 5.7.1 [192.0.2.1 18] Gmail has detected that this message is likely unsolicited mail.",
    "550-5.7.26 This mail has been blocked because the sender is unauthenticated.",
    "550 5.7.1 Service unavailable, Client host blocked using Spamhaus; user unknown",
    "550 5.7.606 Access denied, banned sending IP [192.0.2.1]",
    "554 5.6.0 Message contains invalid header",
    "552 5.3.4 Message size exceeds fixed limit",
    "552 5.2.3 Message exceeds maximum size",
    "550 Message rejected as spam by Content Filtering.",
    "554 Message not allowed - [PH01] Email not accepted for policy reasons.",
    "550 Sender domain does not exist",
    "550 5.1.8 <news@example.com>: Sender address rejected: Domain not found",
    "550 SPF check failed",
    "550 blocked using zen.spamhaus.org",
    "571 Email from 192.0.2.1 is currently blocked by Verizon Online's anti-spam system.",
    "554 Transaction failed",
]
_UNREACHABLE = [
    "452 4.2.2 The email account that you tried to reach is over quota.",
    "552 5.2.2 mailbox full",
    "550 mailbox is full",
    "552 Requested mail action aborted: exceeded storage allocation",
    "451 4.7.652 The mail server [192.0.2.1] has exceeded the maximum number of connections.",
    "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to user complaints",
    "550 5.4.7 delivery time expired",
    "554 5.4.6 too many hops",
    "450 greylisted",
    "4.4.1 connection timed out",
]
_SILENT = ["", "550", "550 5.0.0", "5.1.0", "550 rejected", "Undelivered", "192.5.1.1", "5.1.1.1"]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        *((answer, Cause.NO_SUCH_ADDRESS) for answer in _NOBODY),
        *((answer, Cause.REFUSED) for answer in _REFUSED),
        *((answer, Cause.UNREACHABLE) for answer in _UNREACHABLE),
        *((answer, None) for answer in _SILENT),
    ],
)
def test_an_answer_tells_the_address_from_the_message(answer: str, cause: Cause | None) -> None:
    assert cause_of(answer) is cause


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_has_at_most_one_cause(one: str, other: str) -> None:
    assert cause_of(one, other) in (None, Cause.NO_SUCH_ADDRESS, Cause.REFUSED, Cause.UNREACHABLE)


@given(st.integers(0, 30), st.integers(0, 999))
def test_no_policy_and_no_content_makes_an_address_vanish(subject: int, detail: int) -> None:
    found = cause_of(f"550 5.{subject}.{detail} whatever")
    if subject in (3, 4, 6, 7) and (subject, detail) not in ((7, 17), (7, 18)):
        assert found in (Cause.REFUSED, Cause.UNREACHABLE)


@pytest.mark.parametrize("text", ["user " * 400, "5.1." * 500, "a" * 5_000_000, "recipient." * 300])
def test_an_endless_answer_is_read_in_no_time(text: str) -> None:
    cause_of(text)
