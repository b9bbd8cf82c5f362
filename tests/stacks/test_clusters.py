"""A campaign on clusters whose members are killed, one of each kind after the other: nobody is
lost, nobody is repeated, and what is counted is what was sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.setup import topics
from connectors.setup.prepare import prepare
from connectors.setup.topics import ReplicationError
from streams.settings import Settings
from tests.e2e import world
from tests.e2e.checker import assert_each_recipient_once, published_on_nats, sent_messages
from tests.e2e.conftest import Running
from tests.e2e.truth import Truth
from tests.eventually import eventually
from tests.stacks.clustered import Clusters, clustered, is_whole

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


@pytest.mark.timeout(1200)
async def test_a_campaign_survives_the_loss_of_any_one_member(
    clusters: Clusters, running: Running
) -> None:
    connection = await world.connect(running.settings.postgres)
    acme = await world.tenant(connection, "acme", hourly=AN_HOUR)
    await world.people(connection, acme, "all", PEOPLE)
    template = await world.template(connection, acme)
    await connection.close()
    rest = world.Rest(running.url, acme.key)
    sender = {"fromName": "Acme", "fromEmail": "news@acme.example", "trackOpens": True}
    campaign = await rest.started(template, [acme.segments["all"]], settings=sender)

    async def stats() -> dict[str, Any]:
        found: dict[str, Any] = await rest("GET", f"/campaigns/{campaign}/stats")
        return found

    async def goes_on() -> None:
        """More than a window of sending, or the end."""
        before = (await eventually(stats))["sentCount"]

        async def has_gone_on() -> bool:
            return bool((await stats())["sentCount"] >= min(before + 3 * AN_HOUR // 2, PEOPLE))

        await eventually(has_gone_on)

    for broker in clusters.brokers[:2]:
        broker.kill()
        await goes_on()
        broker.start()
        await eventually(lambda: is_whole(running.settings))
    clusters.servers[0].kill()
    clusters.fail_over()
    await goes_on()
    clusters.servers[0].start()

    async def is_completed() -> bool:
        return bool((await rest("GET", f"/campaigns/{campaign}"))["status"] == "completed")

    await eventually(is_completed)
    assert_each_recipient_once(sent_messages(running.settings), {campaign: acme.people["all"]})

    async def is_published() -> bool:
        try:
            published = await published_on_nats(running.settings)
        except TimeoutError:  # the servers are choosing a leader
            return False
        assert len(published["campaign.message.sent"]) <= PEOPLE
        return len(published["campaign.message.sent"]) == PEOPLE

    await eventually(is_published)

    async def is_exact() -> bool:
        wanted = {"sentCount": PEOPLE, **Truth.of(running.truth, campaign).stats()}
        return wanted.items() <= (await stats()).items()

    await eventually(is_exact)
    await rest.close()
