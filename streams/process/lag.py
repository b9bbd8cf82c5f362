"""How old the records are that a mover reads: the warning before retention overtakes it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streams import metrics
from streams.topics import TOPICS, Name

_EVERY = 3600.0  # seconds between two warnings
_log = logging.getLogger(__name__)


class Age:
    """The age of what one mover reads. A mover that reads something older than half the retention
    of its topic is warned about, once an hour.
    """

    def __init__(
        self, role: str, reads: Sequence[Name], clock: Callable[[], float] = time.time
    ) -> None:
        self._role, self._clock, self._warned = role, clock, 0.0
        kept = (int(TOPICS[name].config.get("retention.ms", 0)) for name in reads)
        #: Seconds; 0 where nothing is deleted by age.
        self.half = min((each for each in kept if each), default=0) / 2000

    def saw(self, fetched: Mapping[Any, Sequence[Any]]) -> None:
        """Look at the oldest record of a read; an empty one is as young as can be."""
        now = self._clock()
        oldest = min((records[0].timestamp for records in fetched.values()), default=now * 1000)
        age = max(0.0, now - oldest / 1000)
        metrics.OLDEST_UNREAD.labels(self._role).set(age)
        if self.half and age > self.half and now - self._warned > _EVERY:
            self._warned = now
            _log.error(
                "%s reads what is %.0f h old: retention deletes after %.0f h, start more of its"
                " workers",
                self._role,
                age / 3600,
                self.half / 1800,
            )
