"""The parts of an email that a message becomes, for whichever provider takes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

from connectors.delivery.headers import is_field_name
from streams.contracts.fields import mailable
from streams.contracts.values.one_line import folded
from streams.errors import CampaignError, Fate
from streams.records.messages import Message

_OWN = frozenset({"from", "to", "cc", "bcc", "sender", "reply-to", "subject", "date", "message-id"})
# support.google.com/mail/answer/6254652: the sender's id has 5 to 15 characters, no colons
_SENDER_ID = re.compile(r"[A-Za-z0-9._-]{5,15}")
_PLAIN_NAME = re.compile(r"[^\x00-\x1f\x7f()<>@,;:\\\".\[\]]+")  # RFC 5322, section 3.2.3


class UnsendableError(CampaignError):
    """The message is not one that this route can send: of another channel, or without content."""

    fate, status, code = Fate.DEAD_LETTER, 422, "unsendable"
    title: ClassVar[str] = "The message cannot be sent"


class Letter(NamedTuple):
    """An email: addresses with their domains in ASCII, texts of one line where fields are such.
    `headers` are those that no provider writes itself.
    """

    sender: str
    name: str
    reply_to: str
    recipient: str
    subject: str
    html: str
    text: str
    headers: dict[str, str]

    @property
    def sender_with_name(self) -> str:
        """As `From` shows it, not encoded: providers take UTF-8."""
        if not self.name:
            return self.sender
        name = self.name
        if not _PLAIN_NAME.fullmatch(name):
            name = '"{}"'.format(name.replace("\\", "\\\\").replace('"', '\\"'))
        return f"{name} <{self.sender}>"


def letter(message: Message) -> Letter:
    """Return the email of a message, the same one in every try. Raises UnsendableError."""
    sender, content = message.sender or {}, message.content
    if message.channel != "email" or not sender.get("email"):
        raise UnsendableError("a mail needs the channel email and an address in `from`")
    html, text = content.get("html", ""), content.get("text", "")
    if not html and not text:
        raise UnsendableError("the content has neither html nor text")
    reply_to = sender.get("replyTo", "")
    return Letter(
        sender=mailable(sender["email"]),
        name=folded(sender.get("name", "")).strip(),
        reply_to=mailable(reply_to) if reply_to else "",
        recipient=mailable(message.to),
        subject=folded(content.get("subject", "")),
        html=html,
        text=text,
        headers={name: folded(value) for name, value in further_headers(message)},
    )


def further_headers(message: Message) -> Iterator[tuple[str, str]]:
    """Yield the fields of the header beside those of addresses, subject, date and structure."""
    headers = message.headers or {}
    for name, value in headers.items():
        lowered = name.lower()
        is_own = lowered in _OWN or lowered.startswith(("content-", "mime-"))
        if is_field_name(name) and not is_own:
            yield name, value
    is_said = any(name.lower() == "feedback-id" for name in headers)
    if _SENDER_ID.fullmatch(message.tenant_id) and not is_said:
        kind = "test" if message.is_test else "campaign"
        yield "Feedback-ID", f"{folded(message.campaign_id)}:{kind}:{message.tenant_id}"
