"""Clocks of single processes that differ, and are set while the processes run, by Debian's
`libfaketime`; and reports whose timestamps no good clock has shown.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from confluent_kafka import Producer

from connectors.simulator.truth import TruthLog
from streams.records.reported_events import Details, Incoming, IncomingType, encode_incoming
from streams.topics import Name, Topics
from tests.e2e.checker import SentMessage, sent_messages
from tests.e2e.processes import WORKERS
from tests.e2e.truth import Truth
from tests.eventually import eventually
from tests.faults.scene import HOUR, Scene, Sending

#: What ten minutes are of an hour.
SKEW = HOUR / 6
NAMES = (*WORKERS, "emit-2", "control-2", "api", "simulate")
_EMITTING = ("emit", "emit-2")
_KINDS: tuple[IncomingType, ...] = ("opened", "clicked", "complained", "unsubscribed")


def library() -> Path | None:
    """Where the package `libfaketime` has put it; None if it is not installed."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


class Clocks:
    """A clock for each name, right until it is set. A process reads its own from a file each time
    it asks what time it is; how much time has passed (the monotonic clock) stays true.
    """

    def __init__(self, preloaded: Path, folder: Path) -> None:
        self._library, self._folder = preloaded, folder

    def environment(self, name: str) -> Mapping[str, str]:
        """What the process of this name is started with."""
        if not self._file(name).exists():
            self.set(name, timedelta(0))
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file(name)),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, name: str, ahead: timedelta) -> None:
        """From now on this clock is so far ahead, behind if negative."""
        draft = self._file(name).with_suffix(".new")
        draft.write_text(f"{ahead.total_seconds():+.3f}\n")
        draft.replace(self._file(name))  # at once: the process may be reading

    def close(self) -> None:
        """Remove what the library leaves behind in memory for a process that was killed."""
        for left in Path("/dev/shm").glob("*faketime_*"):
            if not Path("/proc", left.name.rpartition("_")[2]).exists():
                left.unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.clock"


def start_apart(clocks: Clocks, dice: random.Random) -> None:
    """Every clock is ahead or behind; all that emit are ahead, and of the two that decide one."""
    for name in NAMES:
        clocks.set(name, dice.choice((SKEW, -SKEW)))
    for name in (*_EMITTING, "control"):
        clocks.set(name, SKEW)
    clocks.set("control-2", -SKEW)


async def set_clocks(of: Scene, clocks: Clocks) -> None:
    """The clocks of the workers that emit were ahead while the first hour's worth was sent, and are
    behind for the second. Then every clock is set back by an hour, one after the other, and lastly
    to something else, while workers are killed and their partitions move.
    """
    for sending in of.sendings:
        await eventually(lambda: _has_used_its_hour(sending))  # noqa: B023
    for name in _EMITTING:
        clocks.set(name, -SKEW)
    await of.goes_on()
    for name in of.dice.sample(NAMES, len(NAMES)):
        clocks.set(name, -HOUR)
        await asyncio.sleep(of.dice.uniform(0, HOUR.total_seconds() / 6))
    await of.goes_on()
    for name in of.dice.sample(NAMES, len(NAMES)):
        clocks.set(name, of.dice.choice((SKEW, -SKEW)))
    for role in of.dice.sample(("emit", "control", "expand"), 3):
        of.site.running.processes.kill(role)
        await asyncio.sleep(of.dice.uniform(0, 2))
    await of.goes_on()


async def _has_used_its_hour(sending: Sending) -> bool:
    return bool((await sending.stats())["sentCount"] >= sending.limit)


async def report_at_odd_times(of: Scene) -> None:
    """People do something with messages that have long been delivered, and the clock of whoever
    reports it, in the report and in the record, is unset or far ahead. All of it counts.
    """
    settings, now = of.site.settings, datetime.now(UTC)
    times = [
        "0001-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        *((now + timedelta(minutes=minutes)).isoformat() for minutes in (-10, 10, 60, 60 * 24)),
    ]
    producer, topics = Producer({"bootstrap.servers": settings.kafka}), Topics(settings)
    with TruthLog(of.site.running.truth) as truth:
        for message in await eventually(lambda: _delivered(of)):
            kind, key = of.dice.choice(_KINDS), message.message_id.encode()
            url = "https://example.com/late" if kind == "clicked" else None
            reported = Incoming(
                kind,
                message.message_id,
                message.tenant_id,
                of.dice.choice(times),
                Details(url=url),
            )
            truth.add(message.campaign_id, message.message_id, kind, 1, 0)
            producer.produce(
                topics.name(Name.INCOMING),
                encode_incoming(reported),
                key,
                topics.partition(key),
                # of the record: 1970, or more ahead than the broker lets our own writers be
                timestamp=of.dice.choice((1, round((now.timestamp() + 3 * 3600) * 1000))),
            )
    assert await asyncio.to_thread(producer.flush, 60) == 0


async def _delivered(of: Scene) -> list[SentMessage]:
    """Some messages of every campaign that were delivered, so long ago that whoever opens them now
    is not taken for a machine.
    """
    found = list[SentMessage]()
    until = datetime.now(UTC).timestamp() - 3 * HOUR.total_seconds()
    sent = await asyncio.to_thread(sent_messages, of.site.settings)
    for sending in of.sendings:
        delivered = Truth.of(of.site.running.truth, sending.campaign)("delivered")
        theirs = [it for it in sent if it.message_id in delivered and it.at < until]
        assert len(theirs) >= 50
        found += of.dice.sample(theirs, 50)
    return found
