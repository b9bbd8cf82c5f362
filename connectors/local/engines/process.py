"""A child process that does not outlive this one, with its log in a file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psutil

from connectors.local.engines import private_files

_TETHERED = Path(__file__).with_name("tethered.py")
_LOG_LIMIT = 16 << 20  # bytes; a longer log is set aside at the next start, one old log is kept
_RUNNING_LOG_LIMIT = 64 << 20  # bytes; of a process that never starts again


class Process:
    """Starts at once. Start it from a thread that lives as long as the child should: the kernel
    ends it with that thread.

    Files that the child makes, and its log, are its owner's alone.

    The child leads a session of its own, so a Ctrl-C in the terminal reaches only this process,
    which decides the order of stopping. Raises `OSError` when the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        last_wish: signal.Signals | None = signal.SIGKILL,
    ) -> None:
        """`last_wish` is the signal that the child gets when this process dies; None lets it live
        on.
        """
        _rotate(log)
        tether = (
            []
            if last_wish is None
            else [sys.executable, "-I", "-S", str(_TETHERED), str(os.getpid()), str(int(last_wish))]
        )
        with os.fdopen(private_files.appending(log), "ab") as sink:
            self._child = subprocess.Popen(
                [*tether, *command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=private_files.UMASK,
                env=dict(os.environ, **environment or {}),
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """None while the child runs; negative: the signal that ended it."""
        return self._child.poll()

    def send(self, which: signal.Signals) -> None:
        """Sends a signal; harmless when the process is gone."""
        self._child.send_signal(which)

    def wait(self, within: timedelta) -> bool:
        """Waits for the end. Returns whether it came in time."""
        try:
            self._child.wait(within.total_seconds())
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(
        self, gently: signal.Signals = signal.SIGTERM, within: timedelta = timedelta(seconds=15)
    ) -> None:
        """Asks the process to end, kills it when it does not, and returns when it is gone."""
        self.send(gently)
        if not self.wait(within):
            self.kill()

    def kill(self) -> None:
        """Sends SIGKILL to the process and all its children (an orphaned PostgreSQL backend goes on
        answering), and returns when it is gone.
        """
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        self.send(signal.SIGKILL)
        self._child.wait()


def cut(log: Path, limit: int = _RUNNING_LOG_LIMIT) -> None:
    """Sets a log aside that has grown beyond `limit` bytes while its process goes on writing; one
    old log is kept.

    Lines written within the milliseconds between copy and cut are lost. With a full disk no copy is
    kept. Does nothing without a log.
    """
    with suppress(OSError):
        if log.stat().st_size <= limit:
            return
        old = _old(log)
        try:
            shutil.copyfile(log, old)
        except OSError:
            old.unlink(missing_ok=True)
        os.truncate(log, 0)  # the process appends, so its next line is the first


def _old(log: Path) -> Path:
    return log.with_suffix(".old.log")


def _rotate(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(_old(log))
