"""The control worker without its throttle: `python -m tests.agents.processes.control_process
commands|relay`.

`commands` runs the agents `commands` and `milestones`; `relay` runs the outbox relay alone.
"""

from __future__ import annotations

import sys

from agents.sending.commands import commands
from agents.sending.milestones import milestones
from agents.sending.outbox_relay import OutboxRelay
from streams.process import logs
from streams.process.app import create_app, raw_topic, run
from streams.settings import from_environment
from streams.topics import Name


def main() -> None:
    settings = from_environment()
    logs.configure(settings, sys.argv[1])
    if sys.argv[1] == "relay":
        run(None, OutboxRelay(None, settings))
    app = create_app("control", settings)
    app.exactly_once.agent(
        raw_topic(app, Name.COMMANDS), name="commands", max_events=100, within=0.02
    )(commands(app, settings))
    app.exactly_once.agent(
        raw_topic(app, Name.MILESTONES), name="milestones", max_events=100, within=0.02
    )(milestones(app, settings))
    run(app)


if __name__ == "__main__":
    main()
