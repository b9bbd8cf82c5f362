"""Rows of state as they are decoded: strictly, because a row is written back.

The rule of upgrades: a version adds only optional members, which are left out while they hold their
default, and reads rows without them; a change that an older reader would misunderstand is first
read and written from the next version on. So old rows are always read, and whatever a row has that
this version does not know was written by a newer one: dropping it silently would undo the newer
one's work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from streams.exactly_once.fatal import NewerStateError

T = TypeVar("T")


def strictly(decode: Callable[[bytes], T], what: str) -> Callable[[bytes], T]:
    """The decoder of a struct with `forbid_unknown_fields`; it raises NewerStateError for a row of
    a newer version, and msgspec.DecodeError for one that is no row at all.
    """

    def decoded(row: bytes) -> T:
        try:
            return decode(row)
        except msgspec.ValidationError as error:
            raise NewerStateError(f"{what}: {error}") from error

    return decoded
