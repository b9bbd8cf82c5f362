"""The meaning of the answer to a hand-off for message, address and route: one table for replies of
SMTP and one for HTTP.

Enhanced status codes come first (RFC 3463, iana.org/assignments/smtp-enhanced-status-codes; Gmail's
own: support.google.com/a/answer/3726730), then basic codes (RFC 5321, section 4.2.3), then words,
which are those of `webhooks.meaning`. An unknown answer is never `HARD`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import assert_never

from connectors.delivery.outcomes import Accepted, InDoubt, NotTried, Outcome, Refused, Reply
from connectors.webhooks.meaning.causes import Cause
from connectors.webhooks.meaning.mail_servers import cause_of_words


class Verdict(Enum):
    """Whose matter an answer is, and so what follows."""

    ACCEPTED = "the provider has the message"
    HARD = "the address does not exist or never takes mail: suppress it"
    SOFT = "the address was not reached, and repeating it now would not help"
    FULL = "the mailbox is full: try again within a day"
    DEFERRED = "not now, as greylisting says: try this message again later"
    THROTTLED = "route or domain is to slow down; no attempt of the message"
    BLOCKED = "policy, reputation or a block list refused the message; never suppress for it"
    CONFIGURATION = "credentials, DNS records or sender have to be put right before anything goes"
    CONTENT = "this content is refused by its size or form, whoever it is for"
    PROTOCOL = "this side asked wrongly: end the session and try once more"
    ROUTE = "nothing was handed over: try again, on another route if there is one"
    DOUBT = "it may have been handed over"


# `<class>.<subject>.<detail>`
_ENHANCED: Mapping[str, Verdict] = MappingProxyType(
    {
        "4.2.1": Verdict.DEFERRED,  # mailbox disabled for now; Gmail: it gets mail too fast
        "4.2.2": Verdict.FULL,
        "4.3.2": Verdict.THROTTLED,  # the system takes no messages now
        "4.4.2": Verdict.THROTTLED,  # bad connection
        "4.4.5": Verdict.THROTTLED,  # congestion
        "4.7.1": Verdict.DEFERRED,  # greylisting, mostly
        "4.7.28": Verdict.THROTTLED,  # Gmail: unusually much mail of one sender
        "5.1.1": Verdict.HARD,  # no such mailbox
        "5.1.2": Verdict.HARD,  # no such system
        "5.1.3": Verdict.HARD,  # syntax of the address
        "5.1.4": Verdict.SOFT,  # ambiguous
        "5.1.5": Verdict.SOFT,  # "valid", which explains no refusal
        "5.1.6": Verdict.HARD,  # moved, no forwarding address
        "5.1.7": Verdict.CONFIGURATION,  # syntax of the sender's address
        "5.1.8": Verdict.CONFIGURATION,  # the sender's domain takes no mail
        "5.1.10": Verdict.HARD,  # the domain takes no mail, RFC 7505
        "5.2.1": Verdict.HARD,  # mailbox disabled
        "5.2.2": Verdict.FULL,
        "5.2.3": Verdict.CONTENT,  # too long for this mailbox
        "5.3.4": Verdict.CONTENT,  # too big for the system
        "5.6.7": Verdict.SOFT,  # addresses that are not ASCII are not taken, RFC 6531
        "5.7.8": Verdict.CONFIGURATION,  # credentials
        "5.7.9": Verdict.CONFIGURATION,  # mechanism of the login too weak
        "5.7.11": Verdict.CONFIGURATION,  # the login needs encryption
        "5.7.13": Verdict.CONFIGURATION,  # our account is disabled: it follows a login, RFC 5248
        "5.7.14": Verdict.CONFIGURATION,  # the login needs a trust relationship
        "5.7.17": Verdict.HARD,  # the mailbox has another owner by now, RFC 7293
        "5.7.18": Verdict.HARD,  # so has the domain, RFC 7293
        "5.7.20": Verdict.CONFIGURATION,  # no passing DKIM signature, RFC 7372
        "5.7.21": Verdict.CONFIGURATION,  # no acceptable DKIM signature, RFC 7372
        "5.7.22": Verdict.CONFIGURATION,  # no DKIM signature of the author's domain, RFC 7372
        "5.7.23": Verdict.CONFIGURATION,  # SPF fails, RFC 7372
        "5.7.24": Verdict.CONFIGURATION,  # SPF cannot be evaluated, RFC 7372
        "5.7.25": Verdict.CONFIGURATION,  # no reverse DNS, RFC 7372
        "5.7.26": Verdict.CONFIGURATION,  # several authentication checks fail, RFC 7372
        "5.7.27": Verdict.CONFIGURATION,  # the sender's domain has a null MX, RFC 7505
        "5.7.29": Verdict.CONFIGURATION,  # Gmail: not sent over TLS
        "5.7.30": Verdict.CONFIGURATION,  # Gmail: DKIM
        "5.7.31": Verdict.CONFIGURATION,  # Gmail: DMARC
        "5.7.32": Verdict.CONFIGURATION,  # Gmail: the sender's domain is neither SPF's nor DKIM's
        "5.7.40": Verdict.CONFIGURATION,  # Gmail: DMARC
        "5.7.515": Verdict.CONFIGURATION,  # Outlook.com: SPF, DKIM and DMARC have to pass
    }
)
# Where a class and a subject say enough. Subjects that are not here leave it to the words.
_SUBJECTS: Mapping[str, Verdict] = MappingProxyType(
    {
        "5.2": Verdict.SOFT,  # mailbox
        "5.6": Verdict.CONTENT,  # content and media
        "5.7": Verdict.BLOCKED,  # security and policy
    }
)
# Basic codes that say more than a subject does.
_PLAIN: Mapping[int, Verdict] = MappingProxyType(
    {
        421: Verdict.THROTTLED,  # the server ends the session
        454: Verdict.THROTTLED,  # no login or TLS now; SES over its rate
        525: Verdict.CONFIGURATION,  # our account is disabled
        530: Verdict.CONFIGURATION,  # a login or TLS is missing
        534: Verdict.CONFIGURATION,  # the login is too weak
        535: Verdict.CONFIGURATION,  # credentials
        538: Verdict.CONFIGURATION,  # the login needs encryption
    }
)
# Basic codes when neither enhanced code nor words say anything.
_REPLIES: Mapping[int, Verdict] = MappingProxyType(
    {
        452: Verdict.FULL,  # storage
        500: Verdict.PROTOCOL,  # command unknown
        501: Verdict.PROTOCOL,  # syntax of parameters
        502: Verdict.PROTOCOL,  # command not implemented
        503: Verdict.PROTOCOL,  # sequence of commands
        504: Verdict.PROTOCOL,  # parameter not implemented
        552: Verdict.FULL,  # exceeded storage allocation
        554: Verdict.BLOCKED,  # transaction failed
        555: Verdict.PROTOCOL,  # parameters of MAIL or RCPT
        556: Verdict.HARD,  # the domain takes no mail, RFC 7504
        571: Verdict.BLOCKED,  # some servers' 5.7.1
    }
)
_WORDS: Mapping[Cause, Verdict] = MappingProxyType(
    {
        Cause.UNREACHABLE: Verdict.FULL,  # the only such words are those of a full mailbox
        Cause.REFUSED: Verdict.BLOCKED,
        Cause.NO_SUCH_ADDRESS: Verdict.HARD,
    }
)
_HTTP: Mapping[int, Verdict] = MappingProxyType(
    {
        400: Verdict.CONTENT,
        401: Verdict.CONFIGURATION,
        402: Verdict.CONFIGURATION,  # the account is not paid for
        403: Verdict.CONFIGURATION,
        404: Verdict.CONFIGURATION,  # the address of the service
        408: Verdict.ROUTE,  # the request did not arrive whole
        413: Verdict.CONTENT,
        422: Verdict.CONTENT,
        425: Verdict.THROTTLED,
        429: Verdict.THROTTLED,
        501: Verdict.PROTOCOL,
        503: Verdict.THROTTLED,
        505: Verdict.PROTOCOL,
    }
)
_CODE = re.compile(r"(?<![0-9.])([245])\.([0-9]{1,3})\.([0-9]{1,3})(?!\.?[0-9])", re.ASCII)
# Microsoft: 4.7.500 to 4.7.699 are throttling; Yahoo: [TSS04] and its neighbours
_SLOWER = re.compile(r"(?<![0-9.])4\.7\.[56][0-9]{2}(?![0-9])|\btss[0-9]{2}\b|throttl|rate.?limit")
_TOO_LARGE = re.compile(
    r"(?:message|mail|size).{0,40}(?:too (?:large|big)|exceeds?\b)|\btoo large\b"
)
_LONGEST = 2_000  # characters of a reply that are searched


def of_outcome(outcome: Outcome) -> Verdict:
    """Return the verdict on a hand-off by SMTP."""
    match outcome:
        case Accepted():
            return Verdict.ACCEPTED
        case Refused(reply):
            return of_reply(reply)
        case NotTried():
            return Verdict.ROUTE
        case InDoubt():
            return Verdict.DOUBT
        case _:
            assert_never(outcome)


def of_session(reply: Reply | None) -> Verdict:
    """Return the verdict on a session that did not begin: the reply of its `SessionError`."""
    if reply is None:
        return Verdict.ROUTE
    return Verdict.CONFIGURATION if reply.code >= 500 else Verdict.THROTTLED


def of_reply(reply: Reply) -> Verdict:
    """Return the verdict on a final reply. An enhanced code of another class than the basic code's
    says nothing.
    """
    if 200 <= reply.code < 300:
        return Verdict.ACCEPTED
    text, kind = " ".join(reply.text[:_LONGEST].lower().split()), reply.code // 100
    if kind not in (4, 5):
        return Verdict.PROTOCOL
    found = _CODE.search(text)
    parts = [str(int(part)) for part in found.groups()] if found else []
    if parts[:1] != [str(kind)]:
        parts = []
    verdict = _ENHANCED.get(".".join(parts)) or _PLAIN.get(reply.code)
    if verdict is not None:
        return verdict
    if kind == 4:
        is_slower = _SLOWER.search(text) is not None
        return Verdict.THROTTLED if is_slower else _REPLIES.get(reply.code, Verdict.DEFERRED)
    return _SUBJECTS.get(".".join(parts[:2])) or _refused(reply.code, text, parts)


def of_status(status: int) -> Verdict:
    """Return the verdict on an HTTP status. Some of a server's own faults leave it in doubt whether
    it has the message.

    A status that means something else to one provider, as 406 to Postmark and 409 to Loops, is in
    that provider's module.
    """
    if 200 <= status < 300:
        return Verdict.ACCEPTED
    if (verdict := _HTTP.get(status)) is not None:
        return verdict
    if status >= 500:
        return Verdict.DOUBT
    return Verdict.CONFIGURATION if 300 <= status < 400 else Verdict.PROTOCOL


def _refused(code: int, text: str, parts: list[str]) -> Verdict:
    """A permanent reply whose enhanced code, if there is one, does not decide."""
    if not parts and _TOO_LARGE.search(text):
        return Verdict.CONTENT
    cause = cause_of_words(text)
    if parts[1:2] in (["3"], ["4"]):  # system and routing, unless the words name a mailbox
        return Verdict.HARD if cause is Cause.NO_SUCH_ADDRESS else Verdict.SOFT
    if cause is not None:
        return _WORDS[cause]
    if parts[1:2] == ["5"]:  # protocol; Outlook.com's 5.5.0 has the words of a missing mailbox
        return Verdict.PROTOCOL
    return Verdict.SOFT if parts else _REPLIES.get(code, Verdict.SOFT)
