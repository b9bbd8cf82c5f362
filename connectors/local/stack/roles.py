"""The processes of a stack: one table from role to command, for the supervisor, the command line
and docker-compose.yml.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

ENGINES = ("kafka", "postgres", "nats")


@dataclass(frozen=True)
class Role:
    """One row of the table."""

    module: str
    arguments: tuple[str, ...] = ()
    is_scalable: bool = True  # may run more than once in one stack

    def command(self) -> list[str]:
        return [sys.executable, "-m", self.module, *self.arguments]


ROLES: Mapping[str, Role] = {
    "api": Role("api.server", is_scalable=False),
    "control": Role("agents.worker", ("control",)),
    "expand": Role("agents.worker", ("expand",)),
    "emit": Role("agents.worker", ("emit",)),
    "stats": Role("agents.worker", ("stats",)),
    "deliver": Role("agents.worker", ("deliver",)),
    "bridge": Role("agents.worker", ("bridge",)),
    "simulate": Role("connectors.simulator"),
}
