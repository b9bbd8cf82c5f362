"""Runs a whole stack: engines, then database and topics, then one or more processes of every role,
until it is told to stop.

`python -m connectors.local.stack.supervisor [--workers ROLE=N …] [--no-simulate]` with the
environment of `Home`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import Any

from connectors.local.engines import private_files
from connectors.local.engines.engine import Engine, answers, last_lines
from connectors.local.engines.process import cut
from connectors.local.stack import status
from connectors.local.stack.home import MOST_PROCESSES, Home
from connectors.local.stack.roles import ROLES
from connectors.local.stack.status import ProcessStatus, StackStatus
from connectors.local.stack.unit import ABSENT, Duty, Health, State, Unit, reported

_log = logging.getLogger("supervisor")

ENGINES_WITHIN = 60.0  # seconds
_ENGINE_STOP = timedelta(seconds=20)


class Supervisor:
    """One stack. Every process dies with it, whatever ends it."""

    def __init__(self, home: Home, counts: Mapping[str, int]) -> None:
        """`counts` gives the number of processes of each role; a role that is missing gets none."""
        home.make_secrets()
        self._home, environment = home, home.environment()
        self._environment, self._addresses = environment, home.shown_addresses()
        self.engines = [Unit(engine_duty(engine, home)) for engine in home.engines()]
        names = [(role, number) for role in ROLES for number in range(1, counts.get(role, 0) + 1)]
        self.workers = [
            Unit(worker_duty(role, n, position, home, environment))
            for position, (role, n) in enumerate(names)
        ]
        self._failure = ""
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, until: asyncio.Event) -> None:
        """Returns when `until` is set and every process has stopped: workers first, then the
        engines that they need.

        An error of the supervisor itself stops everything, too, and is raised.
        """
        self._begin(self._report(), until)
        self._begin(self._start(until), until)
        await until.wait()
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        for group in (self.workers, self.engines):
            await asyncio.gather(*(unit.stop() for unit in group))
        status.write(self._home, self.observed())
        for error in ended:
            if isinstance(error, Exception):
                raise error

    def _begin(self, work: Coroutine[Any, Any, None], until: asyncio.Event) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(
            lambda done: until.set() if not done.cancelled() and done.exception() else None
        )
        self._tasks.append(task)

    def observed(self) -> StackStatus:
        """Returns the present state of the stack."""
        units = [*self.engines, *self.workers]
        is_ready = (
            bool(units) and all(unit.state is State.READY for unit in units) and not self._failure
        )
        return StackStatus(
            is_ready,
            self._addresses,
            None,
            [_observed(unit) for unit in units],
            self._failure,
        )

    async def _start(self, until: asyncio.Event) -> None:
        for unit in self.engines:
            self._begin(unit.run(), until)
        if await self._engines_answer() and await self._prepare():
            for unit in self.workers:
                self._begin(unit.run(), until)

    async def _engines_answer(self) -> bool:
        deadline = time.monotonic() + ENGINES_WITHIN
        while not all(unit.state is State.READY for unit in self.engines):
            failed = [
                unit for unit in self.engines if unit.failure and unit.state is not State.READY
            ]
            if time.monotonic() > deadline or any(
                unit.starts >= 5 or not unit.starts for unit in failed
            ):
                late = [unit for unit in self.engines if unit.state is not State.READY]
                self._failure = "; ".join(
                    unit.failure or f"{unit.duty.name} does not answer" for unit in failed or late
                )
                _log.error("the engines do not start: %s", self._failure)
                return False
            await asyncio.sleep(0.05)
        return True

    async def _prepare(self) -> bool:
        """Migrates in a process of its own, so that the memory goes with it."""
        log = self._home.logs / "prepare.log"
        with log.open("wb") as sink:
            environment = dict(os.environ, **self._environment)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "connectors.setup.prepare",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=environment,
            )
            try:
                code = await process.wait()
            except asyncio.CancelledError:
                process.kill()
                await process.wait()
                raise
        if code:
            self._failure = last_lines(log, 1)
            _log.error("preparing failed: %s", self._failure)
        return code == 0

    async def _report(self) -> None:
        while True:
            try:
                status.write(self._home, self.observed())
            except OSError as error:  # a full disk must not stop the processes
                _log.warning("the status cannot be written: %s", error)
            for log in {unit.duty.log for unit in (*self.engines, *self.workers)} | {
                self._home.logs / "supervisor.log"
            }:
                await asyncio.to_thread(cut, log)
            await asyncio.sleep(0.2)


def engine_duty(engine: Engine, home: Home) -> Duty:
    """An engine keeps its log beside its folder and answers a probe."""
    log = home.logs / f"{engine.role}.log"
    return Duty(
        name=engine.role,
        role=engine.role,
        prepare=engine.prepare,
        health=lambda pid: Health(is_ready=True) if engine.is_ready() else ABSENT,
        log=log,
        stop_signal=engine.stop_signal,
        stop_within=_ENGINE_STOP,
    )


def worker_duty(
    role: str, number: int, position: int, home: Home, environment: Mapping[str, str]
) -> Duty:
    """A process of the role table. Its readiness file says how it is; of the API, /readyz does."""
    name = f"{role}-{number}"
    file = home.ready_file(name)
    own = {
        "CAMPAIGNS_READY_FILE": str(file),
        "CAMPAIGNS_METRICS_PORT": str(home.metrics_port(position)),
    }
    health = (
        (lambda pid: _answering(home.api_port))
        if role == "api"
        else (lambda pid: reported(file, pid))
    )
    return Duty(
        name, role, ROLES[role].command, health, home.logs / f"{name}.log", {**environment, **own}
    )


def _answering(port: int) -> Health:
    request = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    answer = answers(
        "127.0.0.1", port, request, 12, within=4
    )  # it waits 2 s for a PostgreSQL that hangs before it says 503
    return Health(is_ready=answer.startswith(b"HTTP/1.1 200")) if answer else ABSENT


def _observed(unit: Unit) -> ProcessStatus:
    duty, restarts = unit.duty, max(unit.starts - 1, 0)
    return ProcessStatus(
        duty.role,
        unit.pid,
        unit.state,
        unit.health.lag,
        unit.pace.per_second(),
        duty.name,
        restarts,
        unit.failure,
    )


def counts_of(
    workers: Sequence[str], has_simulator: bool, has_routes: bool = False
) -> dict[str, int]:
    """Returns the number of processes of each role; `workers` are words like `emit=2`. Without
    routes nothing is delivered here. Raises ValueError with a sentence for the operator.
    """
    left_out = {"simulate": not has_simulator, "deliver": not has_routes}
    counts = {role: 1 for role in ROLES if not left_out.get(role)}
    for word in workers:
        role, _, number = word.partition("=")
        if (
            role not in ROLES
            or not number.isdecimal()
            or not (0 if role == "simulate" else 1) <= int(number) <= 16
        ):
            scalable = ", ".join(name for name, it in ROLES.items() if it.is_scalable)
            raise ValueError(f"{word!r}: expected ROLE=N, N from 1 to 16, ROLE one of {scalable}")
        if int(number) > 1 and not ROLES[role].is_scalable:
            raise ValueError(f"{word!r}: there is one {role} per stack")
        counts[role] = int(number)
    if (total := sum(counts.values())) > MOST_PROCESSES:
        raise ValueError(
            f"{' '.join(workers)}: {total} processes, and a stack has ports for {MOST_PROCESSES}"
        )
    return counts


async def _supervise(home: Home, counts: Mapping[str, int]) -> None:
    until, loop = asyncio.Event(), asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(each, until.set)
    await Supervisor(home, counts).run(until)


def main(arguments: Sequence[str]) -> int:
    """Returns 0 after a clean stop, 2 when another supervisor has this home."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", action="append", default=[])
    parser.add_argument("--no-simulate", action="store_true")
    given = parser.parse_args(arguments)
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(message)s")
    os.umask(private_files.UMASK)
    home = Home.from_environment()
    home.make()
    lock = status.claim(home)
    if lock is None:
        return 2
    with lock:
        home.status_file.unlink(missing_ok=True)  # of a supervisor that was killed
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        counts = counts_of(given.workers, not given.no_simulate, home.has_routes)
        asyncio.run(_supervise(home, counts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
