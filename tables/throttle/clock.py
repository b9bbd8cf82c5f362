"""Time as one partition of the throttle reads it from its records, so that a replay decides the
same. Pure.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from msgspec.structs import replace

from streams.contracts.envelope import Record, encode
from streams.exactly_once.state_rows import strictly
from streams.records.sending import CHUNK, BatchSent, Sending, Settled

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FEWEST_IN_FLIGHT = 4 * CHUNK


class Clock(Record, frozen=True, forbid_unknown_fields=True):
    """`now` follows the records of the control and expand workers. `virtual` is the time of the
    tenants' fair queue.

    The feedback of emit and deliver workers counts at its own time but does not move `now`, except
    that `now` is never more than an hour behind it: else a worker whose clock is fast would make
    the others' quota return early. `latest` is the latest time of any record.
    """

    now: datetime = _EPOCH
    latest: datetime = _EPOCH
    virtual: int = 0
    # the latest Unix second of feedback, how many messages were done in it, and in the second
    # before
    second: int = 0
    done: int = 0
    done_before: int = 0

    def after(self, record: Sending, at: datetime, hour: timedelta) -> Clock:
        """The clock after a record with the timestamp `at`. Kafka refuses timestamps that are hours
        ahead of the broker's own (`streams.topics.MOST_AHEAD`).
        """
        if not isinstance(record, BatchSent | Settled):
            now = max(self.now, at)
            return replace(self, now=now, latest=max(self.latest, now))
        now = max(self.now, at - hour)
        clock = replace(self, now=now, latest=max(self.latest, at, now))
        if isinstance(record, Settled):
            return clock
        return clock._counted(int(at.timestamp()), record.sent + record.skipped)

    def _counted(self, second: int, messages: int) -> Clock:
        if second <= self.second:
            return replace(self, done=self.done + messages)
        before = self.done if second == self.second + 1 else 0
        return replace(self, second=second, done=messages, done_before=before)

    def cap(self, most: int) -> int:
        """How many messages of this partition's tenants may be in flight: as many as emission does
        in a second, so that a pause takes effect within one.

        Never more than `most`. From a few chunks it grows as long as they come back in less than a
        second.
        """
        return min(most, max(_FEWEST_IN_FLIGHT, self.done, self.done_before))


encode_clock = encode
decode_clock = strictly(msgspec.json.Decoder(Clock).decode, "the clock of the throttle")
