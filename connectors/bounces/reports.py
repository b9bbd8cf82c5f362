"""The meaning of a mail that came to an address for bounces: whether it is a report, of what, and
about which message. Pure, bounded, and never raising, because anybody may send anything there.

The order is that of trust: reports for machines (RFC 3464 about delivery, RFC 5965 about
complaints, RFC 8098 about reading), then a person's absence, then the sentences of older servers,
of which flufl.bounce knows many.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as member
from enum import Enum

from connectors.bounces import automatic, odd, statuses
from connectors.bounces.mails import Mail, Part, blocks, field, parsed
from connectors.bounces.names import returned, said_in, to
from connectors.delivery.classification import Verdict
from connectors.webhooks.meaning.causes import Cause
from connectors.webhooks.meaning.mail_providers import SES_COMPLAINTS


class Kind(Enum):
    """The kinds of mails that come back."""

    BOUNCE = "the message was not delivered, and no more tries follow"
    DELAY = "the message was not delivered yet"
    COMPLAINT = "the person has called the message spam"
    AUTO_REPLY = "a program has answered for the person, who is away"
    NOTHING = "nothing about the delivery of a message"


@dataclass(frozen=True, slots=True)
class Report:
    """`ids`: those of the messages that it may be about, the best first; none is verified.
    `verdict` and `words`, which may hold addresses, are those of a bounce.
    """

    kind: Kind
    ids: tuple[str, ...] = ()
    verdict: Verdict = Verdict.SOFT
    words: str = member(default="", repr=False)


def read(raw: bytes, recipient: str = "") -> Report:
    """Read a mail that came to `recipient`, the address of the envelope, where that is known. Never
    raises.
    """
    mail = parsed(raw)
    try:
        return _read(mail, raw, recipient)
    # values of fields are anybody's, and the parsers that are asked for them have bugs
    except Exception:  # noqa: BLE001
        return Report(Kind.NOTHING, tuple(to(mail, recipient)))


def _read(mail: Mail, raw: bytes, recipient: str) -> Report:
    if (
        part := mail.first("message/delivery-status", "message/global-delivery-status")
    ) is not None:
        return _of_delivery(mail, part, recipient)
    if (part := mail.first("message/feedback-report")) is not None:
        return _of_complaint(mail, part, recipient)
    ids = tuple(dict.fromkeys([*to(mail, recipient), *returned(mail)]))
    if mail.first("message/disposition-notification") is not None:
        return Report(Kind.NOTHING, ids)
    is_daemon = automatic.is_daemon(mail)
    if not is_daemon and automatic.is_reply(mail):
        return Report(Kind.AUTO_REPLY, ids)
    # in a person's mouth the same sentences say nothing about the delivery
    found = odd.failure(mail) if is_daemon or automatic.is_unanswerable(mail) else None
    if found is None:
        return Report(Kind.NOTHING, ids)
    ids = ids or tuple(dict.fromkeys(said_in(raw)))
    if found.is_delay:
        return Report(Kind.DELAY, ids)
    return Report(Kind.BOUNCE, ids, found.verdict, found.words)


def _of_delivery(mail: Mail, part: Part, recipient: str) -> Report:
    groups = blocks(part.message)
    named = [field(group, "Original-Envelope-Id") for group in groups]
    ids = tuple(dict.fromkeys([*to(mail, recipient), *returned(mail, *named)]))
    found = statuses.of(groups)
    if found is None:
        return Report(Kind.NOTHING, ids)
    if found.is_delay:
        return Report(Kind.DELAY, ids)
    return Report(Kind.BOUNCE, ids, found.verdict, found.words)


def _of_complaint(mail: Mail, part: Part, recipient: str) -> Report:
    payload = part.message.get_payload()
    groups = (
        [one for one in payload if not isinstance(one, str)] if isinstance(payload, list) else []
    )
    named, kind = list[str](), ""
    for group in groups[:1]:
        kind = field(group, "Feedback-Type").lower()
        named += [field(group, name) for name in ("Original-Envelope-Id", "Original-Mail-From")]
    ids = tuple(dict.fromkeys([*to(mail, recipient), *returned(mail, *named)]))
    # as everywhere, a type that nobody knows yet is a complaint: it errs for the person
    is_one = SES_COMPLAINTS.get(kind, Cause.COMPLAINED) is Cause.COMPLAINED
    return Report(Kind.COMPLAINT if is_one else Kind.NOTHING, ids)
