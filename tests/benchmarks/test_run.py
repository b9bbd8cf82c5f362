"""Benchmarks are not timed tests; this only shows that they run, check themselves, and say what
they found.
"""

from __future__ import annotations

from streams.settings import Settings
from tests.benchmarks import snapshot
from tests.benchmarks.run import BENCHMARKS, Ratio


def test_a_ratio_is_the_median_of_the_rounds_with_its_spread() -> None:
    rounds = [{"ours": ours, "theirs": 100} for ours in (50, 90, 70, 60, 80)]
    result = Ratio("P0", "ours", "theirs", 0.5, 0.8).of(rounds)
    assert result == {"id": "P0", "ratio": 0.7, "spread": [0.5, 0.9], "must": 0.5, "aim": 0.8}


async def test_a_round_of_the_snapshot_checks_its_rows_and_measures_both_sides(
    settings: Settings,
) -> None:
    measured = await snapshot.measure(settings.model_copy(update={"page_size": 700}), 2000)
    result = BENCHMARKS["snapshot"].result([measured])
    assert result["id"] == "P3"
    assert result["ratio"] == round(measured["snapshot"] / measured["copy"], 3) > 0
    assert result["rounds"] == [measured]
