"""The story of a message, its events and their times, decided by its id alone: the same seed and id
always make the same story, so a restart repeats it. Pure.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from connectors.simulator.truth import DEFAULT_MOST
from streams.records.reported_events import Details, IncomingType

_NUMBERS = struct.Struct(">16I")
_LONGEST = 6.0  # times the mean: the exponential distribution is cut here, so that every story ends
_WITHOUT_OPENS = frozenset({"sms"})  # providers do not report that a text message was read
_URLS = ("https://example.com/offer", "https://example.com/news", "https://example.com/account")


class Behaviour(BaseSettings):
    """`CAMPAIGNS_SIMULATE_*`. Rates are shares of one, delays are mean seconds; the defaults make a
    lively demo of about two minutes.
    """

    model_config = SettingsConfigDict(env_prefix="CAMPAIGNS_SIMULATE_", frozen=True, extra="ignore")

    seed: int = 1
    accepts: float = Field(
        0.0, ge=0, le=1, description="of the messages: the provider says that it took them"
    )
    hard_bounces: float = Field(0.015, ge=0, le=1)
    soft_bounces: float = Field(0.01, ge=0, le=1)
    failures: float = Field(0.005, ge=0, le=1)
    machine_opens: float = Field(
        0.08, ge=0, le=1, description="of the delivered: mail scanners and privacy proxies"
    )
    machine_clicks: float = Field(0.25, ge=0, le=1, description="of the machines that open")
    opens: float = Field(0.38, ge=0, le=1, description="of the delivered, by people")
    clicks: float = Field(
        0.25, ge=0, le=1, description="of the people who open; of those who got an SMS, times opens"
    )
    unsubscribes: float = Field(0.01, ge=0, le=1, description="of the people who open")
    complaints: float = Field(
        0.0005, ge=0, le=1, description="of the delivered; above 0.3 % a campaign is paused"
    )

    delivery: float = Field(1.0, ge=0)
    opening: float = Field(20.0, ge=0, description="after the delivery")
    clicking: float = Field(8.0, ge=0, description="after the opening")

    duplicates: int = Field(1, ge=1, le=50, description="an event is reported 1 to so many times")
    disorder: float = Field(
        0.0,
        ge=0,
        description="a report comes up to so many seconds late: "
        "a click can arrive before its delivery",
    )
    max_pending: int = Field(
        400_000, ge=1, description="reports in memory; reading stops while there are more"
    )
    truth: str | None = Field(
        None,
        description='folder of the truth log; default: "simulator" below CAMPAIGNS_HOME, '
        '"" for none',
    )
    truth_bytes: int = Field(
        DEFAULT_MOST,
        ge=1 << 20,
        description="the truth log has about so many bytes; the oldest lines are removed",
    )


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens `after` seconds after the message was made, and is reported at each of
    `reports` (seconds after it).
    """

    type: IncomingType
    after: float
    reports: tuple[float, ...]
    details: Details | None = None

    @property
    def kind(self) -> str:
        """The type, with `machine-` before it when no person did it."""
        return (
            f"machine-{self.type}"
            if self.details is not None and self.details.is_machine
            else self.type
        )


def story(message_id: str, channel: str, behaviour: Behaviour, soonest: float = 0.0) -> list[Event]:
    """All events of a message, in no particular order. No person opens it in the first `soonest`
    seconds. About 6 us.
    """
    dice = _Dice(message_id, behaviour)
    happenings = _happenings(dice, channel, behaviour, soonest)
    return [Event(kind, after, dice.reports(after), details) for kind, after, details in happenings]


Happening = tuple[IncomingType, float, Details | None]


def _happenings(
    dice: _Dice, channel: str, behaviour: Behaviour, soonest: float
) -> Iterator[Happening]:
    fate, delivered = dice(0), dice.delay(1, behaviour.delivery)
    for kind, rate, details in (
        ("hard", behaviour.hard_bounces, Details(reason="no such recipient", bounce_type="hard")),
        ("soft", behaviour.soft_bounces, Details(reason="mailbox full", bounce_type="soft")),
        ("failed", behaviour.failures, Details(reason="provider error")),
    ):
        if fate < rate:
            if kind != "failed":
                yield from _accepted(dice, behaviour, delivered)
            yield "failed" if kind == "failed" else "bounced", delivered, details
            return
        fate -= rate
    yield from _accepted(dice, behaviour, delivered)
    yield "delivered", delivered, None
    if dice(2) < behaviour.complaints:
        yield "complained", delivered + dice.delay(3, behaviour.opening), None
    yield from _people(dice, channel, behaviour, max(delivered, soonest))
    if channel not in _WITHOUT_OPENS and dice(4) < behaviour.machine_opens:
        yield "opened", delivered, Details(is_machine=True)
        if dice(5) < behaviour.machine_clicks:
            yield "clicked", delivered, Details(url=dice.url(6), is_machine=True)


def _accepted(dice: _Dice, behaviour: Behaviour, known: float) -> Iterator[Happening]:
    """The provider takes the message before its fate is `known`."""
    if dice(14) < behaviour.accepts:
        yield "accepted", known * dice(15), None


def _people(dice: _Dice, channel: str, behaviour: Behaviour, seen: float) -> Iterator[Happening]:
    if dice(7) >= behaviour.opens:
        return
    opened = seen + dice.delay(8, behaviour.opening)
    if channel not in _WITHOUT_OPENS:
        yield "opened", opened, None
    if dice(9) < behaviour.clicks:
        yield "clicked", opened + dice.delay(10, behaviour.clicking), Details(url=dice.url(6))
    if dice(11) < behaviour.unsubscribes:
        yield "unsubscribed", opened + dice.delay(12, behaviour.clicking), None


class _Dice:
    """Sixteen numbers in [0, 1) that a message id and the seed always throw."""

    __slots__ = ("_behaviour", "_numbers")

    def __init__(self, message_id: str, behaviour: Behaviour) -> None:
        digest = blake2b(message_id.encode(), digest_size=64, key=b"%d" % behaviour.seed).digest()
        self._numbers, self._behaviour = _NUMBERS.unpack(digest), behaviour

    def __call__(self, which: int) -> float:
        return float(self._numbers[which] / 4294967296)

    def delay(self, which: int, mean: float) -> float:
        """Exponentially distributed, as waiting times are."""
        return mean * min(_LONGEST, -math.log1p(-self(which)))

    def url(self, which: int) -> str:
        return _URLS[self._numbers[which] % len(_URLS)]

    def reports(self, after: float) -> tuple[float, ...]:
        """When an event is reported, how often and how late; different for every event, because
        `after` is.
        """
        duplicates, disorder = self._behaviour.duplicates, self._behaviour.disorder
        if duplicates == 1 and not disorder:
            return (after,)
        mixed = self._numbers[13] ^ hash(after)
        copies = 1 + mixed % duplicates
        return tuple(
            after + disorder * ((mixed * (copy * 2 + 3) >> 7) % 1009) / 1009
            for copy in range(copies)
        )
