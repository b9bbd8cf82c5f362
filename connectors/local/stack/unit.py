"""Keeps one process running: starts it, asks for its health, restarts it with back-off when it dies
or falls silent.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from connectors.local.engines.engine import EngineError, last_lines
from connectors.local.engines.process import Process

_log = logging.getLogger(__name__)

_STALE = 5.0  # seconds; a readiness file older than this says nothing any more
_SILENT = 60.0  # seconds without a sign of life, after which a process is restarted
_LONGEST_PAUSE = (
    5.0  # seconds of back-off; workers that die because a broker is away are back soon after it
)
_HEALTHY_RUN = 20.0  # seconds of running that make earlier deaths forgotten
_STOP_WITHIN = timedelta(seconds=15)


class State(StrEnum):
    STARTING = "starting"
    READY = "ready"
    BACKING_OFF = "backing-off"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Health:
    """The state that a process reports. Lag and position count records; None where
    there is none.
    """

    is_ready: bool
    lag: int | None = None
    position: int | None = None
    is_alive: bool = True  # it said anything at all


ABSENT = Health(is_ready=False, is_alive=False)


@dataclass(frozen=True)
class Duty:
    """A process to keep running. `prepare` may block and raise `EngineError`; `health` is asked
    about a running pid and may block a second.
    """

    name: str
    role: str
    prepare: Callable[[], list[str]]
    health: Callable[[int], Health]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within: timedelta = _STOP_WITHIN


@dataclass
class Watchdog:
    """Recognises from outside a process that gives no sign of life after it was once ready. One
    that lives and stands still ends itself.
    """

    _heard: float = 0.0
    _was_ready: bool = False

    def is_silent(self, health: Health, now: float) -> bool:
        """Takes every observation since the start, `now` in seconds. Returns True after a minute of
        silence.
        """
        self._was_ready = self._was_ready or health.is_ready
        if health.is_alive or not self._was_ready:
            self._heard = now
        return now - self._heard >= _SILENT


@dataclass
class Pace:
    """The speed of a position, in records a second over the last seconds."""

    _marks: list[tuple[float, int]] = field(default_factory=list)

    def observe(self, position: int | None, now: float) -> None:
        """Takes the next position. None forgets all before: the process is another one now, or
        reports none.
        """
        self._marks = (
            [mark for mark in self._marks if now - mark[0] <= 5] if position is not None else []
        )
        if position is not None:
            self._marks.append((now, position))

    def per_second(self) -> float | None:
        if len(self._marks) < 2:
            return None
        (then, first), (now, last) = self._marks[0], self._marks[-1]
        return round(max(last - first, 0) / (now - then), 1) if now > then else None


def pause_after(deaths: int) -> float:
    """Returns the seconds before the next start: 0.1, 0.2, 0.4 … 5."""
    return float(min(0.1 * 2 ** min(max(deaths - 1, 0), 10), _LONGEST_PAUSE))


def reported(file: Path, pid: int) -> Health:
    """Reads the health from a readiness file (written by `streams/process/readiness.py`): not ready
    when the file is missing, stale, or another process's.
    """
    try:
        if time.time() - file.stat().st_mtime > _STALE:
            return ABSENT
        said = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return ABSENT
    if said.get("pid") != pid:
        return ABSENT
    return Health(bool(said.get("ready")), said.get("lag"), said.get("position"))


class Unit:
    """Carries out one duty. `run` never returns; cancel it, then await `stop`."""

    def __init__(self, duty: Duty) -> None:
        self.duty, self.state, self.health = duty, State.STOPPED, ABSENT
        self.starts, self.failure, self.pace = 0, "", Pace()
        self._process: Process | None = None
        self._deaths = 0

    @property
    def pid(self) -> int | None:
        return (
            self._process.pid
            if self._process is not None and self._process.exit_code is None
            else None
        )

    async def run(self) -> None:
        while True:
            self.state, began = State.STARTING, time.monotonic()
            try:
                command = await asyncio.to_thread(self.duty.prepare)
                # From the main thread, not from the pool: the kernel ties a child to the thread
                # that started it.
                self._process = Process(command, self.duty.log, self.duty.environment)
                self.starts += 1
                await self._watch(self._process)
                code, said = self._process.exit_code, last_lines(self.duty.log, 2)
                self.failure = f"{self.duty.name} ended with code {code}: {said}"
            except (EngineError, OSError) as error:
                self.failure = str(error)
            self.health, self.pace = ABSENT, Pace()
            self._deaths = 1 if time.monotonic() - began > _HEALTHY_RUN else self._deaths + 1
            self.state = State.BACKING_OFF
            _log.warning("%s, restart %d", self.failure, self._deaths)
            await asyncio.sleep(pause_after(self._deaths))

    async def _watch(self, process: Process) -> None:
        """Returns when the process has ended, by itself or because it stood still."""
        watchdog, next_question = Watchdog(), 0.0
        while process.exit_code is None:
            now = time.monotonic()
            if now >= next_question:
                self.health = await asyncio.to_thread(self.duty.health, process.pid)
                self.pace.observe(self.health.position, now)
                if self.health.is_ready and self.state is not State.READY:
                    _log.info("%s (pid %d) is ready", self.duty.name, process.pid)
                self.state = State.READY if self.health.is_ready else State.STARTING
                next_question = now + (0.5 if self.health.is_ready else 0.1)
                if watchdog.is_silent(self.health, now):
                    _log.error(
                        "%s (pid %d) has said nothing for %.0f s and is restarted",
                        self.duty.name,
                        process.pid,
                        _SILENT,
                    )
                    process.send(signal.SIGKILL)
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Asks the process to end, kills it after `stop_within`, and returns when it is gone."""
        process = self._process
        if process is not None:
            began = time.monotonic()
            process.send(self.duty.stop_signal)
            while process.exit_code is None:
                if time.monotonic() > began + self.duty.stop_within.total_seconds():
                    _log.warning("%s did not stop and is killed", self.duty.name)
                    process.kill()
                await asyncio.sleep(0.02)
            _log.info(
                "%s stopped with code %s after %.1f s",
                self.duty.name,
                process.exit_code,
                time.monotonic() - began,
            )
        self.state, self.health = State.STOPPED, ABSENT
