"""The feedback of the role `deliver` about one campaign whose messages it hands over: how many may
be on their way to it. Pure.

A slow, full or dead route is so a cursor that stands still, and no backlog in Kafka.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from streams.contracts.envelope import Record
from streams.records.sending import CHUNK, Settled, WayReason

#: Messages of a campaign that wait to be tried again; with more of them it gets no grant.
MOST_DEFERRED = 10 * CHUNK
#: Messages of a campaign that are with `deliver` and not deferred, at most and at least.
MOST, LEAST = 20 * CHUNK, CHUNK
#: Kafka keeps a message for three days. One that was not settled by then is not open any more.
KEPT = timedelta(days=3)
#: Without feedback for so long a campaign waits for its route.
SILENT = timedelta(seconds=5)
_SECONDS = 2  # of settling that may be on their way


class Delivering(Record, frozen=True, forbid_unknown_fields=True):
    """`settled` messages are done with; `deferred` ones are to be tried again later. `second` is
    the latest Unix second of feedback, `done` and `done_before` how many were settled in it and in
    the second before. `reason`: the last thing heard is why messages cannot leave, until `until`
    if that is known.
    """

    settled: int = 0
    deferred: int = 0
    second: int = 0
    done: int = 0
    done_before: int = 0
    heard_at: datetime | None = None
    reason: WayReason | None = None
    until: datetime | None = None

    def after(self, event: Settled, at: datetime) -> Delivering:
        """The state after an event that arrived at `at`."""
        second, done, before = int(at.timestamp()), self.done + event.settled, self.done_before
        if second > self.second:
            before = self.done if second == self.second + 1 else 0
            done = event.settled
        return replace(
            self,
            settled=self.settled + event.settled,
            deferred=max(0, self.deferred + event.deferred),
            second=max(second, self.second),
            done=done,
            done_before=before,
            heard_at=at,
            reason=event.reason,
            until=event.until,
        )

    def sent(self, at: datetime) -> Delivering:
        """The state after messages were put on the topic at `at`."""
        return replace(self, heard_at=at)

    def renewed(self, out: int, now: datetime) -> Delivering:
        """The state without messages that must have been deleted by now: as if all of the `out`
        that were granted and not skipped were settled.
        """
        if self.heard_at is None or now - self.heard_at < KEPT:
            return self
        return replace(self, settled=out, deferred=0, heard_at=None)

    def is_held_up(self, now: datetime) -> bool:
        """Whether the route takes nothing: that was said, or nothing was heard for a while."""
        return self.reason is not None or self.heard_at is None or now - self.heard_at >= SILENT

    def room(self, out: int) -> int:
        """How many more messages may be granted, when `out` were and are not skipped; 0 for less
        than a quarter of all that may be on their way: many small grants would cost more.
        """
        if self.deferred >= MOST_DEFERRED:
            return 0
        most = min(MOST, max(LEAST, _SECONDS * max(self.done, self.done_before)))
        left = most - max(0, out - self.settled - self.deferred)
        return left if left >= most // 4 else 0
