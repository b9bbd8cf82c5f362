"""Local times: the instant of a time that clocks of a time zone show, also on the days when they
are put forward or back. Pure.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def resolved(time: datetime, zone: str) -> datetime:
    """The instant, in UTC, of a time. A time without an offset is one that clocks show in the IANA
    zone `zone`.

    A time that does not exist, because clocks are put forward over it, is the first instant after
    the gap; one that exists twice, because they are put back, is the earlier. Raises ValueError
    outside the years 1 to 9999 in UTC.
    """
    try:
        if time.tzinfo is not None:
            return time.astimezone(UTC)
        local = time.replace(
            tzinfo=ZoneInfo(zone), fold=0
        )  # fold=0: of two readings the earlier (PEP 495)
        instant = local.astimezone(UTC)
        return (
            instant
            if _clock(instant, ZoneInfo(zone)) == time
            else _end_of_gap(time, ZoneInfo(zone))
        )
    except OverflowError as error:
        raise ValueError("must lie between the years 1 and 9999 in UTC") from error


def shown(instant: datetime, zone: str) -> str:
    """The local time of an instant, to the minute: `2026-01-28 09:00`."""
    return _clock(instant, ZoneInfo(zone)).isoformat(" ", "minutes")


def _end_of_gap(missing: datetime, zone: ZoneInfo) -> datetime:
    """The instant when clocks are put forward over `missing`, which no clock of the zone ever
    shows.

    PEP 495: read with the offset from after the change (fold=1) it lies before the change, with the
    one from before (fold=0) not.
    """
    early = math.floor(missing.replace(tzinfo=zone, fold=1).timestamp())
    late = math.ceil(missing.replace(tzinfo=zone, fold=0).timestamp())
    while late - early > 1:  # changes are at whole seconds
        middle = (early + late) // 2
        if _clock(datetime.fromtimestamp(middle, UTC), zone) > missing:
            late = middle
        else:
            early = middle
    return datetime.fromtimestamp(late, UTC)


def _clock(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)
