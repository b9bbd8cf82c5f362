"""The map of the pipeline, read top to bottom: the agents and services of each process, the topic
that each agent reads, and the size of its transactions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mode import Service

from agents.bounces.listening import BounceListener
from agents.bounces.mailboxes import BounceMailboxes
from agents.counting.complaints import Complaints
from agents.counting.fold import fold
from agents.counting.ingest import Ingest
from agents.counting.project import Project
from agents.delivery.worker import Deliver
from agents.jobs.housekeeping import Housekeeping
from agents.jobs.jobs import Jobs
from agents.sending.commands import commands
from agents.sending.emit import emit
from agents.sending.expand import expand
from agents.sending.milestones import milestones
from agents.sending.outbox_relay import OutboxRelay
from agents.sending.throttle import throttle
from agents.sending.ticker import Ticker
from connectors.nats.bridge import Bridge
from streams.exactly_once.agents import Body
from streams.process.app import App, create_app, raw_topic
from streams.process.readiness import Reporting
from streams.settings import Settings
from streams.topics import Name
from tables.installation.settings_watch import SettingsWatch
from tables.stats.views import StatsView


@dataclass(frozen=True)
class Agent:
    """An exactly-once agent: at most `max_events` records of `source`, collected for `within`
    seconds, are one transaction.
    """

    name: str
    source: Name
    body: Callable[[App, Settings], Body]
    max_events: int
    within: float


@dataclass(frozen=True)
class Role:
    """The agents and services of one process; start more processes of a role to scale it.

    `watching` are services that decide by the live stats: they share one view of them. `niceness`:
    how far the process stands back where it shares cores.
    """

    agents: tuple[Agent, ...] = ()
    services: tuple[Callable[[Any, Settings], Service], ...] = ()
    watching: tuple[Callable[..., Service], ...] = ()
    niceness: int = 0


ROLES: Mapping[str, Role] = {
    "control": Role(
        agents=(
            Agent("commands", Name.COMMANDS, commands, max_events=20, within=0.02),
            Agent("throttle", Name.SENDING, throttle, max_events=300, within=0.01),
            Agent("milestones", Name.MILESTONES, milestones, max_events=100, within=0.02),
        ),
        services=(OutboxRelay, Ticker, Housekeeping),
        watching=(Jobs, Complaints),
    ),
    "expand": Role(agents=(Agent("expand", Name.EXPANSIONS, expand, max_events=1, within=0.01),)),
    "emit": Role(agents=(Agent("emit", Name.GRANTS, emit, max_events=40, within=0.01),)),
    "stats": Role(
        agents=(Agent("fold", Name.FACTS, fold, max_events=500, within=0.2),),
        services=(Ingest, Project),
    ),
    "deliver": Role(services=(Deliver, BounceListener, BounceMailboxes)),
    # Nothing waits for the bridge; with equal priority it took a sixth of two cores from sending.
    "bridge": Role(services=(Bridge,), niceness=10),
}


def build(role: str, settings: Settings) -> tuple[App | None, list[Service]]:
    """The Faust app of a role, None when it has no agents, and its services; every process watches
    its settings beside them. Nothing is started.
    """
    plan = ROLES[role]
    app = create_app(role, settings) if plan.agents else None
    for agent in plan.agents:
        assert app is not None
        source = raw_topic(app, agent.source)
        app.exactly_once.agent(
            source, name=agent.name, max_events=agent.max_events, within=agent.within
        )(agent.body(app, settings))
    stats = StatsView(settings)
    services = [service(app, settings) for service in plan.services]
    services += [service(app, settings, stats=stats) for service in plan.watching]
    services.append(SettingsWatch(app, settings))
    if app is not None:
        app.reporting = tuple(service for service in services if isinstance(service, Reporting))
    return app, services
