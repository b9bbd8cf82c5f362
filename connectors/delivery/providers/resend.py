"""Resend: POST /emails, resend.com/docs/api-reference/emails/send-email.

`Idempotency-Key` is the message's id: the same key within 24 hours sends nothing more
(resend.com/docs/dashboard/emails/idempotency-keys). The tag `messageId` comes back in its webhooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from connectors.delivery.classification import Verdict
from connectors.delivery.http.exchange import JSON, Answer, Meaning, Request, encode, meaning
from connectors.delivery.letters import letter
from streams.contracts.routes import ResendRoute
from streams.records.messages import Message
from tables.tenants.routes import Credentials

# Where the name of the error says more than its status; resend.com/docs/api-reference/errors
_NAMES: Mapping[str, Verdict] = MappingProxyType(
    {
        "concurrent_idempotent_requests": Verdict.THROTTLED,  # 409: the first one is still at it
        "invalid_idempotent_request": Verdict.PROTOCOL,  # 409: the key came with another body
        "security_error": Verdict.BLOCKED,  # 451
    }
)


class Resend:
    """An account at Resend."""

    window = timedelta(hours=23)  # an hour less, in which a repeat may have to wait

    def __init__(self, route: ResendRoute, credentials: Credentials) -> None:
        self._url = f"{route.base}/emails"
        self._headers = {
            "Authorization": f"Bearer {credentials.password}",
            "Content-Type": JSON,
        }

    def request(self, message: Message, now: datetime) -> Request:
        mail = letter(message)
        body = {
            "from": mail.sender_with_name,
            "to": [mail.recipient],
            "subject": mail.subject,
            "html": mail.html,
            "text": mail.text,
            "reply_to": mail.reply_to,
            "headers": mail.headers,
            "tags": [{"name": "messageId", "value": message.message_id}],
        }
        said = {name: value for name, value in body.items() if value or name == "subject"}
        return Request(
            self._url, encode(said), self._headers | {"Idempotency-Key": message.message_id}
        )

    def read(self, answer: Answer) -> Meaning:
        name, words = answer.form.text("name"), answer.form.text("message")
        return meaning(answer, name, words, verdict=_NAMES.get(name))
