"""Mails as servers write them about a message of ours, made after what their documentation shows.

Postfix: postfix.org/bounce.5.html and RFC 3464, appendix E. Exim: exim.org/exim-html-current/doc/
html/spec_html (chapter 49, customizing bounce messages). Exchange: learn.microsoft.com/exchange/
troubleshoot/email-delivery/ndr. Gmail: support.google.com/mail/answer/6596. qmail:
cr.yp.to/proto/qsbmf.txt. ARF: RFC 5965, appendix B.
"""

from __future__ import annotations

from textwrap import dedent

from streams.records.message_id import MessageIds

TENANT, DOMAIN = "acme", "bounce.acme.example"
IDS = MessageIds([b"0" * 32])
ID = IDS.make(42, 7, TENANT, 0)
OTHER = IDS.make(42, 8, TENANT, 0)
PATH = f"b.{ID}@{DOMAIN}"
_HEADER = f"""\
From: Acme <news@acme.example>
To: ana@example.com
Subject: Unknown user? Mailbox full? 550 5.1.1 is no code here
Message-ID: <{ID}@acme.example>
Date: Wed, 28 Jan 2026 09:00:00 +0000
"""


def mail(text: str) -> bytes:
    """A text of these samples as it goes over the network."""
    return dedent(text).replace("\n", "\r\n").encode()


def dsn(
    fields: str,
    *,
    to: str = PATH,
    per_message: str = "Reporting-MTA: dns; mx.example.com",
    sender: str = "MAILER-DAEMON@mx.example.com",
    said: str = "Your message could not be delivered.",
    header: str = _HEADER,
) -> bytes:
    """A report of RFC 3464 with these fields of recipients, groups apart by an empty line."""
    text = f"""\
From: Mail Delivery System <{sender}>
To: {to}
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
 boundary="B_1"

--B_1
Content-Type: text/plain; charset=us-ascii

{said}

--B_1
Content-Type: message/delivery-status

{per_message}

{dedent(fields).strip()}

--B_1
Content-Type: text/rfc822-headers

{header}
--B_1--
"""
    return text.replace("\n", "\r\n").encode()


def recipient(status: str, diagnostic: str = "", action: str = "failed") -> str:
    """The fields of one recipient."""
    fields = f"Final-Recipient: rfc822; ana@example.com\nAction: {action}\nStatus: {status}\n"
    return fields + (f"Diagnostic-Code: {diagnostic}\n" if diagnostic else "")


