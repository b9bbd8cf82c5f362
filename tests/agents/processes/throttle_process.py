"""A control worker that has only the throttle and its ticker: `python -m
tests.agents.processes.throttle_process control`.
"""

from __future__ import annotations

import logging
import sys

from agents.sending.throttle import throttle
from agents.sending.ticker import Ticker
from streams.process.app import create_app, raw_topic, run
from streams.settings import from_environment
from streams.topics import Name


def main() -> None:
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(process)d %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    logging.getLogger("faust").setLevel(logging.WARNING)
    settings = from_environment()
    app = create_app("control", settings)
    source = raw_topic(app, Name.SENDING)
    app.exactly_once.agent(source, name="throttle", max_events=300, within=0.01)(
        throttle(app, settings)
    )
    run(app, Ticker(app, settings))


if __name__ == "__main__":
    main()
