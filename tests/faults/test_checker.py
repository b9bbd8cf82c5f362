"""The checker itself: every bug that an engine of this kind is known for is planted into a
faultless log, and must be found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from tests.e2e import world
from tests.e2e.checker import (
    SentMessage,
    assert_each_recipient_once,
    counts_never_fall,
    most_in_any_window,
)

SIZE, CHUNK, LIMIT, HOUR = 100_000, 1_000, 20_000, 3_600.0
Log = list[SentMessage]


def faultless() -> Log:
    """Two campaigns, the second far smaller; each hour a limit's worth goes out at once."""
    log = [_message("a", ordinal, ordinal // LIMIT * HOUR) for ordinal in range(SIZE)]
    return log + [_message("b", ordinal, 0) for ordinal in range(10)]


def _message(campaign: str, ordinal: int, at: float) -> SentMessage:
    contact = f"{campaign}{ordinal}"
    return SentMessage("acme", campaign, ordinal, contact, f"id-{contact}", at)


AUDIENCES = {
    campaign: {message.contact_id for message in faultless() if message.campaign_id == campaign}
    for campaign in ("a", "b")
}


def test_a_faultless_log_is_faultless() -> None:
    log = faultless()
    assert_each_recipient_once(log, AUDIENCES)
    assert most_in_any_window(log[:SIZE], timedelta(hours=1)) == LIMIT
    skipped = {"a": {log[7].contact_id}, "b": set[str]()}
    assert_each_recipient_once([*log[:7], *log[8:]], AUDIENCES, skipped)


PLANTED: dict[str, Callable[[Log], Log]] = {
    "one in 100,000 is dropped": lambda log: [*log[:54_321], *log[54_322:]],
    "a chunk is sent twice": lambda log: [*log, *log[CHUNK : 2 * CHUNK]],
    "the position is committed before the chunk is produced": lambda log: (
        log[: 5 * CHUNK] + log[6 * CHUNK :]
    ),
    "an outbox that is polled by id loses a campaign": lambda log: log[:SIZE],
    "two people get one ordinal": lambda log: [*log[:-1], replace(log[-1], ordinal=0)],
    "one person gets two ordinals": lambda log: [
        *log[:SIZE],
        *(replace(message, contact_id="b0") for message in log[SIZE:]),
    ],
    "two messages have one id": lambda log: [replace(log[0], message_id="id-a1"), *log[1:]],
    "somebody else gets it": lambda log: [*log[:-1], replace(log[-1], contact_id="stranger")],
    "a campaign that nobody started is sent": lambda log: [*log, _message("c", 0, 0)],
    "the last recipient is forgotten": lambda log: log[:-1],
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str) -> None:
    with pytest.raises(AssertionError):
        assert_each_recipient_once(PLANTED[bug](faultless()), AUDIENCES)


def test_a_message_to_somebody_who_is_skipped_is_found() -> None:
    with pytest.raises(AssertionError, match="1 should not have got it"):
        assert_each_recipient_once(faultless(), AUDIENCES, {"a": {"a7"}})


def test_a_window_that_is_forgotten_on_hand_over_is_found() -> None:
    """The new owner of a partition begins to count at nothing, half an hour after the limit was
    reached.
    """
    log = faultless()[:SIZE]
    early = [replace(each, at=each.at - HOUR / 2) if each.at else each for each in log]
    assert most_in_any_window(early, timedelta(hours=1)) == 2 * LIMIT


async def test_a_count_that_goes_back_is_found_and_an_api_that_is_away_is_none() -> None:
    counts = [5, 7, None, 7, 6]

    async def rest(_method: str, _path: str) -> Any:
        count = counts.pop(0)
        assert count is not None
        return {"sentCount": count, "machineOpenedCount": -count}

    watching = asyncio.create_task(counts_never_fall(cast("world.Rest", rest), "a", every=0))
    with pytest.raises(RuntimeError, match=r"counts went back: .*sentCount.*\(7, 6\)"):
        await watching
