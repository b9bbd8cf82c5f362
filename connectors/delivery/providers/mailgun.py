"""Mailgun: POST /v3/{domain}/messages, a form
(documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages).

It knows no repeat, and has answered 5xx for a mail that it sent. The variable `messageId` comes
back in its webhooks.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from urllib.parse import urlencode

from connectors.delivery.http.exchange import FORM, Answer, Meaning, Request, meaning
from connectors.delivery.letters import letter
from streams.contracts.routes import MailgunRoute
from streams.records.messages import Message
from tables.tenants.routes import Credentials


class Mailgun:
    """A domain at Mailgun. Its statuses say it all: 200, 400, 401, 403, 404, 429 and 5xx
    (documentation.mailgun.com/docs/mailgun/quickstart-guide/responses).
    """

    window = None

    def __init__(self, route: MailgunRoute, credentials: Credentials) -> None:
        self._url = f"{route.base}/v3/{route.domain}/messages"
        key = b64encode(f"api:{credentials.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {key}", "Content-Type": FORM}

    def request(self, message: Message, now: datetime) -> Request:
        mail = letter(message)
        fields = {
            "from": mail.sender_with_name,
            "to": mail.recipient,
            "subject": mail.subject,
            "html": mail.html,
            "text": mail.text,
            "h:Reply-To": mail.reply_to,
            **{f"h:{name}": value for name, value in mail.headers.items()},
            "v:messageId": message.message_id,
        }
        said = {name: value for name, value in fields.items() if value or name == "subject"}
        return Request(self._url, urlencode(said).encode(), self._headers)

    def read(self, answer: Answer) -> Meaning:
        return meaning(answer, answer.form.text("message"))
