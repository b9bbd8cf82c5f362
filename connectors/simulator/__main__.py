"""`python -m connectors.simulator`: the role `simulate`, until SIGTERM. Settings:
`CAMPAIGNS_SIMULATE_*` (see behaviour.py).
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import uvloop

from connectors.simulator.behaviour import Behaviour
from connectors.simulator.service import Simulator
from streams.process.start import start
from streams.settings import Settings


def truth_folder(behaviour: Behaviour) -> Path | None:
    """The folder of the truth log: the setting's, else one in the home of the local stack, else
    none.
    """
    if behaviour.truth is not None:
        return Path(behaviour.truth) if behaviour.truth else None
    home = os.environ.get("CAMPAIGNS_HOME")
    return Path(home) / "simulator" if home else None


async def _main(settings: Settings) -> None:
    behaviour = Behaviour()
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    async with Simulator(None, settings, behaviour, truth_folder(behaviour)):
        await stopped.wait()


if __name__ == "__main__":
    uvloop.run(_main(start("simulate")))
