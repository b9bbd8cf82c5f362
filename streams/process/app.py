"""The Faust app of a role, with the settings that survived chaos, and the way its process runs."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, NoReturn

import faust
import mode
import uvloop
from mode import Service

from streams.exactly_once.agents import ExactlyOnce
from streams.exactly_once.fatal import end_process
from streams.exactly_once.faust_internals import check_internals
from streams.exactly_once.policy import Policy
from streams.exactly_once.tables import TransactionalTable, TransactionalTables
from streams.exactly_once.transport import SCHEME, credentials
from streams.kafka.clients import access
from streams.process.readiness import Reporting, report_readiness
from streams.settings import Settings
from streams.topics import Name


class App(faust.App):  # type: ignore[misc]  # faust is untyped
    """A Faust app that keeps nothing on disk."""

    exactly_once: ExactlyOnce
    settings: Settings
    reporting: tuple[Reporting, ...] = ()  # services whose standing is part of the worker's

    def _create_directories(self) -> None:
        """Nothing: the state is in Kafka and in memory."""


class Worker(mode.Worker):  # type: ignore[misc]  # mode is untyped
    """A worker that ends at once when one of its services fails. Stopped in order, as mode would,
    it can hang half dead for ever: Faust's own stop waits for a rebalance that cannot end any more.
    """

    def _crash(self, reason: BaseException) -> None:
        if self._stopped.is_set():  # a planned stop goes on
            super()._crash(reason)
        else:
            end_process(reason)


class AppWorker(Worker, faust.Worker):  # type: ignore[misc]  # faust is untyped
    """The same with a Faust app."""


def create_app(role: str, settings: Settings, policy: Policy | None = None) -> App:
    """The app `<prefix>campaigns-<role>`; its agents are registered with
    `app.exactly_once.agent(...)`.

    Needs the topic `<app id>-state` (compacted) and every source, all with `settings.partitions`
    partitions, to exist. Raises RuntimeError when an installed package is not the one the
    exactly-once modules know.
    """
    check_internals()
    session = settings.session_timeout.total_seconds()
    app = App(
        f"{settings.topic_prefix}campaigns-{role}",
        broker=[f"{SCHEME}://{server.strip()}" for server in settings.kafka.split(",")],
        broker_credentials=credentials(access(settings)),
        store="memory://",
        Table=TransactionalTable,
        TableManager=TransactionalTables,
        # 0 selects a round-robin assignor; no standby is ever made, since Faust knows no changelog
        table_standby_replicas=1,
        topic_partitions=settings.partitions,
        topic_allow_declare=False,  # topics are created by `campaigns topics`
        # two workers can believe they are it; jobs take a PostgreSQL advisory lock
        topic_disable_leader=True,
        web_enabled=False,
        worker_redirect_stdouts=False,
        # no static membership: a static member does not leave at a planned stop
        broker_session_timeout=session,
        broker_heartbeat_interval=settings.heartbeat_interval.total_seconds(),
        broker_rebalance_timeout=20,
        broker_request_timeout=max(20.0, session + 5),
        broker_commit_interval=1.0,  # only tells the group, and so its observers, the position
        broker_max_poll_records=500,
        # at least 5 x max_poll_records: a full buffer stalls all topics for a second at a time
        stream_buffer_maxsize=4096,
        consumer_auto_offset_reset="none",  # a position out of range raises instead of jumping
        producer_request_timeout=20,
    )
    app.settings, app.exactly_once = settings, ExactlyOnce(app, settings, policy)

    async def readiness() -> None:
        await report_readiness(app)

    app.task(readiness)
    return app


def raw_topic(app: App, name: Name | str) -> Any:
    """A source of an exactly-once agent: its keys and values are the bytes on the wire. A `Name`
    gets the prefix, a str is taken as it is.
    """
    # value_type=bytes alone would still decode JSON
    raw = {
        "key_type": bytes,
        "key_serializer": "raw",
        "value_type": bytes,
        "value_serializer": "raw",
    }
    topic = app.settings.topic_prefix + name if isinstance(name, Name) else name
    return app.topic(topic, partitions=app.conf.topic_partitions, **raw)


def run(app: App | None, *services: Service, loglevel: str = "INFO") -> NoReturn:
    """Run the app and the services beside it until SIGTERM or SIGINT (exit code 0) or until one
    ends (70; supervisors restart on any code).

    Logging stays as the process has configured it.
    """
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    _collect_rarely()
    options = {
        "loglevel": loglevel,
        "quiet": True,
        "override_logging": False,
        "redirect_stdouts": False,
    }
    worker = Worker(*services, **options) if app is None else AppWorker(app, *services, **options)
    worker.spinner = None  # it writes to the terminal
    worker.execute_from_commandline()
    raise SystemExit(0)


def _collect_rarely() -> None:
    """Tune the garbage collector for a process that makes hundreds of thousands of short-lived rows
    and records a second.

    With Python's defaults it looks through everything again and again, which was a fifth of the CPU
    of emission (20 us a message; now 15). Reference counts free almost everything at once; cycles
    wait longer, and the modules are never looked through again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
