"""A campaign on clusters whose leaders are moved, and whose members are killed, one of each kind
after the other: nobody is lost, nobody is repeated, and what is counted is what was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Self

import pytest

from connectors.setup import topics
from connectors.setup.prepare import prepare
from connectors.setup.topics import ReplicationError
from streams.settings import Settings
from tests.e2e import world
from tests.e2e.checker import (
    assert_each_recipient_once,
    most_in_any_window,
    published_on_nats,
    sent_messages,
)
from tests.e2e.conftest import Running
from tests.e2e.truth import Truth
from tests.eventually import eventually
from tests.stacks.clustered import (
    Clusters,
    clustered,
    is_whole,
    leader_of_stream,
    move_leaders_back,
    step_down,
)

PEOPLE, AN_HOUR = 6_000, 900  # an hour is six seconds here


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    with clustered(tmp_path_factory.mktemp("clusters")) as running:
        yield running


@pytest.fixture
async def settings(clusters: Clusters) -> Settings:
    made = clusters.settings()
    await prepare(made)
    return made


@pytest.mark.parametrize(
    ("copies", "sentence"),
    [
        (1, "CAMPAIGNS_REPLICATION_FACTOR is 1 on a cluster of 3 brokers"),
        (4, "CAMPAIGNS_REPLICATION_FACTOR is 4, and the cluster has 3 brokers"),
    ],
)
async def test_one_copy_and_more_copies_than_brokers_are_refused(
    clusters: Clusters, copies: int, sentence: str
) -> None:
    wanted = clusters.settings(replication_factor=copies)
    with pytest.raises(ReplicationError, match=sentence):
        await topics.create(wanted)
    with pytest.raises(ReplicationError, match=sentence):
        await prepare(wanted)


async def test_topics_have_three_copies_of_which_two_are_in_sync(settings: Settings) -> None:
    assert await topics.differences(settings) == []
    fewer = settings.model_copy(update={"replication_factor": 2})
    assert {each.split(" has ")[1] for each in await topics.differences(fewer)} == {
        "min.insync.replicas=2 instead of 1"
    }


class Sale:
    """A campaign that is sent and tracked; at most `an_hour` of its messages go out in any hour."""

    def __init__(self, running: Running, people: set[str], an_hour: int) -> None:
        self._running, self._people, self._an_hour = running, people, an_hour
        self._rest: world.Rest
        self._campaign = ""

    @classmethod
    @asynccontextmanager
    async def started(cls, running: Running, size: int, an_hour: int) -> AsyncIterator[Self]:
        connection = await world.connect(running.settings.postgres)
        acme = await world.tenant(connection, "acme", hourly=an_hour)
        await world.people(connection, acme, "all", size)
        template = await world.template(connection, acme)
        await connection.close()
        sale = cls(running, acme.people["all"], an_hour)
        sale._rest = world.Rest(running.url, acme.key)
        sender = {"fromName": "Acme", "fromEmail": "news@acme.example", "trackOpens": True}
        segments = [acme.segments["all"]]
        sale._campaign = await sale._rest.started(template, segments, settings=sender)
        yield sale
        await sale._rest.close()

    async def _stats(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._rest("GET", f"/campaigns/{self._campaign}/stats")
        return found

    async def goes_on(self) -> None:
        """More than a window of sending, or the end."""
        before = (await eventually(self._stats))["sentCount"]
        enough = min(before + 3 * self._an_hour // 2, len(self._people))

        async def has_gone_on() -> bool:
            return bool((await self._stats())["sentCount"] >= enough)

        await eventually(has_gone_on)

    async def ends_exactly(self) -> None:
        """Nobody is lost, nobody repeated, and what is counted and published is what was sent."""
        await eventually(self._is_completed)
        settings, size = self._running.settings, len(self._people)
        messages = sent_messages(settings)
        assert_each_recipient_once(messages, {self._campaign: self._people})
        assert most_in_any_window(messages, settings.hour) <= self._an_hour

        async def is_published() -> bool:
            try:
                published = await published_on_nats(settings)
            except TimeoutError:  # the servers are choosing a leader
                return False
            assert len(published["campaign.message.sent"]) <= size
            return len(published["campaign.message.sent"]) == size

        await eventually(is_published)

        async def is_exact() -> bool:
            truth = Truth.of(self._running.truth, self._campaign)
            wanted = {"sentCount": size, **truth.stats()}
            return wanted.items() <= (await self._stats()).items()

        await eventually(is_exact)

    async def _is_completed(self) -> bool:
        found = await self._rest("GET", f"/campaigns/{self._campaign}")
        return bool(found["status"] == "completed")


@pytest.mark.timeout(1200)
async def test_a_campaign_survives_an_upgrade_that_moves_every_leader(
    clusters: Clusters, running: Running
) -> None:
    """Every broker is stopped and started and gets its partitions back, the leader of the stream
    steps down, PostgreSQL's primary and standby change places and change back.
    """
    async with Sale.started(running, 9_000, 600) as sale:
        for broker in clusters.brokers:
            await asyncio.to_thread(broker.stop)
            await sale.goes_on()
            broker.start()
            await eventually(lambda: is_whole(running.settings))
            await asyncio.to_thread(move_leaders_back, running.settings)
        before = await eventually(lambda: leader_of_stream(running.settings))
        await step_down(running.settings)
        await eventually(lambda: _is_led_by_another(running.settings, before))
        for _ in range(2):
            clusters.switch_over()
            await sale.goes_on()
        await sale.ends_exactly()


async def _is_led_by_another(settings: Settings, before: str) -> bool:
    return await leader_of_stream(settings) not in ("", before)


@pytest.mark.timeout(1200)
async def test_a_campaign_survives_the_loss_of_any_one_member(
    clusters: Clusters, running: Running
) -> None:
    async with Sale.started(running, PEOPLE, AN_HOUR) as sale:
        for broker in clusters.brokers[:2]:
            broker.kill()
            await sale.goes_on()
            broker.start()
            await eventually(lambda: is_whole(running.settings))
        clusters.servers[0].kill()
        clusters.fail_over()
        await sale.goes_on()
        clusters.servers[0].start()
        await sale.ends_exactly()
