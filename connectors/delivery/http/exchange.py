"""The parts of an exchange over HTTP: a request, its answer, and what the answer means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Literal, Protocol

import msgspec

from connectors.delivery.classification import Verdict, of_status
from connectors.webhooks.forms import Form, UnparsableError, form
from streams.records.messages import Message

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)
#: A provider is asked again after it, whatever it has said.
LONGEST_PAUSE = timedelta(days=1)
_MOST_WORDS = 1_000  # characters of an answer that nobody understands
_WHITE = re.compile(r"\s+")
encode = msgspec.json.encode


@dataclass(frozen=True)
class Request:
    """A request as it goes out. `url` is encoded. The representation shows nothing of it, because
    headers have secrets and bodies addresses.
    """

    url: str = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    method: Literal["POST", "GET"] = "POST"


@dataclass(frozen=True)
class Answer:
    """A final answer; `body` is its beginning where it was longer than what is read. Names of
    `headers` are in lower case.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @cached_property
    def form(self) -> Form:
        """The object in the body; an empty one for a body that has none."""
        try:
            return form(self.body)
        except UnparsableError:
            return Form({})

    @property
    def text(self) -> str:
        """The beginning of a body in no known form, on one line."""
        text = self.body[:_MOST_WORDS].decode("utf-8", "replace")
        return _WHITE.sub(" ", "".join(one if one.isprintable() else " " for one in text)).strip()

    def pause(self, now: datetime) -> timedelta:
        """The time that `Retry-After` asks for, in seconds or as a date (RFC 9110, section 10.2.3);
        a day at most, and none where it says nothing that can be read.
        """
        text = self.headers.get("retry-after", "").strip()
        if _SECONDS.fullmatch(text):
            return min(timedelta(seconds=int(text)), LONGEST_PAUSE)
        try:
            until = parsedate_to_datetime(text)
        except ValueError:
            return timedelta(0)
        until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
        return min(max(until - now, timedelta(0)), LONGEST_PAUSE)


@dataclass(frozen=True)
class Meaning:
    """An answer as it concerns one message: the verdict, and the provider's words, in which
    addresses may stand.
    """

    verdict: Verdict
    words: str = field(default="", repr=False)


class Provider(Protocol):
    """The part of a hand-off that differs from provider to provider. `batch`: the most messages of
    a request. `window`: so long after a message was made, a repeat of its request has no effect of
    its own; None: it always has.
    """

    @property
    def batch(self) -> int: ...
    @property
    def window(self) -> timedelta | None: ...

    def request(self, messages: Sequence[Message], now: datetime) -> Request:
        """The request that the messages become: the same body in every try of the same ones.
        Raises UnsendableError.
        """

    def read(self, answer: Answer, messages: Sequence[Message]) -> list[Meaning]:
        """The meaning of an answer for each of the messages."""


class OneByOne(Protocol):
    """A provider of one message a request; otherwise as `Provider`."""

    @property
    def window(self) -> timedelta | None: ...

    def request(self, message: Message, now: datetime) -> Request:
        """Raises UnsendableError."""

    def read(self, answer: Answer) -> Meaning:
        """The meaning of an answer for its message."""


class Single:
    """One of these as any other provider."""

    batch = 1

    def __init__(self, provider: OneByOne) -> None:
        self._provider, self.window = provider, provider.window

    def request(self, messages: Sequence[Message], now: datetime) -> Request:
        [message] = messages
        return self._provider.request(message, now)

    def read(self, answer: Answer, messages: Sequence[Message]) -> list[Meaning]:
        return [self._provider.read(answer) for _ in messages]


def meaning(answer: Answer, *words: str, verdict: Verdict | None = None) -> Meaning:
    """The meaning of an answer by its status, or this one, with these words of its body, or the
    body's beginning where there are none.
    """
    said = " ".join(filter(None, words)) or answer.text
    return Meaning(verdict or of_status(answer.status), f"{answer.status} {said}".strip())
