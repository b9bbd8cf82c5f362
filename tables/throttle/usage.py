"""How much of its limits a tenant has used: the throttle's own windows, read from its state topic."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

import msgspec

from streams.settings import Settings
from tables.throttle.quota import Period, allow
from tables.throttle.state import TenantSending

_TABLES = {
    b"minutes": 60,
    b"quarters": 900,
}  # table of tables/throttle/quota.py -> seconds of its own time per window
_SEPARATOR = b"\0"  # between a table and the key, see streams/exactly_once/tables.py
_OF_CAMPAIGN = b"\\u0000"  # in the JSON of a campaign's key, see `quota_key`
_decode_key = msgspec.json.Decoder(tuple[str, tuple[float, float]]).decode


@dataclass(frozen=True)
class Used:
    """`sent` in the windows that touch the last hour (day), `in_flight` granted and not yet sent;
    what is `left`, None without a limit.

    `until`: with nothing left, when there will be something at the earliest.
    """

    sent: int
    in_flight: int
    limit: int | None
    left: int | None
    until: datetime | None


class QuotaWindows:
    """Messages sent per tenant and window; campaigns' own windows are left out."""

    def __init__(self) -> None:
        self._sent: defaultdict[tuple[bytes, str], dict[int, int]] = defaultdict(dict)

    def put(self, key: bytes, value: bytes | None) -> None:
        """A record of the state topic; rows of other tables are left alone. Raises ValueError for
        one that cannot be read.
        """
        table, _, stored = key.partition(_SEPARATOR)
        if (width := _TABLES.get(table)) is None or _OF_CAMPAIGN in stored:
            return
        tenant, (start, _) = _decode_key(stored)
        windows, index = self._sent[table, tenant], round(start / width)
        if value is None:
            windows.pop(index, None)
        else:
            windows[index] = int(value)

    def used(
        self,
        tenant: str,
        sending: TenantSending,
        limits: tuple[int | None, int | None],
        now: datetime,
        settings: Settings,
    ) -> tuple[Used, Used]:
        """Of the hour and of the day, as the throttle counts: windows later than `now` count, too."""
        hour, day = (
            self._used(table, tenant, sending.in_flight, limit, now, period)
            for table, limit, period in zip(
                _TABLES, limits, (Period(settings.hour, 60), Period(settings.day, 96)), strict=True
            )
        )
        return hour, day

    def _used(
        self,
        table: bytes,
        tenant: str,
        in_flight: int,
        limit: int | None,
        now: datetime,
        period: Period,
    ) -> Used:
        windows, oldest = self._sent.get((table, tenant), {}), period.oldest(now)
        counts = [(index, sent) for index, sent in sorted(windows.items()) if index >= oldest]
        allowance = allow(limit, counts, in_flight, now, period)
        left = None if limit is None else allowance.room
        return Used(sum(sent for _, sent in counts), in_flight, limit, left, allowance.until)
