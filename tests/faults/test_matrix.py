"""The fault matrix: every part of a running installation is killed, frozen or cut off while two
campaigns are sent and tracked; the raw logs say whether anything is lost, repeated or miscounted.

`make faults SEEDS=20` runs every row with twenty seeds; `make test` runs some rows with one.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.eventually import eventually
from tests.faults.disturbances import DISTURBANCES
from tests.faults.planted import BUGS
from tests.faults.scene import Site, explained, outcome, scene, site

_SOME = (
    "kill -9 of every process",
    "a frozen worker wakes up",
    "kill -9 of the broker",
    "kill -9 of PostgreSQL",
    "NATS loses its disk",
    "suppressions race the messages",
)
_SEEDS = int(os.environ.get("SEEDS", "0"))
_ROWS = list(DISTURBANCES) if _SEEDS else _SOME


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("faults")) as made:
        yield made


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(1, max(_SEEDS, 1) + 1))
@pytest.mark.parametrize("fault", _ROWS)
async def test_nothing_is_lost_repeated_or_miscounted(
    where: Site, fault: str, seed: int, record_property: Callable[[str, object], None]
) -> None:
    with explained(where):
        async with scene(where, seed, (2_400, 900), (600, 200)) as of:
            await DISTURBANCES[fault](of)
            await of.goes_on()
            found = await outcome(of)
        record_property("seed", seed)
        record_property("recipients", of.recipients)
        record_property("events", found.events)
        record_property("violations", len(found.violations))
        assert found.violations == []


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("bug", BUGS)
async def test_a_bug_that_is_planted_into_a_worker_is_found(where: Site, bug: str) -> None:
    """So the rows above would have found it."""
    role, processes = BUGS[bug][0], where.running.processes
    await asyncio.to_thread(processes.stop, role)
    command = [sys.executable, "-m", "tests.faults.planted", bug, role]
    processes.start(role, command=command)
    try:
        async with scene(where, 1, (600, 200)) as of:
            found = await outcome(of, within=20)
    finally:
        await asyncio.to_thread(processes.stop, role)
        processes.start(role)
        await eventually(processes.all_ready)
    assert found.violations != []
