"""Postmark: POST /email, postmarkapp.com/developer/api/email-api.

It knows no repeat. `Metadata.messageId` comes back in its webhooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from connectors.delivery.classification import Verdict
from connectors.delivery.http.exchange import JSON, Answer, Meaning, Request, encode, meaning
from connectors.delivery.letters import letter
from streams.contracts.routes import PostmarkRoute
from streams.records.messages import Message
from tables.tenants.routes import Credentials

# `ErrorCode` of a 422, postmarkapp.com/developer/api/overview#error-codes; others are content
_CODES: Mapping[str, Verdict] = MappingProxyType(
    {
        "100": Verdict.THROTTLED,  # maintenance
        "400": Verdict.CONFIGURATION,  # no such sender signature
        "401": Verdict.CONFIGURATION,  # the sender signature is not confirmed
        "402": Verdict.PROTOCOL,  # invalid JSON
        "403": Verdict.PROTOCOL,  # incompatible JSON
        "405": Verdict.CONFIGURATION,  # out of credits
        "406": Verdict.HARD,  # inactive: a hard bounce, a complaint, or suppressed by hand
        "409": Verdict.PROTOCOL,  # not JSON
        "412": Verdict.CONFIGURATION,  # the account is pending
        "413": Verdict.CONFIGURATION,  # the account may not send
        "1226": Verdict.CONFIGURATION,  # no such message stream
        "1235": Verdict.CONFIGURATION,  # the message stream is of another kind
    }
)


class Postmark:
    """A server at Postmark."""

    window = None

    def __init__(self, route: PostmarkRoute, credentials: Credentials) -> None:
        self._url, self._stream = f"{route.base}/email", route.message_stream
        self._headers = {
            "X-Postmark-Server-Token": credentials.password,
            "Content-Type": JSON,
        }

    def request(self, message: Message, now: datetime) -> Request:
        mail = letter(message)
        headers = [{"Name": name, "Value": value} for name, value in mail.headers.items()]
        body = {
            "From": mail.sender_with_name,
            "To": mail.recipient,
            "Subject": mail.subject,
            "HtmlBody": mail.html,
            "TextBody": mail.text,
            "ReplyTo": mail.reply_to,
            "Headers": headers,
            "Metadata": {"messageId": message.message_id},
            "MessageStream": self._stream,
        }
        said = {name: value for name, value in body.items() if value or name == "Subject"}
        return Request(self._url, encode(said), self._headers)

    def read(self, answer: Answer) -> Meaning:
        code, words = answer.form.spelled("ErrorCode"), answer.form.text("Message")
        verdict = _CODES.get(code) if answer.status == 422 else None
        return meaning(answer, code, words, verdict=verdict)
