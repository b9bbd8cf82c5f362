"""How much of its limits a tenant has used: the throttle's own windows, read from its state
topic.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from streams.settings import Settings
from tables.throttle.quota import DAILY, HOURLY, Period, allow, is_campaign_key, quota_key
from tables.throttle.state import TenantSending

_TABLES = {windowing.table: windowing for windowing in (HOURLY, DAILY)}


@dataclass(frozen=True)
class Used:
    """Messages `sent` in the windows that touch the last hour (day), `in_flight` (granted and not
    yet sent), and `left`, which is None without a limit.

    `until`: with none left, the earliest time for one.
    """

    sent: int
    in_flight: int
    limit: int | None
    left: int | None
    until: datetime | None


class QuotaWindows:
    """Messages sent per tenant and window; campaigns' own windows are left out."""

    def __init__(self) -> None:
        self._sent: defaultdict[tuple[str, str], dict[int, int]] = defaultdict(dict)

    def put(self, table: str, key: tuple[str, tuple[float, float]], value: bytes | None) -> None:
        """A row of one of the quota's tables; None when it has expired. Raises ValueError for a
        value that is no number.
        """
        owner, (start, _) = key
        if is_campaign_key(owner):
            return
        windows, index = self._sent[table, owner], _TABLES[table].window(start)
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
        """Of the hour and of the day, as the throttle counts: windows later than `now` count,
        too.
        """
        per_hour, per_day = limits
        hour = Period(settings.hour, HOURLY.windows)
        day = Period(settings.day, DAILY.windows)
        return (
            self._used(HOURLY.table, tenant, sending.in_flight, per_hour, now, hour),
            self._used(DAILY.table, tenant, sending.in_flight, per_day, now, day),
        )

    def _used(
        self,
        table: str,
        tenant: str,
        in_flight: int,
        limit: int | None,
        now: datetime,
        period: Period,
    ) -> Used:
        windows = self._sent.get((table, quota_key(tenant)), {})
        oldest = period.oldest(now)
        counts = [(index, sent) for index, sent in sorted(windows.items()) if index >= oldest]
        allowance = allow(limit, counts, in_flight, now, period)
        left = None if limit is None else allowance.room
        return Used(sum(sent for _, sent in counts), in_flight, limit, left, allowance.until)
