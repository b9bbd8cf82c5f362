"""Emission on a real broker and a real database, compared with what SQL says the audience is, by
another Kafka client.
"""

from __future__ import annotations

import itertools
import json
import random
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from connectors.local.engines.engine import RunningEngine
from streams.contracts.envelope import encode, rfc3339
from streams.records.link_tokens import LinkTokens
from streams.records.sending import Grant
from streams.settings import Settings
from streams.topics import Name, Topics
from tests.agents.sending import audience
from tests.agents.sending.audience import Campaign
from tests.agents.sending.emission import (
    Grants,
    check,
    complete,
    dead_letters,
    emitting,
    has_met,
    pieces,
    read,
)
from tests.eventually import eventually
from tests.faults import raw_kafka
from tests.postgres import Client

POINTS = (
    "read:1",
    "composed:2",
    "body:2",
    "begun:2",
    "before-commit:2",
    "after-commit:2",
    "restore:1",
)


async def blemish(connection: Client, campaign: Campaign) -> dict[int, str]:
    """Gives some recipients every reason to be skipped; answers ordinal -> reason."""
    reasons = {
        "suppressed": range(3, campaign.size, 50),
        "no-address": range(5, campaign.size, 70),
        "render-error": range(7, campaign.size, 110),
    }
    reasons["erased"] = range(11, campaign.size, 130)
    skips: dict[int, str] = {}
    for reason, ordinals in reasons.items():
        skips |= {ordinal: reason for ordinal in ordinals if ordinal not in skips}
    by_reason = {
        reason: [str(ordinal) for ordinal, why in skips.items() if why == reason]
        for reason in reasons
    }
    tenant, suppressed = campaign.tenant, by_reason["suppressed"]
    await connection.execute(
        "INSERT INTO suppressions (tenant_id, channel, contact_id)"
        " SELECT tenant_id, 'email', id FROM contacts"
        " WHERE tenant_id = $1 AND external_id = ANY($2)",
        *(tenant, suppressed[::2]),
    )
    await connection.execute(
        "INSERT INTO suppressions (tenant_id, channel, address)"
        " SELECT tenant_id, 'email', email FROM contacts"
        " WHERE tenant_id = $1 AND external_id = ANY($2)",
        *(tenant, suppressed[1::2]),
    )
    where = "WHERE tenant_id = $1 AND external_id = ANY($2)"
    await connection.execute(
        f"UPDATE contacts SET email = NULL {where}", tenant, by_reason["no-address"]
    )
    await connection.execute(
        f"UPDATE contacts SET attributes = '{{}}' {where}", tenant, by_reason["render-error"]
    )
    erased = by_reason["erased"]
    await connection.execute(f"DELETE FROM contacts {where}", tenant, erased[::2])
    await connection.execute(
        "DELETE FROM campaign_recipients"
        " WHERE id IN (SELECT recipient_id($1, o::int) FROM unnest($2::text[]) o)",
        campaign.number,
        erased[1::2],
    )
    return skips


async def test_every_recipient_gets_one_message_or_one_skip_whatever_point_the_worker_is_killed_at(
    settings: Settings, tmp_path: Path
) -> None:
    connection = await audience.connect(settings.postgres)
    campaigns, skips = [], {}
    for tenant, size in (("acme", 9_500), ("globex", 6_200)):
        await audience.contacts(connection, tenant, size)
        campaigns.append(await audience.campaign(connection, tenant, size))
        skips[campaigns[-1].number] = await blemish(connection, campaigns[-1])
    await connection.close()
    dice, grants = random.Random(7), Grants(settings)
    todo = [
        (campaign, piece)
        for campaign in campaigns
        for piece in pieces(campaign.size, dice.choice((90, 250)))
    ]
    dice.shuffle(todo)
    share = len(todo) // (len(POINTS) + 1)
    async with emitting(settings, tmp_path, *POINTS) as slot:
        for met in range(len(POINTS)):
            for campaign, piece in todo[met * share : (met + 1) * share]:
                grants.grant(campaign, [piece])
            await eventually(partial(has_met, slot, met + 1), within=300)
        for campaign, piece in todo[len(POINTS) * share :]:
            grants.grant(campaign, [piece])
        for (
            campaign
        ) in campaigns:  # all of it again, cut otherwise: a grant that is issued twice is harmless
            grants.grant(campaign, pieces(campaign.size, 400))
        await complete(settings, *campaigns)
        grants.send(
            b"the last one", 0
        )  # so that everything before it has been read when its dead letter appears
        log = await dead_letters(settings, 1)
    for campaign in campaigns:
        check(log, campaign, skips[campaign.number])
    assert slot.role.met == {point.partition(":")[0]: 1 for point in POINTS}


