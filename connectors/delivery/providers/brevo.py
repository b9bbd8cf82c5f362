"""Brevo: POST /v3/smtp/email, developers.brevo.com/reference/send-transac-email.

The header `idempotencyKey` is the message's id: for 30 minutes the same key is refused as a
duplicate (developers.brevo.com/docs/heterogenous-versions-batch-emails). The header
`X-Mailin-custom` comes back in its webhooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from connectors.delivery.classification import Verdict
from connectors.delivery.http.exchange import JSON, Answer, Meaning, Request, encode, meaning
from connectors.delivery.letters import letter
from streams.contracts.routes import BrevoRoute
from streams.records.messages import Message
from tables.tenants.routes import Credentials

# Where the code of the error says more than its status; developers.brevo.com/docs/how-it-works
_CODES: Mapping[str, Verdict] = MappingProxyType(
    {
        "duplicate_parameter": Verdict.ACCEPTED,  # the first one with this key was taken
        "not_enough_credits": Verdict.CONFIGURATION,
        "permission_denied": Verdict.CONFIGURATION,
        "unauthorized": Verdict.CONFIGURATION,
    }
)


class Brevo:
    """An account at Brevo."""

    window = timedelta(minutes=25)  # five less, in which a repeat may have to wait

    def __init__(self, route: BrevoRoute, credentials: Credentials) -> None:
        self._url = f"{route.base}/v3/smtp/email"
        self._headers = {"api-key": credentials.password, "Content-Type": JSON}

    def request(self, message: Message, now: datetime) -> Request:
        mail = letter(message)
        own = {
            "idempotencyKey": message.message_id,
            "X-Mailin-custom": f"messageId:{message.message_id}",
        }
        sender = {"email": mail.sender, "name": mail.name}
        body = {
            "sender": sender if mail.name else {"email": mail.sender},
            "to": [{"email": mail.recipient}],
            "subject": mail.subject,
            "htmlContent": mail.html,
            "textContent": mail.text,
            "replyTo": {"email": mail.reply_to} if mail.reply_to else None,
            "headers": mail.headers | own,
        }
        said = {name: value for name, value in body.items() if value or name == "subject"}
        return Request(self._url, encode(said), self._headers)

    def read(self, answer: Answer) -> Meaning:
        code, words = answer.form.text("code"), answer.form.text("message")
        return meaning(answer, code, words, verdict=_CODES.get(code))
