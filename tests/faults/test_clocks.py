"""Clocks that differ by a sixth of an hour, and are set back by an hour while campaigns are sent;
reports that are dated 1970 or in the future. It needs `libfaketime`, so it is a part of `make
faults` alone.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

import pytest

from tests.eventually import eventually
from tests.faults.clocks import Clocks, library, report_at_odd_times, set_clocks, start_apart
from tests.faults.scene import Site, explained, outcome, scene, site

_SEEDS = int(os.environ.get("SEEDS", "0"))


@pytest.fixture(scope="module")
def clocks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clocks]:
    found = library()
    if found is None:
        pytest.skip("libfaketime is missing (Debian: apt-get install faketime)")
    made = Clocks(found, tmp_path_factory.mktemp("clocks"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory, clocks: Clocks) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("faults"), of_each=clocks.environment) as made:
        for name in ("emit-2", "control-2"):
            made.running.processes.start(name)
        yield made


@pytest.mark.skipif(not _SEEDS, reason="a part of `make faults`")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(1, max(_SEEDS, 1) + 1))
async def test_clocks_differ_and_are_set_back(
    where: Site, clocks: Clocks, seed: int, record_property: Callable[[str, object], None]
) -> None:
    is_ready = where.running.processes.is_ready
    await eventually(lambda: all(map(is_ready, ("emit", "emit-2", "control", "control-2"))))
    start_apart(clocks, random.Random(seed))
    with explained(where):
        async with scene(where, seed, (4_800, 600), (1_600, 200)) as of:
            await set_clocks(of, clocks)
            await report_at_odd_times(of)
            found = await outcome(of)
        record_property("seed", seed)
        record_property("recipients", of.recipients)
        record_property("events", found.events)
        record_property("violations", len(found.violations))
        assert found.violations == []
