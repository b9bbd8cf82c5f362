"""The stats worker without its projection, which needs PostgreSQL: `python -m
tests.agents.processes.stats_worker`.
"""

from __future__ import annotations

import logging
import sys

from agents.counting.fold import fold
from agents.counting.ingest import Ingest
from streams.process.app import create_app, raw_topic, run
from streams.settings import from_environment
from streams.topics import Name, Topics


def main() -> None:
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(process)d %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    logging.getLogger("faust").setLevel(logging.WARNING)
    settings = from_environment()
    app = create_app("stats", settings)
    facts = raw_topic(app, Topics(settings).name(Name.FACTS))
    app.exactly_once.agent(facts, name="fold", max_events=500, within=0.2)(fold(app, settings))
    run(app, Ingest(app, settings))


if __name__ == "__main__":
    main()
