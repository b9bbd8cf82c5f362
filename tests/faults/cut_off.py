"""An installation on three brokers whose parts are in networks of their own, and silent cuts
between one of them and everybody else while all live: `python -m tests.faults.cut_off FOLDER SEED
PART …`, as root in `unshare --net --mount`, so that nothing of it stays. Prints a line of JSON for
each part, with what was counted.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
from pydantic import SecretStr

from connectors.local.engines.engine import OPEN, Engine, RunningEngine, free_port
from streams.settings import Settings
from tests.e2e import world
from tests.e2e.checker import published_on_nats
from tests.e2e.conftest import installed
from tests.e2e.processes import WORKERS
from tests.eventually import eventually
from tests.faults import networks
from tests.faults.networks import BROKERS, KafkaApart, NatsApart, PostgresApart
from tests.faults.scene import Scene, Site, outcome, scene
from tests.faults.standstill import Cut, Watch, watched
from tests.stacks.clustered import REPLICATED, is_whole, move_leaders_back, start_together

_CLIENTS, _CONTROLLERS = 9092, 9093
_WITHIN = timedelta(seconds=300)


def _brokers(folder: Path) -> list[KafkaApart]:
    cluster = uuid.uuid4()
    voters = ",".join(
        f"{number}@{networks.host(name)}:{_CONTROLLERS}"
        for number, name in enumerate(BROKERS, start=1)
    )
    return [
        KafkaApart(
            folder / name,
            _CLIENTS,
            _CONTROLLERS,
            OPEN,
            heap="256m",
            properties={
                **REPLICATED,
                "node.id": str(number),
                "controller.quorum.voters": voters,
                "listeners": f"CLIENTS://{networks.host(name)}:{_CLIENTS}"
                f",CONTROLLER://{networks.host(name)}:{_CONTROLLERS}",
                "advertised.listeners": f"CLIENTS://{networks.host(name)}:{_CLIENTS}",
            },
            cluster=cluster,
            name=name,
        )
        for number, name in enumerate(BROKERS, start=1)
    ]


@contextmanager
def _site(folder: Path) -> Iterator[Site]:
    with ExitStack() as stack:

        def running(engine: Engine, name: str) -> RunningEngine:
            made = RunningEngine(engine, folder / f"{name}.log")
            stack.callback(made.stop)
            return made

        brokers = [running(broker, broker.name) for broker in _brokers(folder)]
        postgres = running(PostgresApart(folder / "postgres", free_port(), OPEN), "postgres")
        nats = running(NatsApart(folder / "nats", free_port(), OPEN), "nats")
        start_together(brokers)
        for engine in (postgres, nats):
            engine.start(_WITHIN)
        settings = Settings(
            kafka=",".join(broker.address for broker in brokers),
            postgres=f"{postgres.address.rpartition('/')[0]}/cut_off",
            nats=nats.address,
            partitions=4,
            replication_factor=3,
            nats_replicas=1,
            message_keys=(SecretStr(secrets.token_hex(32)),),
        )
        with installed(settings, folder) as running_installation:
            yield Site(running_installation, brokers[0], postgres, nats)


@asynccontextmanager
async def _cut(of: Scene, watch: Watch, part: str, name: str = "") -> AsyncIterator[None]:
    """The part is cut off for the length of the block. Campaigns are being sent when it begins:
    otherwise nothing is shown.
    """
    assert await eventually(of.sendings[0].status) == "running"
    begun = time.time()
    networks.cut(part)
    yield
    networks.heal(part)
    watch.cuts.append(Cut(name or part, begun, time.time()))


async def _lasts(of: Scene, least: float, most: float) -> None:
    """How long it lasts is the fault itself; nothing is waited for."""
    await asyncio.sleep(of.dice.uniform(least, most))


async def _cut_each_broker_off(of: Scene, watch: Watch) -> None:
    """Each in turn cannot be reached and reaches nobody, while it lives and takes itself for the
    leader of its partitions. The others go on; afterwards it gets its partitions back.
    """
    for broker in of.dice.sample(BROKERS, len(BROKERS)):
        async with _cut(of, watch, broker):
            await of.goes_on()
            await _lasts(of, 0, 5)
        await eventually(lambda: is_whole(of.site.settings), within=300)
        await asyncio.to_thread(move_leaders_back, of.site.settings)


async def _cut_a_worker_of_each_role_off(of: Scene, watch: Watch) -> None:
    """It lives on and takes itself for the owner of its partitions, until another has taken over
    and has sent. Then it is back, and takes part again.
    """
    processes = of.site.running.processes
    for role in of.dice.sample(WORKERS, len(WORKERS)):
        name = f"{role}-apart"
        command = [sys.executable, "-m", "agents.worker", role]
        processes.start(name, command=[*networks.inside(networks.WORKER), *command])
        await eventually(lambda: processes.is_ready(name))  # noqa: B023
        async with _cut(of, watch, networks.WORKER, role):
            await _lasts(of, 10, 20)  # beyond its session
            await of.goes_on()
            await eventually(lambda: _is_forgotten(of))
        (processes.folder / f"{name}.ready.json").unlink(missing_ok=True)  # it is written anew
        await eventually(lambda: processes.is_ready(name))  # noqa: B023
        await of.goes_on()
        await asyncio.to_thread(processes.stop, name)


async def _is_forgotten(of: Scene) -> bool:
    """PostgreSQL keeps nothing for the worker that is cut off: no session, and so no lock."""
    connection = await world.connect(of.site.settings.postgres)
    try:
        kept = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE client_addr = $1::inet",
            networks.host(networks.WORKER),
        )
    finally:
        await connection.close()
    return bool(kept == 0)


async def _cut_postgresql_off(of: Scene, watch: Watch) -> None:
    """Once for so long that every connection is given up, and once for less. Who asks the API
    meanwhile is told so.
    """
    for least, most in ((20, 40), (2, 6)):
        async with _cut(of, watch, networks.POSTGRES, f"{networks.POSTGRES}, {least} s"):
            if least > 10:
                await eventually(lambda: _is_refused(of))
            await _lasts(of, least, most)
        await of.goes_on()


async def _is_refused(of: Scene) -> bool:
    """Whether the API says that a dependency is away."""
    sending = of.sendings[0]
    headers = {"Authorization": f"Bearer {sending.tenant.key}"}
    url = f"{of.site.running.url}/api/v1/campaigns/{sending.campaign}"
    async with httpx.AsyncClient(headers=headers, timeout=60) as client:
        answer = await client.get(url)
    return answer.status_code == 503 and answer.headers["content-type"].endswith("problem+json")


async def _cut_nats_off(of: Scene, watch: Watch) -> None:
    """Nothing but NATS waits."""
    for least, most in ((20, 40), (2, 6)):
        async with _cut(of, watch, networks.NATS, f"{networks.NATS}, {least} s"):
            await of.goes_on()
            await _lasts(of, least, most)
        await of.goes_on()


CUTS: Mapping[str, Callable[[Scene, Watch], Awaitable[None]]] = {
    "broker": _cut_each_broker_off,
    "worker": _cut_a_worker_of_each_role_off,
    "postgresql": _cut_postgresql_off,
    "nats": _cut_nats_off,
}
_SIZES = {
    "broker": ((9_000, 600), (1_500, 200)),
    "worker": ((18_000, 150), (2_000, 20)),
    "postgresql": ((9_000, 300), (1_500, 60)),
    "nats": ((9_000, 300), (1_500, 60)),
}


async def _are_published(of: Scene) -> bool:
    """Every message is an event on NATS, once."""
    published = await published_on_nats(of.site.settings)
    campaigns = {sending.campaign for sending in of.sendings}
    events = [event["data"] for event in published["campaign.message.sent"]]
    ids = [event["messageId"] for event in events if event["campaignId"] in campaigns]
    assert len(ids) == len(set(ids))
    return len(ids) == of.recipients


async def _counted(site: Site, seed: int, part: str) -> dict[str, object]:
    async with scene(site, seed, *_SIZES[part]) as of, watched(of) as watch:
        await CUTS[part](of, watch)
        await of.goes_on()
        found = await outcome(of)
        await eventually(lambda: _are_published(of))
    return {
        "recipients": of.recipients,
        "events": found.events,
        "violations": found.violations,
        "still": watch.figures(of),
        "restarts": {
            name: process.restarts for name, process in site.running.processes.processes.items()
        },
    }


def main(arguments: Sequence[str]) -> None:
    folder, seed, parts = Path(arguments[0]), int(arguments[1]), arguments[2:]
    networks.make_networks()
    with _site(folder) as site:
        for part in parts:
            sys.stdout.write(json.dumps(asyncio.run(_counted(site, seed, part))) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
