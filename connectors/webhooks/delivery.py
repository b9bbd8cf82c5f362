"""A webhook as it arrived, and its content as pure values; with the few rules that the readers of
all providers share.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from connectors.webhooks.forms import Form
from connectors.webhooks.meaning.causes import CONSEQUENCES, Cause
from streams.contracts.envelope import rfc3339
from streams.errors import CampaignError
from streams.records.reported_events import SAYING_NO, Details, IncomingType

MAX_WEBHOOK = 1 << 20  # bytes; the largest batch of a provider, SendGrid's, is 768 kB
MOST_ELEMENTS = 10_000  # of a document; the largest batches of providers have a few thousand
_WORD = r"[^\s<>@\"'(),;:\[\]]"
# Looked for only where a word begins, and never tried again with less of it: the time is that of
# the text's length, whatever is written.
_ADDRESS = re.compile(rf"(?<!{_WORD}){_WORD}++@{_WORD}++")
_NUMBER = re.compile(r"\+?\d{7,}")
_LONGEST_REASON = 500
_LONGEST_SEARCHED = 4_000


class SignatureError(CampaignError):
    """The provider of this address did not sign the webhook, or signed it too long ago."""

    status, code, title = 401, "signature", "The signature is wrong"


class TooManyElementsError(CampaignError):
    """The webhook reports more at once than any provider does."""

    status, code, title = 413, "too-large", "The webhook has too many elements"


class TooOldError(SignatureError):
    """The webhook was signed too long ago, or its time is wrong."""


class ReusedTokenError(SignatureError):
    """The token of the webhook has stood for another event."""


@dataclass(frozen=True)
class Delivery:
    """One request. `headers` find names in any case; `url` is the public one that the provider
    called, with its query string.

    The representation shows nothing, because headers and body hold signatures and addresses.
    """

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str = field(default="", repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Reported:
    """A report on the message of this id, in the words of `pipeline.events.v1`. The id is not
    verified yet. `source`: the element of the webhook. `others`: further ids that the report may
    mean, when that one is none of ours.
    """

    type: IncomingType
    message_id: str
    timestamp: str
    details: Details | None = None
    source: Form = field(default_factory=lambda: Form({}), repr=False)
    others: tuple[str, ...] = ()


class Wish(Enum):
    """The wish that a person expresses by a word, a button or a preference."""

    STOP = "stop"
    START = "start"


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A message from a recipient. `identity` is the provider's id of it. Of its text only the wish
    is kept; `is_reply` when it is an answer and no wish. `user_id`: WhatsApp's id of the person,
    which is the address, too, of one who hides the number.
    """

    channel: str
    address: str = field(repr=False)
    at: datetime
    identity: str
    wish: Wish | None = None
    is_reply: bool = True
    user_id: str = field(default="", repr=False)
    source: Form = field(default_factory=lambda: Form({}), repr=False)


@dataclass(frozen=True, slots=True)
class Resumed:
    """The recipient of this message has subscribed again with the provider. The id is not verified
    yet.
    """

    message_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Unheard:
    """An element, or a whole body, that says no and cannot be used; `code` says why."""

    code: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SubscriptionRequest:
    """Amazon SNS asks to confirm a subscription: a person has to open the address."""

    topic_arn: str
    subscribe_url: str = field(repr=False)


@dataclass
class Read:
    """The content of a webhook that arrived at `now`. `ignored` counts kinds without news and
    events without our id, `unusable` elements in no known form, `elements` those of arrays.
    """

    now: datetime
    reported: list[Reported] = field(default_factory=list)
    said: list[InboundMessage] = field(default_factory=list)
    resumed: list[Resumed] = field(default_factory=list)
    unheard: list[Unheard] = field(default_factory=list)
    asked: SubscriptionRequest | None = None
    ignored: int = 0
    unusable: int = 0
    elements: int = 0

    def forms(self, elements: Iterable[Any]) -> Iterator[Form]:
        """The elements that are objects; the others are counted as unusable. Raises
        TooManyElementsError.
        """
        for element in elements:
            self.elements += 1
            if self.elements > MOST_ELEMENTS:
                raise TooManyElementsError(
                    f"The webhook has more than {MOST_ELEMENTS:,} elements, the limit."
                )
            if isinstance(element, dict):
                yield Form(element)
            else:
                self.unusable += 1

    def add(
        self,
        kind: IncomingType,
        message_id: str,
        at: datetime | None,
        source: Form,
        details: Details | None = None,
    ) -> None:
        """Adds an event; without a time it happened when it arrived. One without an id is ignored,
        and unheard when it says no.
        """
        if message_id:
            timestamp = rfc3339(at or self.now)
            self.reported.append(Reported(kind, message_id, timestamp, details, source))
            return
        self.ignored += 1
        if kind in SAYING_NO:
            self.unheard.append(Unheard("without-id", source.encoded()))

    def add_cause(
        self,
        cause: Cause,
        message_id: str,
        at: datetime | None,
        source: Form,
        why: str | None = None,
    ) -> None:
        """Adds what follows from a cause; nothing may."""
        for one in CONSEQUENCES[cause]:
            reason = why if one.has_reason else None
            details = Details(reason=reason, bounce_type=one.bounce_type)
            known = reason is not None or one.bounce_type is not None
            self.add(one.type, message_id, at, source, details if known else None)
        if not CONSEQUENCES[cause]:
            self.ignored += 1

    def resume(self, message_id: str, at: datetime | None) -> None:
        """Adds that a recipient has subscribed again; one without an id is ignored."""
        if message_id:
            self.resumed.append(Resumed(message_id, at or self.now))
        else:
            self.ignored += 1


def equal(given: str, expected: str) -> bool:
    """Compares in constant time, whatever characters the caller sends."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def check_age(
    text: str, now: datetime, tolerance: timedelta, retried: timedelta = timedelta(0)
) -> None:
    """Checks a Unix time in seconds: at most the tolerance ahead of now, and at most tolerance and
    `retried` behind, for a provider that repeats a webhook so long with its first signature.

    Raises TooOldError, also when `text` is no time.
    """
    if re.fullmatch(r"[0-9]{1,12}", text):
        ahead = int(text) - now.timestamp()
        if -(tolerance + retried).total_seconds() <= ahead <= tolerance.total_seconds():
            return
    raise TooOldError("The webhook was signed too long ago, or its time is wrong.")


def reason(*parts: str | int | None) -> str | None:
    """Removes addresses and phone numbers from a provider's reason for a failure, because they are
    kept only with the contact.
    """
    text = " ".join(str(part).strip() for part in parts if part not in (None, ""))
    if len(text) > _LONGEST_SEARCHED:  # a cut word might be half an address
        text = text[:_LONGEST_SEARCHED].rpartition(" ")[0]
    return _NUMBER.sub("<number>", _ADDRESS.sub("<address>", text))[:_LONGEST_REASON] or None
