"""Delivery status notifications (RFC 3464), and the server's answer in one as a reply of SMTP, so
that a late bounce means the same as a refusal at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message

from connectors.bounces.mails import field
from connectors.delivery.classification import Verdict, of_reply
from connectors.delivery.outcomes import Reply

_MOST_RECIPIENTS = 50
_LONGEST = 2_000  # characters of words
_TYPED = re.compile(r"[A-Za-z0-9._-]{1,40}\s*;\s*")
_CODE = re.compile(r"(?:^|(?:said|response|replied|error)[^0-9]{0,20})([45][0-9]{2})(?=[ -]|$)")
_ENHANCED = re.compile(r"(?<![0-9.])[245]\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9])")
_STATUS = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?![0-9])")
_WORD = re.compile(r"[a-z]+")
_FAILED = frozenset({"failed", "failure", "error"})  # OpenSMTPD writes error
_ARRIVED = frozenset({"delivered", "relayed", "expanded"})


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that was not delivered, or not yet; `words` are the server's."""

    verdict: Verdict
    words: str
    is_delay: bool = False


def of(groups: Iterable[Message]) -> Failure | None:
    """Return the meaning of a report; None when nothing failed.

    A message has one recipient. Of a report about several, to whom it was passed on, they failed
    for good only when all of them did.
    """
    failed, delayed, is_any_there = list[Failure](), list[Failure](), False
    for group in list(groups)[: _MOST_RECIPIENTS + 1]:
        action, status = _action(group), field(group, "Status")
        if not action and not status:
            continue  # the fields of the message
        if action in _FAILED:
            failed.append(_failure(group, status))
        elif action in _ARRIVED:
            is_any_there = True
        elif action == "delayed":
            delayed.append(_failure(group, status))
        else:  # no action of RFC 3464: by the status
            by_class = {"5": failed, "4": delayed}.get(status[:1])
            if by_class is not None:
                by_class.append(_failure(group, status))
    if not failed:
        return Failure(delayed[0].verdict, delayed[0].words, is_delay=True) if delayed else None
    milder = [one for one in failed if one.verdict is not Verdict.HARD]
    if milder or not (delayed or is_any_there):
        return (milder or failed)[0]
    return Failure(Verdict.SOFT, failed[0].words)


def reply(status: str, diagnostic: str) -> Reply:
    """The reply that a status (RFC 3463) and a diagnostic text (`smtp; 550 5.1.1 …`) stand for."""
    typed = _TYPED.match(diagnostic)
    text = diagnostic if typed is None else diagnostic[typed.end() :]
    known, code = _STATUS.match(status), _CODE.search(text[:_LONGEST])
    kind = code[1][0] if code else known[1] if known else "5"
    number = int(code[1]) if code else 550 if kind != "4" else 450
    # one such as 5.0.0 says no more than the code
    says_more = known is not None and known[1] == kind and (known[2], known[3]) != ("0", "0")
    if says_more and not _ENHANCED.search(text):
        text = f"{known[0] if known else ''} {text}"
    return Reply(number, text[:_LONGEST])


def _action(group: Message) -> str:
    found = _WORD.match(field(group, "Action").lower())  # a comment may follow
    return found[0] if found else ""


def _failure(group: Message, status: str) -> Failure:
    diagnostic = field(group, "Diagnostic-Code")
    said = reply(status, diagnostic)
    return Failure(of_reply(said), diagnostic or status)
