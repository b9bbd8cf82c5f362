"""SendGrid: POST /v3/mail/send, www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send.

It knows no repeat. The custom argument `messageId` comes back in its webhooks.
"""

from __future__ import annotations

from datetime import datetime

from connectors.delivery.http.exchange import JSON, Answer, Meaning, Request, encode, meaning
from connectors.delivery.letters import letter
from streams.contracts.routes import SendGridRoute
from streams.records.messages import Message
from tables.tenants.routes import Credentials


class SendGrid:
    """An account at SendGrid. Its statuses say it all: 202, 400, 401, 403, 413, 429 and 5xx
    (…/api-reference/how-to-use-the-sendgrid-v3-api/responses).
    """

    window = None

    def __init__(self, route: SendGridRoute, credentials: Credentials) -> None:
        self._url = f"{route.base}/v3/mail/send"
        self._headers = {
            "Authorization": f"Bearer {credentials.password}",
            "Content-Type": JSON,
        }

    def request(self, message: Message, now: datetime) -> Request:
        mail = letter(message)
        sender = {"email": mail.sender, "name": mail.name}
        content = (("text/plain", mail.text), ("text/html", mail.html))  # in this order
        body = {
            "from": sender if mail.name else {"email": mail.sender},
            "subject": mail.subject,
            "personalizations": [{"to": [{"email": mail.recipient}]}],
            "reply_to": {"email": mail.reply_to} if mail.reply_to else None,
            "content": [{"type": kind, "value": value} for kind, value in content if value],
            "headers": mail.headers,
            "custom_args": {"messageId": message.message_id},
        }
        said = {name: value for name, value in body.items() if value or name == "subject"}
        return Request(self._url, encode(said), self._headers)

    def read(self, answer: Answer) -> Meaning:
        words = (error.text("message") for error in answer.form.forms("errors"))
        return meaning(answer, *words)
