"""Decides about a message whose hand-off was answered: it is done and reported, put off until an
instant, handed over again as soon as its route allows it, or held for a person. Pure.

The times are those of docs/guide/sending.md: 5 minutes, doubled with every try, 4 hours at most, as
long as `retry.maxAge` allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, assert_never
from zlib import crc32

from connectors.delivery.classification import Verdict
from connectors.webhooks.delivery import reason
from streams.contracts.envelope import rfc3339
from streams.contracts.routes import OnDoubt, RouteSettings
from streams.records.reported_events import Details, Incoming, IncomingType

#: A message is tried for so long at most: Kafka keeps its content for three days.
LONGEST_AGE = timedelta(hours=60)
_LONGEST_FULL = timedelta(days=1)  # a full mailbox is not tried again for longer
_MOST_DOUBLINGS = 6  # 5 minutes, 10, … and 4 hours from the seventh on
_LONGEST_STEP = 48  # first steps
_DEFAULT = timedelta(days=1)

#: The way to resolve a doubt.
Wanted = Literal["repeat"] | OnDoubt


@dataclass(frozen=True)
class Terms:
    """The part of a route's settings that decides about its messages. `step` is the first back-off:
    five minutes, a twelfth of the installation's hour. `window`: so long after a message was made
    its provider knows a repeat of it, which then does no harm; None: it knows none.
    """

    step: timedelta
    most_age: timedelta = _DEFAULT
    on_doubt: OnDoubt = "resend"
    window: timedelta | None = None

    @classmethod
    def of(cls, settings: RouteSettings, hour: timedelta, window: timedelta | None = None) -> Terms:
        most_age = min(settings.retry.longest, LONGEST_AGE)
        return cls(hour / 12, most_age, settings.on_doubt, window)

    def resolution(self, subject: Subject, now: datetime) -> Wanted:
        """Resolve a message whose fate is in doubt. The time of its first hand-off is not known,
        but that was after the message was made.
        """
        if self.window is not None and now - subject.created_at < self.window:
            return "repeat"
        return self.on_doubt


@dataclass(frozen=True)
class Answered:
    """The answer to a hand-off of a message: what it means, and its words without addresses.
    `is_of_message`: it was said to this message, and so perhaps to no other; else it was the
    session that did not begin, or ended. `tells_of_route`: it shows whether the route works.
    `pause`: how long the provider wants to be left alone.
    """

    verdict: Verdict
    reason: str
    is_of_message: bool = True
    tells_of_route: bool = True
    pause: timedelta = timedelta(0)

    @classmethod
    def of(cls, verdict: Verdict, words: str) -> Answered:
        """Take the addresses out of the words."""
        return cls(verdict, reason(words) or verdict.value)


#: Of a hand-off that did not begin: the worker may not own the message any more, or its time is
#: over.
LOST = Answered(
    Verdict.ROUTE, "it was too late to begin", is_of_message=False, tells_of_route=False
)


@dataclass(frozen=True)
class Subject:
    """The message that an answer is about. `tries`: how many hand-offs were put off before."""

    message_id: str
    tenant_id: str
    created_at: datetime
    tries: int = 0


@dataclass(frozen=True)
class Done:
    """The message is settled; `event` reports it."""

    event: Incoming


@dataclass(frozen=True)
class PutOff:
    """The message is to be tried again at this instant."""

    until: datetime


@dataclass(frozen=True)
class Again:
    """The message is to be handed over as soon as its route allows it: that was no try of it."""


@dataclass(frozen=True)
class Hold:
    """A person is to decide what becomes of the message."""


Fate = Done | PutOff | Again | Hold


def settled(subject: Subject, answer: Answered, terms: Terms, now: datetime) -> Fate:
    """The fate of a message after an answer."""
    match answer.verdict:
        case Verdict.ACCEPTED:
            return Done(_event(subject, "accepted", None, now))
        case Verdict.HARD:
            return Done(_event(subject, "bounced", answer.reason, now, "hard"))
        case Verdict.SOFT:
            return Done(_event(subject, "bounced", answer.reason, now, "soft"))
        case Verdict.FULL:
            return _later(subject, answer, terms.step, min(terms.most_age, _LONGEST_FULL), now)
        case Verdict.DEFERRED:
            return _later(subject, answer, terms.step, terms.most_age, now)
        case Verdict.THROTTLED | Verdict.ROUTE | Verdict.CONFIGURATION:
            if (end := expired(subject, answer.reason, terms, now)) is not None:
                return end
            # one recipient whose server always says so must not be the probe of its route for ever
            return PutOff(_next(subject, terms.step, now)) if answer.is_of_message else Again()
        case Verdict.BLOCKED | Verdict.CONTENT:
            return Done(_event(subject, "failed", answer.reason, now))
        case Verdict.PROTOCOL:
            if subject.tries:
                return Done(_event(subject, "failed", answer.reason, now))
            return PutOff(now)
        case Verdict.DOUBT:
            match terms.resolution(subject, now):
                case "repeat" | "resend":
                    return expired(subject, answer.reason, terms, now) or Again()
                case "hold":
                    return Hold()
                case "drop":
                    return dropped(subject, answer.reason, now)
        case _:
            assert_never(answer.verdict)


def expired(subject: Subject, reason: str, terms: Terms, now: datetime) -> Done | None:
    """The end of a message that no route has taken for as long as its own allows; None before."""
    if now - subject.created_at < terms.most_age:
        return None
    return Done(_event(subject, "failed", f"expired: {reason}", now))


def dropped(subject: Subject, reason: str, now: datetime) -> Done:
    """The end of a message in doubt that is not handed over again."""
    words = f"in doubt: handed over and never answered ({reason})"
    return Done(_event(subject, "failed", words, now))


def cancelled(subject: Subject, now: datetime) -> Done:
    """The end of a message that was not handed over before its campaign was cancelled."""
    return Done(_event(subject, "failed", "cancelled: not handed over before", now))


def _later(
    subject: Subject, answer: Answered, step: timedelta, most: timedelta, now: datetime
) -> Fate:
    end = subject.created_at + most
    if now >= end:
        return Done(_event(subject, "bounced", f"4.4.7 expired: {answer.reason}", now, "soft"))
    return PutOff(min(_next(subject, step, now), end))


def _next(subject: Subject, step: timedelta, now: datetime) -> datetime:
    steps = min(1 << min(subject.tries, _MOST_DOUBLINGS), _LONGEST_STEP)
    # The same for every try that is decided again, and not the same for all of a campaign.
    drawn = crc32(f"{subject.message_id} {subject.tries}".encode()) / (1 << 32)
    return now + step * steps * (0.75 + drawn / 2)


def _event(
    subject: Subject,
    kind: IncomingType,
    reason: str | None,
    now: datetime,
    bounce: Literal["hard", "soft"] | None = None,
) -> Incoming:
    details = Details(reason=reason, bounce_type=bounce)
    at = rfc3339(now.astimezone(UTC))
    return Incoming(kind, subject.message_id, subject.tenant_id, at, details)