def reason(value: bytes) -> tuple[str, str]:
    found = json.loads(value)
    return found["code"], found["reason"]


async def test_one_worker_many_campaigns_and_unusable_grants(
    settings: Settings, tmp_path: Path
) -> None:
    """Channels, variants, a broken template, an edited contact, what nobody can use, and the end of
    a campaign, on one worker.
    """
    connection, grants = await audience.connect(settings.postgres), Grants(settings)
    await audience.contacts(connection, "acme", 2_100)
    await audience.contacts(connection, "globex", 10)
    await connection.execute(
        "UPDATE contacts SET phone = '+4930' || external_id, push_token = 'token' || external_id"
    )
    plain = await audience.campaign(connection, "acme", 2_100)
    sms = await audience.campaign(
        connection, "acme", 20, channel="sms", content={"text": "Hi {{ firstName }}"}, settings={}
    )
    push = await audience.campaign(
        connection, "acme", 20, channel="push", content={"title": "a", "body": "b"}, settings={}
    )
    broken = await audience.campaign(
        connection, "acme", 30, content={"subject": "s", "text": "{% if %}"}
    )
    tested = await audience.campaign(connection, "acme", 200)
    await assign_variants(connection, tested)
    async with emitting(settings, tmp_path) as slot:
        for number, unusable in enumerate(
            [
                (b"not json", 0),
                (encode({"type": "grant", "tenantId": "acme"}), 1),
                (
                    encode(
                        Grant(
                            tenant_id="acme",
                            campaign_id=plain.id,
                            number=plain.number,
                            start=900,
                            stop=1100,
                        )
                    ),
                    0,
                ),
                (
                    encode(
                        Grant(
                            tenant_id="acme",
                            campaign_id=plain.id,
                            number=plain.number,
                            start=0,
                            stop=10,
                        )
                    ),
                    2,
                ),
                (
                    encode(
                        Grant(
                            tenant_id="globex",
                            campaign_id=plain.id,
                            number=plain.number,
                            start=0,
                            stop=10,
                        )
                    ),
                    0,
                ),
                (
                    encode(
                        Grant(
                            tenant_id="acme",
                            campaign_id=plain.id,
                            number=9_999_999,
                            start=0,
                            stop=10,
                        )
                    ),
                    0,
                ),
                (
                    encode(
                        Grant(
                            tenant_id="acme", campaign_id=plain.id, number=1 << 63, start=0, stop=10
                        )
                    ),
                    0,
                ),
                (
                    encode(
                        Grant(
                            tenant_id="ac\0me",
                            campaign_id=plain.id,
                            number=plain.number,
                            start=0,
                            stop=10,
                        )
                    ),
                    0,
                ),
            ]
        ):
            grants.send(*unusable)
            grants.grant(
                plain, [(number * 10, number * 10 + 10)]
            )  # the stream goes on behind each of them
        grants.grant(plain, pieces(plain.size, 1000))
        for campaign in (sms, push, broken):
            grants.grant(campaign, pieces(campaign.size, 1000))
        grants.grant(tested, [(0, 100)])
        grants.grant(tested, [(100, 200)], "B")
        await complete(settings, plain, sms, push, broken, tested)
        for campaign in (plain, sms, push, broken, tested):
            grants.retire(campaign)
        grants.send(b"the last one", 0)
        log = await dead_letters(settings, 9)
        await eventually(partial(is_forgotten, settings), within=300)
    check(log, plain, {})
    assert [m.content for m in log.messages[sms.number][:1]] == [{"text": "Hi Ana0"}]
    assert {m.to for m in log.messages[sms.number]} == {f"+4930{i}" for i in range(20)}
    assert all(m.headers is None and m.sender is None for m in log.messages[sms.number])
    assert {m.to for m in log.messages[push.number]} == {f"token{i}" for i in range(20)}
    assert sorted(log.skipped[broken.number]) == [
        (ordinal, "render-error") for ordinal in range(30)
    ]
    # what nobody can use is given back to the tenant that had it in flight
    assert log.feedback["globex", plain.number] == {"sent": 0, "skipped": 10}
    assert log.feedback["acme", 9_999_999] == {"sent": 0, "skipped": 10}
    by_ordinal = {m.recipient_number: m for m in log.messages[tested.number]}
    assert [by_ordinal[i].variant_id for i in (0, 1, 100, 199)] == ["A", "B", "B", "B"]
    assert [by_ordinal[i].content["subject"] for i in (0, 1)] == ["Short", "Ana1, the sale starts"]
    assert sorted(code for code, _ in map(reason, log.dead.values())) == [
        *("malformed",) * 3,
        *("not-grantable",) * 4,
        *("unknown-campaign",) * 2,
    ]
    first = log.messages[plain.number][0]
    unsubscribing, tracking = LinkTokens.of(settings).make(first.message_id)
    assert first.headers == {
        "List-Unsubscribe": f"<{settings.public_url}/u/{unsubscribing}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    assert first.sender == {
        "name": "Acme",
        "email": "news@acme.example",
        "replyTo": "help@acme.example",
    }
    assert f"{settings.public_url}/t/c/{tracking}/0" in first.content["html"]
    assert f"{settings.public_url}/t/o/{tracking}.gif" in first.content["html"]
    lines = [
        json.loads(line)
        for line in slot.worker.log.read_text().splitlines()
        if "[SEND] campaign batch" in line
    ]
    mine = [line for line in lines if line["campaignId"] == plain.id]
    assert [line["batchNumber"] for line in mine] == list(range(1, len(mine) + 1))
    assert [line["totalSent"] for line in mine] == list(
        itertools.accumulate(line["batchSize"] for line in mine)
    )
    assert (mine[-1]["tenantId"], mine[-1]["totalSent"], mine[-1]["totalRemaining"]) == (
        "acme",
        2_100,
        0,
    )
    await connection.close()


