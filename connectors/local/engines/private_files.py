"""Files and folders that nobody but their owner may read: they hold passwords, messages and
addresses.
"""

from __future__ import annotations

import os
from pathlib import Path

UMASK = 0o077  # of every process of a stack
_FILE, _FOLDER = 0o600, 0o700


def write(file: Path, text: str) -> None:
    """Replaces the file at once, so that a reader never sees half of it. It has its mode before
    anything is in it.
    """
    draft = file.with_name(file.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE), "w") as sink:
        sink.write(text)
    draft.replace(file)


def appending(file: Path) -> int:
    """Opens a file that is made with its mode when it is missing, and returns its descriptor."""
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _FILE)


def make_folder(folder: Path) -> None:
    """Makes the folder, or takes the rights of others away from one that is there. Raises
    `OSError`.
    """
    folder.mkdir(_FOLDER, parents=True, exist_ok=True)
    close(folder)


def close(path: Path) -> None:
    """Takes the rights of others away from a file or folder, and leaves its owner's. Raises
    `OSError`.
    """
    mode = path.stat().st_mode
    if mode & UMASK:
        path.chmod(mode & _FOLDER)


def close_all(path: Path) -> None:
    """Does so with everything in a folder, too; links in it are not followed. About 20 us a file.
    Raises `OSError`.
    """
    close(path)
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            inside = Path(folder, name)
            if not inside.is_symlink():
                close(inside)
