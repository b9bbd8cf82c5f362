"""SMS by Vonage: POST /sms/json, a form (developer.vonage.com/en/api/sms).

It knows no repeat. `client-ref` comes back in its reports. The status of an answer is always 200:
the one of each message tells.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from urllib.parse import urlencode

from connectors.delivery.classification import Verdict
from connectors.delivery.http.exchange import FORM, Answer, Meaning, Request, meaning
from connectors.delivery.providers.twilio import sender_and_text
from streams.contracts.routes import VonageRoute
from streams.records.messages import Message
from tables.sms_segments import segments
from tables.tenants.routes import Credentials

# developer.vonage.com/en/messaging/sms/guides/troubleshooting-sms, "SMS API Error Codes"
_STATUSES: Mapping[str, Verdict] = MappingProxyType(
    {
        "0": Verdict.ACCEPTED,
        "1": Verdict.THROTTLED,  # too fast
        "2": Verdict.CONTENT,  # missing parameters
        "3": Verdict.CONTENT,  # invalid parameters
        "4": Verdict.CONFIGURATION,  # invalid credentials
        "5": Verdict.DOUBT,  # internal error
        "6": Verdict.CONTENT,  # invalid message
        "7": Verdict.BLOCKED,  # the number is barred
        "8": Verdict.CONFIGURATION,  # the account is barred
        "9": Verdict.CONFIGURATION,  # the account has no credit left
        "10": Verdict.THROTTLED,  # too many connections
        "11": Verdict.CONFIGURATION,  # the account may not use this API
        "12": Verdict.CONTENT,  # too long
        "14": Verdict.CONFIGURATION,  # invalid signature
        "15": Verdict.CONFIGURATION,  # invalid sender
        "22": Verdict.CONTENT,  # invalid network code
        "23": Verdict.CONFIGURATION,  # invalid callback
        "29": Verdict.CONFIGURATION,  # a trial account, and not one of its numbers
        "32": Verdict.CONFIGURATION,  # signature and secret at once
        "33": Verdict.HARD,  # the number is de-activated
    }
)


class Vonage:
    """An account at Vonage."""

    window = None

    def __init__(self, route: VonageRoute, credentials: Credentials) -> None:
        self._senders, self._url = route.senders, f"{route.base}/sms/json"
        pair = b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {pair}", "Content-Type": FORM}

    def request(self, message: Message, now: datetime) -> Request:
        sender, text = sender_and_text(message, self._senders)
        fields = {
            "to": message.to.removeprefix("+"),
            "from": sender.removeprefix("+"),
            "text": text,
            "client-ref": message.message_id,
        }
        if segments(text).encoding != "GSM-7":
            fields["type"] = "unicode"
        return Request(self._url, urlencode(fields).encode(), self._headers)

    def read(self, answer: Answer) -> Meaning:
        if answer.status != 200:
            return meaning(answer)
        # a long text has several parts, which are taken or refused together
        parts = answer.form.forms("messages")
        refused = [part for part in parts if part.text("status") != "0"]
        if not refused:
            return meaning(answer, verdict=Verdict.ACCEPTED if parts else Verdict.DOUBT)
        status, words = refused[0].text("status"), refused[0].text("error-text")
        if len(refused) < len(parts):  # some of it is on its way: not to be repeated
            return meaning(answer, status, words, verdict=Verdict.CONTENT)
        return meaning(answer, status, words, verdict=_STATUSES.get(status, Verdict.CONTENT))