async def assign_variants(connection: Client, campaign: Campaign) -> None:
    """The first hundred recipients test A, which has a subject of its own, against B."""
    await connection.execute(
        "INSERT INTO campaign_variants"
        " (campaign_id, variant_id, name, template_id, subject, weight)"
        " SELECT c.id, v, v, c.template_id, CASE v WHEN 'A' THEN 'Short' END, 50"
        " FROM campaigns c, unnest('{A,B}'::text[]) v"
        " WHERE c.id = $1::uuid",
        campaign.id,
    )
    await connection.execute(
        "UPDATE campaign_recipients r"
        " SET variant_id = CASE external_id::int % 2 WHEN 0 THEN 'A' ELSE 'B' END FROM contacts c"
        " WHERE c.id = r.contact_id AND r.campaign_id = $1::uuid AND external_id::int < 100",
        campaign.id,
    )


def is_forgotten(settings: Settings) -> bool:
    """Every progress row that was written is a tombstone now."""
    rows: dict[bytes, bytes | None] = {}
    for partition in raw_kafka.read_all(
        settings.kafka, Topics(settings).name(Name.EMIT_STATE), settings.partitions
    ):
        for record in partition:
            assert record.key is not None
            if record.key.startswith(b"progress\0"):
                rows[b"%d %s" % (record.partition, record.key)] = record.value
    return len(rows) > 0 and not any(rows.values())


