"""The simulator: its stories are plausible and repeatable, and what it reports is what its truth
log says.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.simulator.behaviour import Behaviour, story
from connectors.simulator.service import Simulator
from connectors.simulator.truth import TruthLog, recipients
from streams.settings import Settings
from tests.connectors.simulator.pipeline import CAMPAIGN, is_read, reported, send_messages
from tests.environment import environment
from tests.eventually import eventually

GROUP = "campaigns-simulate"


def kinds(message_id: str, behaviour: Behaviour, channel: str = "email") -> set[str]:
    return {event.kind for event in story(message_id, channel, behaviour)}


@given(st.uuids(), st.sampled_from(["email", "sms", "whatsapp", "push"]), st.integers(0, 3))
def test_a_story_is_possible(message_id: Any, channel: str, seed: int) -> None:
    behaviour = Behaviour(
        seed=seed,
        opens=0.7,
        clicks=0.7,
        unsubscribes=0.5,
        machine_opens=0.5,
        hard_bounces=0.2,
        accepts=0.5,
        duplicates=4,
        disorder=9,
    )
    events = {event.kind: event for event in story(str(message_id), channel, behaviour)}
    assert len(events) == len(story(str(message_id), channel, behaviour))
    accepted = events.pop("accepted", None)
    assert accepted is None or "failed" not in events  # what a provider fails to do it never took
    assert all(event.after >= accepted.after for event in events.values() if accepted)
    if "delivered" not in events:
        assert len(events) == 1 and not events.keys().isdisjoint({"bounced", "failed"})
        return
    assert all(event.after >= events["delivered"].after for event in events.values())
    if channel == "sms":
        assert events.keys().isdisjoint({"opened", "machine-opened"})
    elif "clicked" in events:
        assert events["clicked"].after >= events["opened"].after
    assert all(
        1 <= len(event.reports) <= 4 and min(event.reports) >= event.after
        for event in events.values()
    )


def test_no_person_acts_before_the_machine_window_is_over() -> None:
    behaviour = Behaviour(
        opens=1, clicks=1, unsubscribes=1, delivery=0.1, opening=0.1, clicking=0.1
    )
    stories = [
        event for _ in range(300) for event in story(str(uuid4()), "email", behaviour, soonest=3.0)
    ]
    assert (
        min(event.after for event in stories if event.kind in ("opened", "clicked", "unsubscribed"))
        >= 3.0
    )
    assert (
        min(event.after for event in stories if event.kind in ("delivered", "machine-opened")) < 0.1
    )


def test_the_same_seed_tells_the_same_story_and_another_one_does_not() -> None:
    ids = [str(uuid4()) for _ in range(200)]
    one, two = Behaviour(seed=1), Behaviour(seed=2)
    assert [story(i, "email", one) for i in ids] == [story(i, "email", one) for i in ids]
    assert [kinds(i, one) for i in ids] != [kinds(i, two) for i in ids]


def test_the_rates_are_the_configured_ones() -> None:
    behaviour = Behaviour(
        opens=0.4,
        clicks=0.5,
        hard_bounces=0.1,
        soft_bounces=0,
        failures=0,
        complaints=0.05,
        accepts=0.9,
    )
    counted = Counter(kind for _ in range(20_000) for kind in kinds(str(uuid4()), behaviour))
    assert counted["bounced"] == pytest.approx(2000, rel=0.15)
    assert counted["opened"] == pytest.approx(18_000 * 0.4, rel=0.05)
    assert counted["clicked"] == pytest.approx(18_000 * 0.2, rel=0.08)
    assert counted["complained"] == pytest.approx(900, rel=0.2)
    assert counted["accepted"] == pytest.approx(18_000, rel=0.05)
    assert "accepted" not in kinds(str(uuid4()), Behaviour())


def events_of(found: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """(kind, message id) -> times reported."""
    return Counter(
        (
            ("machine-" if event.get("data", {}).get("isMachine") else "") + event["type"],
            event["messageId"],
        )
        for event in found
    )


def truth_of(folder: Path) -> set[tuple[str, str]]:
    return {
        (kind, message_id)
        for (campaign, kind), ids in recipients(folder).items()
        for message_id in ids
        if campaign == CAMPAIGN
    }


async def test_what_is_reported_is_what_the_truth_log_says(
    settings: Settings, tmp_path: Path
) -> None:
    sent = await send_messages(settings, 3000)
    behaviour = Behaviour(accepts=0.5, delivery=0, opening=0, clicking=0, duplicates=3, disorder=1)
    simulator = Simulator(None, settings, behaviour, tmp_path)
    async with simulator:
        await eventually(lambda: is_read(settings, GROUP), 300)
        assert simulator.pending == 0
    found = await reported(settings)
    counted = events_of(found)
    assert set(counted) == truth_of(tmp_path)
    assert max(counted.values()) == 3
    assert {message_id for _, message_id in counted} == set(
        sent
    )  # something becomes of every message
    assert simulator.reported == len(found)


async def test_event_times_follow_the_message_and_reports_leave_in_their_time(
    settings: Settings, tmp_path: Path
) -> None:
    await send_messages(settings, 300)
    behaviour = Behaviour(delivery=0.3, opening=0.3, clicking=0.2, opens=1, clicks=1)
    async with Simulator(None, settings, behaviour, tmp_path):
        await eventually(lambda: is_read(settings, GROUP), 300)
    times: dict[str, dict[str, datetime]] = {}
    for event in await reported(settings):
        if not event.get("data", {}).get("isMachine"):
            times.setdefault(event["messageId"], {})[event["type"]] = datetime.fromisoformat(
                event["timestamp"]
            )
    people = [mine for mine in times.values() if "clicked" in mine]
    assert len(people) > 200
    assert all(mine["delivered"] <= mine["opened"] <= mine["clicked"] for mine in people)
    assert len({mine["clicked"] for mine in people}) > 100


async def test_killed_simulator_loses_no_event_and_decides_the_same_again(
    settings: Settings, tmp_path: Path
) -> None:
    behaviour = Behaviour(delivery=0.4, opening=0.6, clicking=0.3)
    variables = environment(
        settings,
        CAMPAIGNS_SIMULATE_TRUTH=str(tmp_path),
        CAMPAIGNS_SIMULATE_DELIVERY="0.4",
        CAMPAIGNS_SIMULATE_OPENING="0.6",
        CAMPAIGNS_SIMULATE_CLICKING="0.3",
    )
    first = await send_messages(settings, 2000)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "connectors.simulator", env=variables
    )
    try:
        await eventually(lambda: has_reported(settings), 300)
    finally:
        process.kill()
        await process.wait()
    second = await send_messages(settings, 500, first=2000)
    async with Simulator(None, settings, behaviour, tmp_path):
        await eventually(lambda: is_read(settings, GROUP), 300)
    expected = {
        (event.kind, message_id)
        for message_id in first + second
        for event in story(message_id, "email", behaviour)
    }
    assert set(events_of(await reported(settings))) == expected == truth_of(tmp_path)


async def has_reported(settings: Settings) -> bool:
    return bool(await reported(settings))


def test_a_torn_line_and_a_repeated_one_count_for_nothing(tmp_path: Path) -> None:
    with TruthLog(tmp_path) as log:
        log.add("c", "m1", "opened", 1, 5)
    with TruthLog(tmp_path) as log:
        log.add("c", "m1", "opened", 1, 5)
        log.add("c", "m2", "opened", 2, 6)
    with next(tmp_path.glob("*.tsv")).open("a") as file:
        file.write("c\tm3\top")
    assert recipients(tmp_path) == {("c", "opened"): {"m1", "m2"}}


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.tsv"))


def test_the_log_keeps_the_newest_lines_within_its_bound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    most, sizes = 10_000, list[int]()
    (tmp_path / "truth-1.tsv").write_text("c\tof a dead process\topened\t1\t5\n" * 100)
    (tmp_path / "notes.tsv").write_text("not ours")
    with TruthLog(tmp_path, most) as log:
        for n in range(2_000):
            log.add("c", f"m{n}", "opened", 1, n)
            if n % 10 == 9:
                log.flush()
                sizes.append(_size(tmp_path))
    assert max(sizes) <= most + 500 and min(sizes[-100:]) > most // 2
    kept = recipients(tmp_path)["c", "opened"]
    assert kept == {f"m{n}" for n in range(2_000 - len(kept), 2_000)}
    assert (tmp_path / "notes.tsv").exists()
    assert "the oldest truth is removed" in caplog.text


def test_a_log_within_its_bound_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with TruthLog(tmp_path, 1 << 20) as log:
        for n in range(10_000):
            log.add("c", f"m{n}", "opened", 1, n)
            log.flush()
    assert len(list(tmp_path.glob("*.tsv"))) > 1
    assert recipients(tmp_path)["c", "opened"] == {f"m{n}" for n in range(10_000)}
    assert not caplog.text


def test_a_simulator_whose_file_was_removed_by_another_goes_on_in_a_new_one(
    tmp_path: Path,
) -> None:
    with TruthLog(tmp_path) as log:
        log.add("c", "m1", "opened", 1, 5)
        log.flush()
        next(tmp_path.glob("*.tsv")).unlink()
        log.add("c", "m2", "opened", 1, 5)
    assert recipients(tmp_path) == {("c", "opened"): {"m2"}}
