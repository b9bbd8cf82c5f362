"""The answers of receiving mail servers, which all providers of email pass on: enhanced status
codes first, then reply codes and the words of the answer.

RFC 3463 and the IANA registry of enhanced status codes (iana.org/assignments/smtp-enhanced-status-
codes); reply codes of RFC 5321 section 4.2.3 and RFC 7504. Words are needed because servers put
unknown mailboxes and refusals alike under 550 or 5.0.0: postmaster.yahooinc.com/error-codes,
support.google.com/a/answer/3726730,
learn.microsoft.com/exchange/troubleshoot/email-delivery/ndr/non-delivery-reports-in-exchange-online
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from connectors.webhooks.meaning.causes import Cause

_ENHANCED = re.compile(r"(?<![0-9.])([245])\.([0-9]{1,3})\.([0-9]{1,3})(?!\.?[0-9])", re.ASCII)
_REPLY = re.compile(r"(?<![0-9.])([45][0-9]{2})(?!\.?[0-9])", re.ASCII)
_LONGEST = 2_000  # characters of an answer that are searched

# Subject and detail of permanent codes, `5.<subject>.<detail>`.
_DETAILS: Mapping[str, Cause] = MappingProxyType(
    {
        "1.1": Cause.NO_SUCH_ADDRESS,  # bad destination mailbox address
        "1.2": Cause.NO_SUCH_ADDRESS,  # bad destination system address
        "1.3": Cause.NO_SUCH_ADDRESS,  # bad destination mailbox address syntax
        "1.4": Cause.UNREACHABLE,  # destination mailbox address ambiguous
        "1.6": Cause.NO_SUCH_ADDRESS,  # mailbox has moved, no forwarding address
        "1.7": Cause.REFUSED,  # bad sender's mailbox address syntax
        "1.8": Cause.REFUSED,  # bad sender's system address
        "1.9": Cause.UNREACHABLE,  # relayed to a non-compliant mailer
        "1.10": Cause.NO_SUCH_ADDRESS,  # the domain takes no mail at all, RFC 7505
        "2.1": Cause.NO_SUCH_ADDRESS,  # mailbox disabled, not accepting messages
        "2.2": Cause.UNREACHABLE,  # mailbox full
        "2.3": Cause.REFUSED,  # message length exceeds administrative limit
        "2.4": Cause.UNREACHABLE,  # mailing list expansion problem
        "3.4": Cause.REFUSED,  # message too big for system
        "7.17": Cause.NO_SUCH_ADDRESS,  # the mailbox has another owner by now, RFC 7293
        "7.18": Cause.NO_SUCH_ADDRESS,  # so has the domain, RFC 7293
    }
)
# The subject alone, where the detail says no more. Those of "0", "1" and "5" leave it to the words;
# so do "3" and "4" where the words name a mailbox, as Exchange Online's 5.4.1 does.
_SUBJECTS: Mapping[str, Cause] = MappingProxyType(
    {
        "2": Cause.UNREACHABLE,  # mailbox
        "3": Cause.UNREACHABLE,  # mail system
        "4": Cause.UNREACHABLE,  # network and routing
        "6": Cause.REFUSED,  # content and media
        "7": Cause.REFUSED,  # security and policy
    }
)
_REPLIES: Mapping[str, Cause] = MappingProxyType(
    {
        "521": Cause.NO_SUCH_ADDRESS,  # the host takes no mail, RFC 7504
        "552": Cause.UNREACHABLE,  # exceeded storage allocation
        "553": Cause.NO_SUCH_ADDRESS,  # mailbox name not allowed
        "554": Cause.REFUSED,  # transaction failed
        "556": Cause.NO_SUCH_ADDRESS,  # the domain takes no mail, RFC 7504
    }
)
_FULL = re.compile(r"quota|mailbox (?:is )?full|over ?limit|insufficient (?:system )?storage")
# A sentence about the sender, a list or a policy is about us, whatever else does not exist in it.
_REFUSAL = re.compile(
    r"\bsender\b|\bspam|junk|\bblock(?:ed|list| list)?\b|\bblack ?list|deny ?list|\brbl\b|dnsbl"
    r"|reputation|polic(?:y|ies)|\bcontent\b|dmarc|\bspf\b|dkim|authenticat|virus|malware|phish"
    r"|banned|too large|too big|rate limit|too many|reverse dns|\bptr\b|not authori[sz]ed"
)
_NOBODY = re.compile(
    r"(?:unknown|no such|invalid|nonexistent|non-existent) (?:local )?"
    r"(?:user|recipient|mailbox|address|account|person|domain)"
    r"|(?:user|recipient|mailbox|account|address|domain)[^.]{0,80}?"
    r"(?:unknown|not found|not exist|n't exist|no longer|disabled|deactivated|inactive|invalid)"
    r"|does(?:n't| not) (?:exist|have an?\b)|no mailbox|not a valid (?:user|recipient|mailbox)"
    r"|mailbox unavailable|recipient address rejected: access denied|no mx\b|host not found"
)


def cause_of(*answers: str) -> Cause | None:
    """The cause that the parts of a final answer name, code before words; None when they name
    none, as `550 5.0.0 rejected`.

    A temporary code in what a provider has given up on says that the address was not reached.
    """
    text = " ".join(answers)[:_LONGEST].lower()
    for status, subject, detail in _ENHANCED.findall(text):
        if status == "4":
            return Cause.UNREACHABLE
        if status == "5" and (found := _of_enhanced(subject, detail, text)) is not None:
            return found
    return cause_of_words(text) or _of_reply(text)


def _of_enhanced(subject: str, detail: str, text: str) -> Cause | None:
    number = f"{int(subject)}.{int(detail)}"
    if number in _DETAILS:
        return _DETAILS[number]
    found = _SUBJECTS.get(str(int(subject)))
    if found is Cause.UNREACHABLE and int(subject) in (3, 4):
        is_gone = _of_reply(text) is Cause.NO_SUCH_ADDRESS or _NOBODY.search(text) is not None
        return Cause.NO_SUCH_ADDRESS if is_gone else found
    return found


def cause_of_words(text: str) -> Cause | None:
    """The cause that the words of an answer (lower case) name, whatever its code; None when they
    name none.
    """
    if _FULL.search(text):
        return Cause.UNREACHABLE
    if _REFUSAL.search(text):
        return Cause.REFUSED
    return Cause.NO_SUCH_ADDRESS if _NOBODY.search(text) else None


def _of_reply(text: str) -> Cause | None:
    code = _REPLY.search(text)
    if code is None:
        return None
    return Cause.UNREACHABLE if code[1][0] == "4" else _REPLIES.get(code[1])
