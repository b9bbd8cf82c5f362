"""The disk of the broker, of PostgreSQL or of NATS fills up while campaigns are sent: what cannot
be kept is refused, and when there is room again everything goes on. It takes minutes, so it is a
part of `make faults` alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.apart import counted, may, record

_SEEDS = int(os.environ.get("SEEDS", "0"))
_APART = ("unshare", "--mount")


@pytest.mark.skipif(not _SEEDS, reason="a part of `make faults`")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(1, max(_SEEDS, 1) + 1))
@pytest.mark.parametrize("engine", ["kafka", "postgres", "nats"])
def test_the_disk_is_full(
    tmp_path: Path, engine: str, seed: int, record_property: Callable[[str, object], None]
) -> None:
    if not may(_APART, "mount -t tmpfs none /mnt"):
        pytest.skip("this user may not mount anything")
    found = counted(_APART, "tests.faults.disk_full", tmp_path, seed, engine)
    assert record(record_property, seed, found) == []
