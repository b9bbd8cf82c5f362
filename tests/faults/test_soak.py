"""Half an hour of everything mixed: `make faults SOAK=30`. Nothing is lost, repeated or miscounted,
and nothing grows without a bound: memory, open files, disks, topics, tables, the outbox.

A run of less than twenty minutes shows the former alone: caches fill up for longer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.levels import complaints
from tests.faults.scene import Site, explained, site
from tests.faults.soak import KAFKA, MORE, POSTGRES, soaked

_MINUTES = float(os.environ.get("SOAK", "0"))
_SEEDS = int(os.environ.get("SEEDS", "1"))
_JUDGED = 20.0  # minutes


@pytest.fixture
def where(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, kafka_properties=KAFKA, postgres_settings=POSTGRES, more=MORE) as made:
        yield made


@pytest.mark.skipif(not _MINUTES, reason="a part of `make faults`")
@pytest.mark.timeout(_MINUTES * 60 + 1800)
@pytest.mark.parametrize("seed", range(1, _SEEDS + 1))
async def test_everything_mixed_levels_off_and_loses_nothing(
    where: Site,
    pytestconfig: pytest.Config,
    seed: int,
    record_property: Callable[[str, object], None],
) -> None:
    with explained(where):
        soak = await soaked(where, _MINUTES, seed, pytestconfig.rootpath / "build" / "soak.json")
        found = soak.violations
        if _MINUTES >= _JUDGED:
            found = found + complaints(soak.levels())
        record_property("seed", seed)
        record_property("recipients", soak.recipients)
        record_property("events", soak.events)
        record_property("violations", len(found))
        assert found == []
