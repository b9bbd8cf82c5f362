"""The codes of Amazon SES, SendGrid and Mailgun, each beside the words of its page."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from connectors.webhooks.meaning.causes import Cause
from connectors.webhooks.meaning.mail_servers import cause_of

# docs.aws.amazon.com/ses/latest/dg/notification-contents.html, "Bounce types". None: the page says
# that the provider of the recipient named no reason, so the answer of its server decides.
SES_BOUNCES: Mapping[tuple[str, str], Cause | None] = MappingProxyType(
    {
        ("Undetermined", "Undetermined"): None,
        ("Permanent", "General"): None,
        ("Permanent", "NoEmail"): Cause.NO_SUCH_ADDRESS,
        ("Permanent", "Suppressed"): Cause.ALREADY_SUPPRESSED,
        ("Permanent", "OnAccountSuppressionList"): Cause.ALREADY_SUPPRESSED,
        ("Transient", "General"): Cause.UNREACHABLE,  # automatic answers, too
        ("Transient", "MailboxFull"): Cause.UNREACHABLE,
        ("Transient", "MessageTooLarge"): Cause.REFUSED,
        ("Transient", "ContentRejected"): Cause.REFUSED,
        ("Transient", "AttachmentRejected"): Cause.REFUSED,
    }
)
# "Complaint types", from iana.org/assignments/marf-parameters. Another type, or none, is a
# complaint: it errs for the person.
SES_COMPLAINTS: Mapping[str, Cause] = MappingProxyType(
    {
        "abuse": Cause.COMPLAINED,
        "auth-failure": Cause.NEWS_OF_NOBODY,  # a report about DKIM or SPF, RFC 6591
        "fraud": Cause.COMPLAINED,
        "not-spam": Cause.NEWS_OF_NOBODY,  # taken out of the spam folder, RFC 6430
        "other": Cause.COMPLAINED,
        "virus": Cause.COMPLAINED,
    }
)
# docs.sendgrid.com/for-developers/tracking-events/event: a bounce is permanent (type bounce), a
# block is not (type blocked; docs/glossary/blocks: an ISP has refused it, or it was deferred for
# 72 hours). `bounce_classification`, from the Bounces API's schema; unclassified: None.
SENDGRID_CLASSES: Mapping[str, Cause | None] = MappingProxyType(
    {
        "invalid address": Cause.NO_SUCH_ADDRESS,
        "mailbox unavailable": Cause.UNREACHABLE,
        "content": Cause.REFUSED,
        "reputation": Cause.REFUSED,
        "frequency or volume too high": Cause.REFUSED,
        "frequency/volume": Cause.REFUSED,
        "technical": Cause.UNREACHABLE,
        "technical failure": Cause.UNREACHABLE,
        "unclassified": None,
    }
)
# Reasons of `dropped`, on the same page and docs/glossary/drops: nothing was sent.
SENDGRID_DROPS: Mapping[str, Cause] = MappingProxyType(
    {
        "bounced address": Cause.ALREADY_SUPPRESSED,
        "unsubscribed address": Cause.ALREADY_SUPPRESSED,
        "spam reporting address": Cause.ALREADY_SUPPRESSED,
        "invalid": Cause.ALREADY_SUPPRESSED,  # on its list of invalid addresses
        "spam content": Cause.NOT_SENT,
        "invalid smtpapi header": Cause.NOT_SENT,
        "recipient list over package quota": Cause.NOT_SENT,
    }
)
# documentation.mailgun.com/docs/mailgun/user-manual/events: reasons of a permanent failure. None:
# they come with the answer of the recipient's server.
MAILGUN_REASONS: Mapping[str, Cause | None] = MappingProxyType(
    {
        "suppress-bounce": Cause.ALREADY_SUPPRESSED,
        "suppress-unsubscribe": Cause.ALREADY_SUPPRESSED,
        "suppress-complaint": Cause.ALREADY_SUPPRESSED,
        "espblock": Cause.REFUSED,
        "old": Cause.UNREACHABLE,  # tried until the limit of retries
        "bounce": None,
        "hardbounce": None,
        "generic": None,
    }
)


def of_ses_bounce(kind: str, sub_type: str, *answer: str) -> Cause:
    """`answer`: status and diagnostic code of the recipient."""
    if (known := SES_BOUNCES.get((kind, sub_type))) is not None:
        return known
    if kind == "Transient":  # of a later year
        return Cause.UNREACHABLE
    if (named := cause_of(*answer)) is not None:
        return named
    is_hard = kind == "Permanent" and sub_type in ("", "General")
    return Cause.NO_SUCH_ADDRESS if is_hard else Cause.UNREACHABLE


def of_ses_complaint(feedback_type: str, sub_type: str) -> Cause:
    """`sub_type` says that SES sent nothing, because of its own list."""
    if sub_type == "OnAccountSuppressionList":
        return Cause.ALREADY_SUPPRESSED
    return SES_COMPLAINTS.get(feedback_type.lower(), Cause.COMPLAINED)


def of_sendgrid_bounce(kind: str, classification: str, *answer: str) -> Cause:
    """`kind`: the type, which is empty or `bounce` when the failure is permanent."""
    if kind == "blocked":
        return Cause.REFUSED
    if kind not in ("", "bounce"):  # such as expired
        return Cause.UNREACHABLE
    known = SENDGRID_CLASSES.get(classification.lower())
    return known or cause_of(*answer) or Cause.NO_SUCH_ADDRESS


def of_sendgrid_drop(reason: str) -> Cause:
    return SENDGRID_DROPS.get(reason.lower(), Cause.NOT_SENT)


def of_mailgun_failure(reason: str, *answer: str) -> Cause:
    """A permanent failure: code, enhanced code and message of the server in `answer`."""
    is_hard = reason in ("", *MAILGUN_REASONS)
    otherwise = Cause.NO_SUCH_ADDRESS if is_hard else Cause.UNREACHABLE
    return MAILGUN_REASONS.get(reason) or cause_of(*answer) or otherwise