POSTFIX = dsn(
    """\
    Final-Recipient: rfc822; ana@example.com
    Original-Recipient: rfc822;ana@example.com
    Action: failed
    Status: 5.1.1
    Remote-MTA: dns; mx.example.com
    Diagnostic-Code: smtp; 550 5.1.1 <ana@example.com>: Recipient address rejected:
        User unknown in virtual mailbox table
    """,
    per_message=f"""\
Reporting-MTA: dns; mail.relay.example
Original-Envelope-Id: {ID}
X-Postfix-Queue-ID: 4F6A21C0A4
X-Postfix-Sender: rfc822; {PATH}
Arrival-Date: Wed, 28 Jan 2026 09:00:01 +0000 (UTC)""",
)
POSTFIX_EXPIRED = dsn(
    """\
    Final-Recipient: rfc822; ana@example.com
    Action: failed
    Status: 4.4.1
    Diagnostic-Code: X-Postfix; connect to mx.example.com[192.0.2.7]:25: Connection timed out
    """
)
POSTFIX_NO_HOST = dsn(
    """\
    Final-Recipient: rfc822; ana@no.example
    Action: failed
    Status: 5.4.4
    Diagnostic-Code: X-Postfix; Host or domain name not found. Name service error for
        name=no.example type=AAAA: Host not found
    """
)
POSTFIX_DELAY = dsn(
    """\
    Final-Recipient: rfc822; ana@example.com
    Action: delayed
    Status: 4.4.1
    Diagnostic-Code: X-Postfix; connect to mx.example.com[192.0.2.7]:25: Connection refused
    Will-Retry-Until: Mon, 02 Feb 2026 09:00:01 +0000 (UTC)
    """
)
EXIM = dsn(
    """\
    Action: failed
    Final-Recipient: rfc822;ana@example.com
    Status: 5.0.0
    Remote-MTA: dns; mx.example.com
    Diagnostic-Code: smtp; 550 No such user here
    """,
    sender="Mailer-Daemon@mail.relay.example",
)
EXIM_OLD = mail(
    f"""\
    Return-path: <>
    X-Failed-Recipients: ana@example.com
    Auto-Submitted: auto-replied
    From: Mail Delivery System <Mailer-Daemon@mail.relay.example>
    To: {PATH}
    Subject: Mail delivery failed: returning message to sender
    Message-Id: <E1VkXsW-0006zK-Un@mail.relay.example>

    This message was created automatically by mail delivery software.

    A message that you sent could not be delivered to one or more of its
    recipients. This is a permanent error. The following address(es) failed:

      ana@example.com
        SMTP error from remote mail server after RCPT TO:<ana@example.com>:
        host mx.example.com [192.0.2.7]: 550 5.1.1 <ana@example.com>: User unknown

    ------ This is a copy of the message, including all the headers. ------

    Return-path: <{PATH}>
    Message-ID: <{ID}@acme.example>
    Subject: Hello
    """
)
EXIM_DELAY = mail(
    f"""\
    Return-path: <>
    Auto-Submitted: auto-replied
    From: Mail Delivery System <Mailer-Daemon@mail.relay.example>
    To: {PATH}
    Subject: Warning: message 1VkXsW-0006zK-Un delayed 24 hours

    This message was created automatically by mail delivery software.
    A message that you sent has not yet been delivered to one or more of its
    recipients after more than 24 hours on the queue on mail.relay.example.

    The message identifier is:     1VkXsW-0006zK-Un
    The subject of the message is: Hello
    The date of the message is:    Wed, 28 Jan 2026 09:00:00 +0000

    The address to which the message has not yet been delivered is:

      ana@example.com

    No action is required on your part. Delivery attempts will continue for
    some time, and this warning may be repeated at intervals.
    """
)
EXCHANGE = dsn(
    """\
    Final-Recipient: rfc822;ana@example.com
    Action: failed
    Status: 5.1.10
    Remote-MTA: dns;mail.protection.outlook.com
    Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient
     ana@example.com not found by SMTP address lookup
    X-Display-Name: ana@example.com
    """,
    per_message="""\
Reporting-MTA: dns;DB3PR0102MB3459.eurprd01.prod.exchangelabs.com
Received-From-MTA: dns;mail.relay.example
Arrival-Date: Wed, 28 Jan 2026 09:00:01 +0000""",
    sender="postmaster@example.com",
)
EXCHANGE_FULL = dsn(
    """\
    Final-Recipient: rfc822;ana@example.com
    Action: failed
    Status: 5.2.2
    Diagnostic-Code: smtp;554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException
    """,
    sender="postmaster@example.com",
)
EXCHANGE_POLICY = dsn(
    """\
    Final-Recipient: rfc822;ana@example.com
    Action: failed
    Status: 5.7.1
    Diagnostic-Code: smtp;550 5.7.1 TRANSPORT.RULES.RejectMessage; the message was rejected by
     organization policy
    """,
    sender="postmaster@example.com",
)
GMAIL = dsn(
    """\
    Final-Recipient: rfc822; ana@example.com
    Action: failed
    Status: 5.1.1
    Remote-MTA: dns; gmail-smtp-in.l.google.com. (192.0.2.26, the server for the domain
     example.com.)
    Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist.
     Please try 550-5.1.1 double-checking the recipient's email address for typos or
     550-5.1.1 unnecessary spaces. 550 5.1.1  https://support.google.com/mail/?p=NoSuchUser
    Last-Attempt-Date: Wed, 28 Jan 2026 01:00:03 -0800 (PST)
    """,
    sender="mailer-daemon@googlemail.com",
)
OPENSMTPD = dsn(
    recipient("5.0.0", "", action="error (permanent)"), sender="MAILER-DAEMON@a.example"
)
QMAIL = mail(
    f"""\
    From: MAILER-DAEMON@mail.relay.example
    To: {PATH}
    Subject: failure notice

    Hi. This is the qmail-send program at mail.relay.example.
    I'm afraid I wasn't able to deliver your message to the following addresses.
    This is a permanent error; I've given up. Sorry it didn't work out.

    <ana@example.com>:
    192.0.2.7 does not like recipient.
    Remote host said: 550 5.1.1 No such user: ana@example.com
    Giving up on 192.0.2.7.

    --- Below this line is a copy of the message.

    Return-Path: <{PATH}>
    From: Acme <news@acme.example>
    Message-ID: <{ID}@acme.example>
    Subject: Mailbox is full of offers

    Hello
    """
)
QMAIL_LOCAL = QMAIL.replace(
    b"192.0.2.7 does not like recipient.\r\n"
    b"Remote host said: 550 5.1.1 No such user: ana@example.com\r\nGiving up on 192.0.2.7.",
    b"Sorry, no mailbox here by that name. (#5.1.1)",
)


def complaint(kind: str = "abuse", *, to: str = "fbl@acme.example", more: str = "") -> bytes:
    """A complaint in the Abuse Reporting Format."""
    return f"""\
From: <feedback@provider.example>
To: {to}
Subject: FW: Hello
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="F_1"

--F_1
Content-Type: text/plain; charset="US-ASCII"

This is an email abuse report for an email message received from IP 192.0.2.1.

--F_1
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: SomeGenerator/1.0
Version: 1
{more}Original-Rcpt-To: <ana@example.com>

--F_1
Content-Type: message/rfc822

{_HEADER}
Hello

--F_1--
""".replace("\n", "\r\n").encode()
