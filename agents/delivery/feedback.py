"""The feedback of one lane to the throttle, by campaign: how many messages were settled or put off,
and whether the route takes any. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from agents.delivery.outlets.pacing import Way
from streams.records.message_id import TESTS
from streams.records.sending import Settled


class CampaignKey(NamedTuple):
    """A campaign, by its number."""

    tenant_id: str
    number: int


_OPEN = Way()


class Feedback:
    """Collects during a step; `records` are what its transaction says, each once."""

    def __init__(self) -> None:
        self._settled, self._deferred = Counter[CampaignKey](), Counter[CampaignKey]()
        self._ways: dict[CampaignKey, Way] = {}
        self._told: dict[CampaignKey, Way] = {}  # those that are held up

    def settle(self, campaign: CampaignKey) -> None:
        """Note that a message is done with."""
        self._settled[campaign] += 1

    def defer(self, campaign: CampaignKey, change: int) -> None:
        """Note that the number of messages that were put off changes."""
        if change:
            self._deferred[campaign] += change

    def note(self, campaign: CampaignKey, way: Way) -> None:
        """Note how messages that wait can leave. Of several senders the last one that is held up
        counts.
        """
        if way.reason or campaign not in self._ways:
            self._ways[campaign] = way

    def records(self) -> Iterator[Settled]:
        """One record for each campaign of which there is something to tell; then all is told."""
        turned = {key for key, way in self._ways.items() if way != self._told.get(key, _OPEN)}
        for key in self._settled.keys() | self._deferred.keys() | turned:
            if key.number == TESTS:  # the throttle knows none
                continue
            way = self._ways.get(key, _OPEN)  # where nothing waits, nothing is held up
            if way.reason:
                self._told[key] = way
            else:
                self._told.pop(key, None)
            yield Settled(*key, self._settled[key], self._deferred[key], *way)
        self._settled.clear()
        self._deferred.clear()
        self._ways.clear()
