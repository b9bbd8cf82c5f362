"""SMS by Twilio: POST /2010-04-01/Accounts/{sid}/Messages.json, a form
(www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource).

It knows no repeat. The message's id is in the address of the status callback.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from urllib.parse import urlencode

from connectors.delivery.classification import Verdict
from connectors.delivery.http.exchange import FORM, Answer, Meaning, Request, meaning
from connectors.delivery.letters import UnsendableError
from connectors.webhooks.meaning.causes import Cause
from connectors.webhooks.meaning.twilio_codes import CODES
from streams.contracts.routes import TwilioRoute
from streams.records.messages import Message
from tables.tenants.routes import Credentials

_SERVICE = re.compile(r"MG[0-9a-f]{32}")  # the SID of a messaging service
# Where the code of the error says more than its cause or its status; www.twilio.com/docs/api/errors
_CODES: Mapping[str, Verdict] = MappingProxyType(
    {
        "21212": Verdict.CONFIGURATION,  # invalid 'From'
        "21603": Verdict.CONFIGURATION,  # no 'From'
        "21606": Verdict.CONFIGURATION,  # 'From' is not a number of the account that can send SMS
        "21611": Verdict.THROTTLED,  # 'From' has too many queued messages
        "21659": Verdict.CONFIGURATION,  # 'From' is not a number of the account
        "30001": Verdict.THROTTLED,  # queue overflow
        "30002": Verdict.CONFIGURATION,  # account suspended
    }
)
_CAUSES: Mapping[Cause, Verdict] = MappingProxyType(
    {
        Cause.NO_SUCH_ADDRESS: Verdict.HARD,
        Cause.UNREACHABLE: Verdict.SOFT,
        Cause.REFUSED: Verdict.BLOCKED,
        Cause.WITHHELD: Verdict.BLOCKED,
        Cause.OPTED_OUT: Verdict.BLOCKED,  # its webhook of the word STOP has suppressed the person
    }
)


class Twilio:
    """An account at Twilio."""

    window = None

    def __init__(self, route: TwilioRoute, credentials: Credentials) -> None:
        self._route = route
        self._url = f"{route.base}/2010-04-01/Accounts/{route.account_sid}/Messages.json"
        pair = b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {pair}", "Content-Type": FORM}

    def request(self, message: Message, now: datetime) -> Request:
        sender, text = sender_and_text(message, self._route.senders)
        kind = "MessagingServiceSid" if _SERVICE.fullmatch(sender) else "From"
        fields = {"To": message.to, kind: sender, "Body": text}
        if (callback := self._route.status_callback) is not None:
            fields["StatusCallback"] = f"{callback}?messageId={message.message_id}"
        return Request(self._url, urlencode(fields).encode(), self._headers)

    def read(self, answer: Answer) -> Meaning:
        code, words = answer.form.spelled("code"), answer.form.text("message")
        verdict = None
        if answer.status == 400:
            verdict = _CODES.get(code) or _CAUSES.get(CODES.get(code, Cause.NOT_SENT))
        return meaning(answer, code, words, verdict=verdict)


def sender_and_text(message: Message, senders: list[str]) -> tuple[str, str]:
    """Return the sender of an SMS, the first of these where it names none, and its text. Raises
    UnsendableError.
    """
    text = message.content.get("text", "")
    if message.channel != "sms" or not text:
        raise UnsendableError("an SMS needs the channel sms and a text")
    return (message.sender or {}).get("senderId") or senders[0], text
