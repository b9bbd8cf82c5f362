"""Bounces in sentences for people, as servers write that do not follow RFC 3464: flufl.bounce
(flufl-bounce.readthedocs.io) knows whether it is one, and the sentences say why.
"""

from __future__ import annotations

import logging
import re

from flufl.bounce import all_failures

from connectors.bounces.mails import Mail
from connectors.bounces.statuses import Failure
from connectors.delivery.classification import Verdict, of_reply
from connectors.delivery.outcomes import Reply

_DELAYED = Failure(Verdict.DEFERRED, "", is_delay=True)
_SEARCHED = 16 << 10  # characters of the text
_QUOTED = 600  # characters from the code on
_LONGEST = 2_000
# Where the text of the message begins that came back: its words are ours.
_COPY = re.compile(
    r"copy of the (?:original )?message|original message|message (?:headers?|text) follows?"
    r"|^return-path:|^received:|unsent message below|returned message below",
    re.IGNORECASE | re.MULTILINE,
)
_CODE = re.compile(r"(?<![\w.])([45][0-9]{2})[ -](?=[#5(4A-Za-z<\[])")
_ENHANCED = re.compile(r"(?<![0-9.])([45])\.[0-9]{1,3}\.[0-9]{1,3}(?!\.?[0-9])")
# It logs each of its steps, and tracebacks for whatever somebody sends.
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)


def failure(mail: Mail) -> Failure | None:
    """Return the meaning of the sentences; None when they are no bounce. Takes out of the mail what
    it carries, so that no report is found in a message that somebody has passed on. Raises what
    flufl.bounce does.
    """
    for part in mail.parts:
        if part.kind.startswith("message/"):
            part.message.set_payload("")
    for_now, for_good = all_failures(mail.header)
    if not for_good:
        return _DELAYED if for_now else None
    text = mail.text()[:_SEARCHED]
    if (copy := _COPY.search(text)) is not None and copy.start() > 0:
        text = text[: copy.start()]
    words = text[:_LONGEST]
    code, enhanced = _CODE.search(text), _ENHANCED.search(text)
    if code is not None:
        words = text[code.start() :][:_QUOTED]
        return Failure(of_reply(Reply(int(code[1]), words[4:])), words)
    number = 450 if enhanced is not None and enhanced[1] == "4" else 550
    return Failure(of_reply(Reply(number, words)), words)
