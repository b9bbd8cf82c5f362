"""The folder of one local stack, which its owner alone can look into."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from connectors.local.engines import private_files

# Everything a stack writes into its folder; `reset` removes these and nothing else.
OWN_ENTRIES = (
    "kafka",
    "postgres",
    "postgres.new",
    "nats",
    "logs",
    "ready",
    "simulator",
    "status.json",
    "status.json.new",
    "demo.json",
    "secrets.env",
    "secrets.env.new",
    "supervisor.lock",
)
_OTHERS_WRITE = 0o002


class HomeError(RuntimeError):
    """The folder or the ports of the local stack cannot be used; the message says what
    to change.
    """


def check_readable(folder: Path) -> None:
    """Raises `HomeError` when the folder is there and another user's, whom it is closed to."""
    try:
        is_closed = folder.exists() and not os.access(folder, os.R_OK | os.X_OK)
    except PermissionError:  # of a folder above it
        is_closed = True
    if is_closed:
        raise HomeError(
            f"{folder} belongs to another user: set CAMPAIGNS_HOME to a folder of your own"
        )


def make(folder: Path) -> None:
    """Makes the folder, or closes one that is there to all but its owner, unless other things than
    a stack's are in it: then only what is the stack's. Raises `HomeError` when it cannot be used.
    """
    with _explained(folder, "cannot be written"):
        folder.mkdir(0o700, parents=True, exist_ok=True)
        found = folder.stat()
        # Its owner, and whoever may write to it, can put other files in the place of ours.
        if found.st_uid != os.geteuid():
            raise HomeError(
                f"{folder} belongs to another user: set CAMPAIGNS_HOME to a folder of your own"
            )
        if {entry.name for entry in folder.iterdir()} <= set(OWN_ENTRIES):
            private_files.close(folder)
        elif found.st_mode & _OTHERS_WRITE:
            raise HomeError(
                f"every user of this machine may write to {folder}:"
                " set CAMPAIGNS_HOME to a folder of its own"
            )
        for inside in ("ready", "logs"):
            private_files.make_folder(folder / inside)


def close_entries(folder: Path) -> None:
    """Closes all that a stack has written so far. Raises `HomeError`."""
    for name in OWN_ENTRIES:
        if (folder / name).exists():
            with _explained(folder / name, "cannot be closed to other users"):
                private_files.close_all(folder / name)


@contextmanager
def _explained(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HomeError(
            f"{path} {what} ({error.strerror}): set CAMPAIGNS_HOME to a folder of your own"
        ) from error
