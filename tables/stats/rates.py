"""How fast each campaign is being sent now, sampled from the live counts."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from streams.process.background import InBackground
from tables.stats.views import SendingView, StatsView

_EVERY = 0.5  # seconds between samples
_SAMPLES = 11  # the rate is that of the last five seconds


class Rates(InBackground):
    """Samples the campaigns being sent, while it is used; campaigns that are over are forgotten."""

    def __init__(self, stats: StatsView, sending: SendingView) -> None:
        super().__init__("rates")
        self._stats, self._sending = stats, sending
        self._samples: dict[
            int, deque[tuple[float, int, bool]]
        ] = {}  # when, how many are done, whether somebody is in flight

    def of(self, number: int) -> float:
        """Recipients done (sent or skipped) per second over the last five seconds; 0 for a campaign
        that is not being sent.
        """
        samples = self._samples.get(number)
        if not samples or len(samples) < 2:
            return 0.0
        (began, before, _), (ended, after, _) = samples[0], samples[-1]
        return (after - before) / (ended - began)

    def is_stalled(self, number: int) -> bool:
        """Whether no recipient was done for five seconds, although messages were in flight all that
        time.
        """
        samples = self._samples.get(number) or deque()
        return (
            len(samples) == _SAMPLES
            and samples[0][1] == samples[-1][1]
            and all(is_in_flight for _, _, is_in_flight in samples)
        )

    def sample(self, now: float) -> None:
        """Note the counts of every campaign that the throttle holds, at `now` seconds of any
        monotonic clock.
        """
        self._samples = {
            number: self._samples.get(number) or deque(maxlen=_SAMPLES)
            for number in self._sending.numbers()
        }
        for number, samples in self._samples.items():
            total, sending = self._stats.campaign(number).total, self._sending.campaign(number)
            samples.append(
                (now, total.sent + total.skipped, sending is not None and sending.in_flight > 0)
            )

    async def work(self) -> None:
        while True:
            self.sample(time.monotonic())
            await asyncio.sleep(_EVERY)
