"""`campaigns up|down|reset|status|doctor`: the whole stack on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError

from api.command_line.client import Api
from api.command_line.stack import doctor as checks
from api.command_line.stack.tables import show_addresses, show_findings, show_processes
from api.command_line.terminal import complain, progress
from connectors.local.engines import kafka_jars
from connectors.local.engines.engine import last_lines
from connectors.local.engines.process import Process
from connectors.local.stack import status
from connectors.local.stack.home import Home
from connectors.local.stack.home_folder import OWN_ENTRIES
from connectors.local.stack.status import StackStatus
from connectors.local.stack.supervisor import counts_of
from connectors.local.stack.unit import State
from streams.errors import CampaignError
from streams.settings import sentences

_READY_WITHIN = 120.0  # seconds from one ready process to the next; two slow cores need 15 for all
_STOPPED_WITHIN = timedelta(seconds=45)  # workers get 15, then engines 20


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    for command in (up, down, reset, status_, doctor):
        app.command(command.__name__.rstrip("_"))(command)


def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when everything is ready.")
    ] = False,
    demo: Annotated[bool, typer.Option("--demo/--no-demo", help="Send demo campaigns.")] = True,
    simulate: Annotated[
        bool, typer.Option("--simulate/--no-simulate", help="Run simulated providers and people.")
    ] = True,
    workers: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=N", help="More processes of a role, e.g. emit=2."),
    ] = None,
) -> None:
    """Start engines and processes and, unless told otherwise, a moving demo. Ctrl-C stops
    everything.
    """
    try:
        counts_of(workers or [], simulate)
    except ValueError as wrong:
        complain(str(wrong))
        raise typer.Exit(2) from wrong
    home = Home.from_environment()
    home.make()
    if status.is_supervised(home):
        progress.print("It is already running; `campaigns down` stops it.")
        _show(status.read(home))
        return
    home.make_secrets()
    _check_settings(home)
    _check_ground(home)
    arguments = [
        *(word for each in workers or [] for word in ("--workers", each)),
        *([] if simulate else ["--no-simulate"]),
    ]
    with _supervisor(home, arguments, stays=detach) as supervisor:
        ready = _wait_until_ready(home, supervisor)
        if demo:
            ready = _run_demo(home)
        _show(ready)
        if not detach:
            _wait_for_end(home, supervisor)


def _show(ready: StackStatus) -> None:
    """Prints the addresses, with a link that signs the demo in while there is one."""
    link = ""
    if ready.apiKey:
        try:
            link = Api(ready.apiKey, ready.addresses["api"]).sign_in_link()
        except CampaignError as error:
            complain(f"there is no link that signs in: {error}")
    show_addresses(ready, link)


def _check_settings(home: Home) -> None:
    """Stops early when a process could not start with these settings."""
    try:
        warning = home.settings().shortened()
    except ValidationError as wrong:
        complain("; ".join(sentences(wrong)))
        raise typer.Exit(2) from None
    if warning:
        complain(warning)


def _check_ground(home: Home) -> None:
    """Stops early, with a sentence each, when something is missing that starting would only fail
    on.
    """
    if "CAMPAIGNS_KAFKA" not in home.given:
        with progress.status("Looking for Kafka's jars …") as line:
            kafka_jars.class_path(
                lambda done, total: line.update(f"Fetching Kafka, once: {done} of {total} jars")
            )
    taken = checks.ports_taken(home)
    if taken:
        complain(
            f"port {taken[0]} is taken by another program: stop it,"
            f" or set CAMPAIGNS_PORT_BASE to another number than {home.port_base}"
        )
        raise typer.Exit(1)


@contextmanager
def _supervisor(home: Home, arguments: list[str], *, stays: bool) -> Iterator[Process]:
    """Runs the supervisor as a child that stops with this block, unless it `stays`; then it stops
    only when the block fails.
    """
    # a shell that starts this in the background has it ignore SIGINT; whoever sends one all the
    # same means it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _end)
    log = home.logs / "supervisor.log"
    home.status_file.unlink(
        missing_ok=True
    )  # one of a killed supervisor would look like the new one's
    command = [sys.executable, "-m", "connectors.local.stack.supervisor", *arguments]
    place = {"CAMPAIGNS_HOME": str(home.folder), "CAMPAIGNS_PORT_BASE": str(home.port_base)}
    process = Process(command, log, place, last_wish=None if stays else signal.SIGTERM)
    is_kept = False
    try:
        yield process
        is_kept = stays
    finally:
        if not is_kept:
            progress.print("Stopping …")
            process.stop(signal.SIGTERM, _STOPPED_WITHIN)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _wait_until_ready(home: Home, supervisor: Process) -> StackStatus:
    deadline, told = time.monotonic() + _READY_WITHIN, set[str]()
    progress.print("Starting Kafka, PostgreSQL, NATS and the workers …")
    while True:
        if supervisor.exit_code is not None:
            _give_up(
                home,
                f"the supervisor ended with code {supervisor.exit_code}:"
                f" {last_lines(home.logs / 'supervisor.log', 2)}",
            )
        now = status.read(home)
        for process in now.processes:
            if process.state is State.READY and process.name not in told:
                told.add(process.name)
                progress.print(f"  [green]✓[/] {process.name}")
                deadline = time.monotonic() + _READY_WITHIN
        if now.ready:
            return now
        if now.failure:
            _give_up(home, now.failure)
        if time.monotonic() > deadline:
            late = [it for it in now.processes if it.state is not State.READY]
            reasons = "; ".join(
                f"{it.name} is {it.state}{f' ({it.failure})' if it.failure else ''}" for it in late
            )
            _give_up(
                home,
                f"not ready, and nothing became ready for {_READY_WITHIN:.0f} s:"
                f" {reasons or 'nothing started'}",
            )
        time.sleep(0.1)


def _give_up(home: Home, sentence: str) -> NoReturn:
    complain(f"{sentence}. The logs are in {home.logs}; `campaigns doctor` says more.")
    raise typer.Exit(1)


def _run_demo(home: Home) -> StackStatus:
    import httpx  # both are slow to import and only needed here

    from api.demo import run as demo

    try:
        with progress.status("Starting the demo …"):
            result = asyncio.run(demo.run(home.settings(), home.api_url))
    except httpx.HTTPError as error:
        _give_up(home, f"the demo could not be started: {type(error).__name__}: {error}")
    home.demo_file.touch(0o600)
    home.demo_file.write_text(json.dumps({"apiKey": result.api_key}))
    return status.read(home)


def _wait_for_end(home: Home, supervisor: Process) -> None:
    try:
        progress.print("Ctrl-C stops everything.")
        while supervisor.exit_code is None:
            time.sleep(0.2)
    except KeyboardInterrupt:
        return
    if supervisor.exit_code:
        _give_up(home, f"the supervisor ended with code {supervisor.exit_code}")


def down() -> None:
    """Stop everything; what was stored stays. Exit code 0 also when nothing was running."""
    home = Home.from_environment()
    pid = status.supervisor_pid(home)
    if pid is None:
        progress.print("Nothing is running.")
        return
    with progress.status("Stopping …"):
        _signal(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOPPED_WITHIN.total_seconds()
        while status.is_supervised(home):
            if time.monotonic() > deadline:
                _signal(pid, signal.SIGKILL)  # the kernel ends its processes with it
            time.sleep(0.05)
    progress.print("Stopped.")


def _signal(pid: int, which: signal.Signals) -> None:
    try:
        os.kill(pid, which)
    except ProcessLookupError:
        return


def reset(yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Stop everything and delete what the local stack has stored. Servers given by CAMPAIGNS_…
    addresses are left alone.
    """
    home = Home.from_environment()
    present = [home.folder / name for name in OWN_ENTRIES if (home.folder / name).exists()]
    if not present:
        progress.print(f"There is nothing in {home.folder}.")
        return
    if not yes and not typer.confirm(
        f"Delete every campaign, contact and event stored in {home.folder}?"
    ):
        raise typer.Exit(1)
    down()
    for path in present:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if not any(home.folder.iterdir()):
        home.folder.rmdir()
    progress.print("Deleted.")


def status_(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON; the exit code is then 0 either way.")
    ] = False,
) -> None:
    """Show addresses and processes. Exit code 0 when everything is ready, else 1."""
    now = status.read(Home.from_environment())
    if as_json:
        typer.echo(now.as_json())
        return
    show_addresses(now)
    show_processes(now)
    raise typer.Exit(0 if now.ready else 1)


def doctor() -> None:
    """Say what is wrong with this machine or the running stack, and what to do. Exit code 1 when
    anything is.
    """
    findings = checks.examine(Home.from_environment())
    show_findings(findings)
    raise typer.Exit(0 if all(finding.is_fine for finding in findings) else 1)
