"""A worker that has only the agent `emit`: `python -m tests.agents.emit_process emit`."""

from __future__ import annotations

import logging
import sys

from agents.emit import emit
from streams.app import create_app, raw_topic, run
from streams.settings import from_environment
from streams.topics import Name


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    logging.getLogger("faust").setLevel(logging.WARNING)
    settings = from_environment()
    app = create_app("emit", settings)
    app.exactly_once.agent(raw_topic(app, Name.GRANTS), name="emit", max_events=40, within=0.01)(emit(app, settings))
    run(app)


if __name__ == "__main__":
    main()
