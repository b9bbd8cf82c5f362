"""The role `deliver` alone in processes that a test kills: forked from one that has imported it, so
that each starts at once.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path

from agents.delivery.worker import Deliver
from streams.exactly_once import crash_points
from streams.process import logs
from streams.process.app import run
from streams.settings import Settings, from_environment

_FORKING = multiprocessing.get_context("forkserver")


class Worker:
    """One after the other, with the same log."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._environment, self._log = settings.environment(), log
        self._process: BaseProcess | None = None

    def start(self, crash: str = "") -> None:
        """`crash` as CAMPAIGNS_CRASH has it."""
        _FORKING.set_forkserver_preload([__name__])
        arguments = (self._environment, str(self._log), crash)
        self._process = _FORKING.Process(target=_main, args=arguments, daemon=True)
        self._process.start()

    async def ended(self) -> int | None:
        """The exit code, once there is one."""
        assert self._process is not None
        await asyncio.to_thread(self._process.join, 300)
        return self._process.exitcode

    async def stop(self) -> int | None:
        """SIGTERM; the exit code."""
        assert self._process is not None and self._process.pid is not None
        os.kill(self._process.pid, signal.SIGTERM)
        return await self.ended()


def _main(environment: dict[str, str], log: str, crash: str) -> None:
    with Path(log).open("ab") as sink:
        os.dup2(sink.fileno(), 2)
    os.environ.update(environment)
    crash_points._armed = crash_points.parse(crash)
    settings = from_environment()
    logs.configure(settings, "deliver")
    run(None, Deliver(None, settings))