async def test_a_database_that_is_down_delays_emission_and_loses_nothing(
    settings: Settings, tmp_path: Path, postgres_engine: RunningEngine
) -> None:
    connection, grants = await audience.connect(settings.postgres), Grants(settings)
    await audience.contacts(connection, "acme", 3_000)
    campaign = await audience.campaign(connection, "acme", 3_000)
    await connection.close()
    async with emitting(settings, tmp_path):
        grants.grant(campaign, pieces(1_000, 100))
        await eventually(
            lambda: read(settings).feedback[campaign.tenant, campaign.number]["sent"] >= 1_000,
            within=300,
        )
        postgres_engine.stop()
        grants.grant(campaign, pieces(3_000, 500))
        await eventually(
            lambda: "PostgreSQL does not answer" in (tmp_path / "emit.log").read_text(), within=300
        )
        assert read(settings).feedback[campaign.tenant, campaign.number]["sent"] == 1_000
        # not on another thread: an engine ends with the thread that started it
        postgres_engine.start()
        log = await complete(settings, campaign)
    check(log, campaign, {})


async def test_a_message_is_dated_no_earlier_than_the_grant_that_a_faster_clock_has_dated(
    settings: Settings, tmp_path: Path
) -> None:
    connection, grants = await audience.connect(settings.postgres), Grants(settings)
    await audience.contacts(connection, "acme", 200)
    campaign = await audience.campaign(connection, "acme", 200)
    await connection.close()
    ahead = datetime.now(UTC).replace(microsecond=123_000) + timedelta(minutes=50)
    async with emitting(settings, tmp_path):
        grants.grant(campaign, pieces(200, 100), at=ahead)
        log = await complete(settings, campaign)
    check(log, campaign, {})
    for name in (Name.MESSAGES, Name.SENDING, Name.FACTS):
        topic = Topics(settings).name(name)
        written = itertools.chain(*raw_kafka.read_all(settings.kafka, topic, settings.partitions))
        assert {record.timestamp for record in written} == {round(ahead.timestamp() * 1000)}
    created = {message.created_at for message in log.messages[campaign.number]}
    assert created == {rfc3339(ahead)}


async def test_a_campaign_whose_recipients_postgresql_has_lost_is_cancelled_and_says_why(
    settings: Settings, tmp_path: Path
) -> None:
    """As a failover to a standby without the last commits leaves it, when nothing else was lost."""
    connection, grants = await audience.connect(settings.postgres), Grants(settings)
    await audience.contacts(connection, "acme", 300)
    torn = await audience.campaign(connection, "acme", 300)
    whole = await audience.campaign(connection, "acme", 300)
    await connection.execute(
        "DELETE FROM campaign_recipients WHERE id >= recipient_id($1, 200)"
        " AND id < recipient_id($1, 300)",
        torn.number,
    )

    async def status(campaign: Campaign) -> tuple[str, str | None]:
        row = await connection.fetchrow(
            "SELECT status, status_reason FROM campaigns WHERE id = $1::uuid", campaign.id
        )
        assert row is not None
        return row["status"], row["status_reason"]

    async with emitting(settings, tmp_path):
        for campaign in (torn, whole):
            grants.grant(campaign, pieces(300, 150))
        log = await complete(settings, torn, whole)
    check(log, whole, {})
    check(log, torn, dict.fromkeys(range(200, 300), "erased"))
    assert await status(whole) == ("running", None)
    lost = "recipients-lost: PostgreSQL has lost 100 of its recipients"
    assert await status(torn) == ("cancelled", lost)
    failed = "SELECT count(*) FROM outbox WHERE type = 'campaign.failed' AND key = $1"
    assert await connection.fetchval(failed, torn.id) == 1
    await connection.close()
