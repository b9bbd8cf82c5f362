"""The WhatsApp Cloud API: POST /{version}/{phone number id}/messages
(developers.facebook.com/docs/whatsapp/cloud-api/reference/messages).

It knows no repeat. `biz_opaque_callback_data` comes back in its webhooks. A message of a template
fills the one parameter of its body; one without is a text, which only people get who have written
within the last 24 hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from connectors.delivery.classification import Verdict
from connectors.delivery.http.exchange import JSON, Answer, Meaning, Request, encode, meaning
from connectors.delivery.letters import UnsendableError
from connectors.webhooks.meaning.causes import Cause
from connectors.webhooks.meaning.whatsapp_codes import CODES
from streams.contracts.routes import WhatsAppRoute
from streams.records.messages import Message
from tables.tenants.routes import Credentials

_LANGUAGE = "en_US"  # of a template whose campaign names none
# Codes of ours, of the account or of Meta's own state; others are about the message.
# developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes
_CODES: Mapping[str, Verdict] = MappingProxyType(
    {
        "0": Verdict.CONFIGURATION,  # the token cannot be used
        "3": Verdict.CONFIGURATION,  # a permission is missing
        "10": Verdict.CONFIGURATION,  # a permission is missing
        "33": Verdict.CONFIGURATION,  # no such phone number id
        "190": Verdict.CONFIGURATION,  # the token has expired
        "200": Verdict.CONFIGURATION,  # a permission is missing
        "368": Verdict.CONFIGURATION,  # blocked for violations of policy
        "131005": Verdict.CONFIGURATION,  # access denied
        "131031": Verdict.CONFIGURATION,  # account locked
        "131042": Verdict.CONFIGURATION,  # payment
        "131045": Verdict.CONFIGURATION,  # the number is not registered
        "133010": Verdict.CONFIGURATION,  # the number is not registered
        "2": Verdict.THROTTLED,  # down for a while
        "4": Verdict.THROTTLED,  # too many calls
        "80007": Verdict.THROTTLED,  # rate limit of the business account
        "130429": Verdict.THROTTLED,  # rate limit of the API
        "131016": Verdict.THROTTLED,  # overloaded
        "131048": Verdict.THROTTLED,  # too many have blocked or reported the sender
        "131056": Verdict.DEFERRED,  # too many messages to this person
        "1": Verdict.DOUBT,  # unknown error
        "131000": Verdict.DOUBT,  # unknown error
    }
)
_CAUSES: Mapping[Cause, Verdict] = MappingProxyType(
    {
        Cause.UNREACHABLE: Verdict.SOFT,
        Cause.WITHHELD: Verdict.BLOCKED,  # Meta's own cap per person: never tried again
        Cause.OPTED_OUT: Verdict.BLOCKED,
        Cause.NOT_SENT: Verdict.CONTENT,  # such as a template that is not there, a 404
    }
)


class WhatsApp:
    """A business's number."""

    window = None

    def __init__(self, route: WhatsAppRoute, credentials: Credentials) -> None:
        self._url = f"{route.base}/{route.api_version}/{route.phone_number_id}/messages"
        self._headers = {
            "Authorization": f"Bearer {credentials.password}",
            "Content-Type": JSON,
        }

    def request(self, message: Message, now: datetime) -> Request:
        text, options = message.content.get("text", ""), message.options or {}
        if message.channel != "whatsapp" or not text:
            raise UnsendableError("a message needs the channel whatsapp and a text")
        body: dict[str, object] = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": message.to,
            "biz_opaque_callback_data": message.message_id,
        }
        if name := options.get("templateName"):
            parameter = {"type": "text", "text": text}
            body |= {
                "type": "template",
                "template": {
                    "name": name,
                    "language": {"code": options.get("language") or _LANGUAGE},
                    "components": [{"type": "body", "parameters": [parameter]}],
                },
            }
        else:
            body |= {"type": "text", "text": {"body": text}}
        return Request(self._url, encode(body), self._headers)

    def read(self, answer: Answer) -> Meaning:
        error = answer.form.form("error")
        code, words = error.spelled("code"), error.text("message")
        details = error.form("error_data").text("details")
        verdict = None
        if answer.status >= 400:
            verdict = _CODES.get(code) or (_CAUSES[CODES[code]] if code in CODES else None)
        return meaning(answer, words, details, verdict=verdict)
