"""Two exactly-once roles in a loop, small enough to recompute: `python -m tests.faults.counting_app
limit|count`.

`limit`: commands -> grants (at most LIMIT per tenant and minute of the command's own time),
feedback -> acks. `count`: grants -> as many messages as were granted, and feedback.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys

from streams.exactly_once.crash_points import crash_point
from streams.exactly_once.tables import PartitionState
from streams.exactly_once.transactions import Transaction
from streams.process.app import App, create_app, raw_topic, run
from streams.settings import from_environment

LIMIT = 30
COMMANDS, GRANTS, FEEDBACK, MESSAGES, ACKS = TOPICS = (
    "commands",
    "grants",
    "feedback",
    "messages",
    "acks",
)


def limit(app: App, prefix: str) -> None:
    minutes = app.Table("minutes", default=int, key_type=str).tumbling(60, expires=120)
    total = app.Table("total", default=int, key_type=str)
    fed_back = app.Table("fed_back", key_type=bytes, value_type=bytes)

    async def commands(tx: Transaction) -> None:
        for event in tx.events:
            try:
                command = json.loads(event.value)
            except (ValueError, TypeError) as error:
                tx.dead_letter(event, f"not JSON: {type(error).__name__}", "malformed")
                continue
            tenant, minute = command["tenant"], minutes.relative_to(float(command["at"]))
            granted = min(command["n"], LIMIT - minute[tenant].value())
            if granted > 0:
                minute[tenant] += granted
                total[tenant] += granted
            text = b"%d:%d:%d:%d" % (command["id"], granted, minute[tenant].value(), total[tenant])
            tx.send(prefix + GRANTS, tx.partition, event.key, text, [("tenant", event.key)])
        crash_point("half-way", "commands")

    async def feedback(tx: Transaction) -> None:
        for event in tx.events:
            number, granted = map(int, event.value.split(b":"))
            so_far = granted + int(fed_back.get(event.key, b"0"))
            fed_back[event.key] = b"%d" % so_far
            tx.send(prefix + ACKS, tx.partition, event.key, b"%d:%d" % (number, so_far))

    app.exactly_once.agent(raw_topic(app, prefix + COMMANDS), name="commands", max_events=200)(
        commands
    )
    app.exactly_once.agent(raw_topic(app, prefix + FEEDBACK), name="feedback", max_events=200)(
        feedback
    )


def count(app: App, prefix: str) -> None:
    progress = app.Table("progress", default=int, key_type=str)

    async def grants(tx: Transaction) -> None:
        for event in tx.events:
            if dict(event.message.headers) != {"tenant": event.key}:
                raise ValueError("headers did not arrive")
            number, granted, _, _ = map(int, event.value.split(b":"))
            progress[event.key.decode()] += granted
            for i in range(granted):
                tx.send(
                    prefix + MESSAGES,
                    tx.partition,
                    event.key,
                    b"%d:%d:%d" % (number, i, progress[event.key.decode()]),
                )
            tx.send(prefix + FEEDBACK, tx.partition, event.key, b"%d:%d" % (number, granted))

    app.exactly_once.agent(raw_topic(app, prefix + GRANTS), name="grants", max_events=200)(grants)


def main(role: str) -> None:
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(process)d %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    logging.getLogger("faust").setLevel(logging.WARNING)
    settings = from_environment()
    app = create_app(role, settings)
    {"limit": limit, "count": count}[role](app, settings.topic_prefix)
    if plant := os.environ.get("PLANT"):
        lose_one_record(app, int(plant))
    if os.environ.get("HOLD"):
        hold_the_take_over(app)
    run(app)


def lose_one_record(app: App, nth: int) -> None:
    """Plants the bug that the chain guard is for: Faust drops the n-th record it has fetched."""
    consumer = app.transport.Consumer
    getmany, seen = consumer.getmany, 0

    async def lossy(self: object, timeout: float) -> object:
        nonlocal seen
        async for tp, message in getmany(self, timeout):
            seen += 1
            if seen != nth:
                yield tp, message

    consumer.getmany = lossy


def hold_the_take_over(app: App) -> None:
    """The transaction coordinator never answers the worker that takes partitions over."""

    async def never(number: int) -> PartitionState:
        logging.info("partition %d waits for its coordinator", number)
        await asyncio.Event().wait()
        raise AssertionError

    app.exactly_once._open = never  # type: ignore[method-assign]


if __name__ == "__main__":
    main(sys.argv[1])
