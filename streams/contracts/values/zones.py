"""The names of time zones that mean the same on every machine."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

# Not zones but what one machine is set to, or a placeholder for that (tz database, files
# `backward` and `factory`): `localtime` and `posixrules` are links of its administrator.
_LOCAL = frozenset({"localtime", "posixrules", "Factory"})


@cache
def zone_names() -> frozenset[str]:
    """The names of the IANA time zone database, links such as `US/Eastern` among them; read from
    disk once. Trees with other rules (`posix/…`, and `right/…`, which counts leap seconds) are not
    among them.
    """
    return frozenset(available_timezones()) - _LOCAL
