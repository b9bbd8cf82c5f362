"""A webhook as it arrived, and its content as pure values; with the few rules that the readers of
all providers share.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from streams.contracts.envelope import rfc3339
from streams.errors import CampaignError
from streams.records.reported_events import Details, IncomingType

T = TypeVar("T")
MAX_WEBHOOK = 1 << 20  # bytes; the largest batch of a provider, SendGrid's, is 768 kB
_ADDRESS = re.compile(r"[^\s<>@\"'(),;:\[\]]+@[^\s<>@\"'(),;:\[\]]+")
_NUMBER = re.compile(r"\+?\d{7,}")
_LONGEST_REASON = 500
_LONGEST_SEARCHED = 4_000
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class SignatureError(CampaignError):
    """The provider of this address did not sign the webhook, or signed it too long ago."""

    status, code, title = 401, "signature", "The signature is wrong"


class UnparsableError(CampaignError):
    """The webhook is not in the provider's format."""

    status, code, title = 400, "unparsable", "The webhook cannot be parsed"


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
    verified yet.
    """

    type: IncomingType
    message_id: str
    timestamp: str
    details: Details | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """A message from a recipient. `identity` is the provider's id of it. Of its text only the
    request to stop is kept.
    """

    channel: str
    address: str = field(repr=False)
    at: datetime
    identity: str
    is_stop: bool
    is_reply: bool = True


@dataclass(frozen=True, slots=True)
class Asked:
    """Amazon SNS asks to confirm a subscription: a person has to open the address."""

    topic_arn: str
    subscribe_url: str = field(repr=False)


@dataclass
class Read:
    """The content of a webhook. `ignored` counts kinds without news and events without our id,
    `unusable` elements in no known form.
    """

    reported: list[Reported] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    asked: Asked | None = None
    ignored: int = 0
    unusable: int = 0

    def add(
        self,
        kind: IncomingType,
        message_id: str | None,
        timestamp: str,
        details: Details | None = None,
    ) -> None:
        """Adds an event; one without an id is ignored."""
        if message_id:
            self.reported.append(Reported(kind, message_id, timestamp, details))
        else:
            self.ignored += 1


def equal(given: str, expected: str) -> bool:
    """Compares in constant time, whatever characters the caller sends."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def check_age(text: str, now: datetime, tolerance: timedelta) -> None:
    """Checks a Unix time in seconds. Raises SignatureError when `text` is no time, or further from
    now than the tolerance.
    """
    if (
        not re.fullmatch(r"[0-9]{1,12}", text)
        or abs(int(text) - now.timestamp()) > tolerance.total_seconds()
    ):
        raise SignatureError("The webhook was signed too long ago, or its time is wrong.")


def parsed(body: bytes, into: type[T]) -> T:
    """Decodes the JSON body. Raises UnparsableError."""
    try:
        return msgspec.json.decode(body, type=into)
    except _UNREADABLE as error:
        raise UnparsableError("The body is not JSON in the provider's format.") from error


def elements(body: bytes) -> list[msgspec.Raw]:
    """Splits a JSON array into undecoded elements, so that one bad element spoils no other; a
    single object is one element.

    Raises UnparsableError.
    """
    return (
        parsed(body, list[msgspec.Raw])
        if body.lstrip()[:1] == b"["
        else [parsed(body, msgspec.Raw)]
    )


def each(raw: list[msgspec.Raw], into: type[T], read: Read) -> Iterator[T]:
    """Yields the elements that have the form; the others are counted as unusable."""
    for element in raw:
        try:
            yield msgspec.json.decode(element, type=into)
        except _UNREADABLE:
            read.unusable += 1


def instant(seconds: Any) -> str | None:
    """Converts Unix seconds, a number or its text, to RFC 3339; None for anything else."""
    try:
        return rfc3339(datetime.fromtimestamp(float(seconds), UTC))
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def reason(*parts: str | int | None) -> str | None:
    """Removes addresses and phone numbers from a provider's reason for a failure, because they are
    kept only with the contact.
    """
    text = " ".join(str(part).strip() for part in parts if part not in (None, ""))
    if (
        len(text) > _LONGEST_SEARCHED
    ):  # finding addresses takes the square of a word's length; a cut word might be half an address
        text = text[:_LONGEST_SEARCHED].rpartition(" ")[0]
    return _NUMBER.sub("<number>", _ADDRESS.sub("<address>", text))[:_LONGEST_REASON] or None
