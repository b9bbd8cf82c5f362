"""Campaigns whose key an emit worker does not know wait for it and hold up nobody; those whose key
has been withdrawn are skipped.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from pydantic import SecretStr

from streams.records.message_id import MessageIds
from streams.settings import Settings
from tests.agents.sending import audience
from tests.agents.sending.emission import (
    Grants,
    check,
    complete,
    emitting,
    pieces,
    read,
)
from tests.eventually import eventually

A, B = secrets.token_hex(32), secrets.token_hex(32)


def _with(settings: Settings, *keys: str) -> Settings:
    return settings.model_copy(update={"message_keys": tuple(map(SecretStr, keys))})


async def test_a_campaign_of_a_newer_key_waits_for_it_and_no_other_waits_behind_it(
    settings: Settings, tmp_path: Path
) -> None:
    old, both = _with(settings, f"0:{A}"), _with(settings, f"0:{A}", f"1:{B}")
    connection = await audience.connect(settings.postgres)
    await audience.contacts(connection, "acme", 2_500)
    await audience.contacts(connection, "globex", 2_500)
    newer = await audience.campaign(connection, "acme", 2_500)
    await connection.execute("UPDATE campaigns SET key_epoch = 1 WHERE number = $1", newer.number)
    other = await audience.campaign(connection, "globex", 2_500)
    await connection.close()
    grants = Grants(settings)
    grants.grant(newer, pieces(newer.size, 250))
    async with emitting(old, tmp_path):
        log = tmp_path / "emit.log"
        await eventually(
            lambda: log.exists() and "lacks the key of an epoch" in log.read_text(), 300
        )
        grants.grant(other, pieces(other.size, 250))
        check(await complete(both, other), other, {})
    assert read(both).messages[newer.number] == []
    text = log.read_text()
    assert text.count("lacks the key of an epoch") == 1 and "IndexError" not in text
    assert "worker ends" not in text
    async with emitting(both, tmp_path):
        found = await complete(both, newer, other)
    check(found, newer, {})
    check(found, other, {})
    epochs = {
        number: {message.message_id[19] for message in found.messages[number]}
        for number in (newer.number, other.number)
    }
    assert epochs == {newer.number: set("9"), other.number: set("8")}
    MessageIds.of(both).check(found.messages[newer.number][0].message_id, "acme")


async def test_recipients_of_a_withdrawn_key_and_of_one_that_is_gone_are_skipped(
    settings: Settings, tmp_path: Path
) -> None:
    connection = await audience.connect(settings.postgres)
    await audience.contacts(connection, "acme", 1_200)
    campaigns = [await audience.campaign(connection, "acme", 1_200) for _ in range(3)]
    for epoch, campaign in zip((0, 2, 3), campaigns, strict=True):
        await connection.execute(
            "UPDATE campaigns SET key_epoch = $2 WHERE number = $1", campaign.number, epoch
        )
    await connection.close()
    now = _with(settings, f"2:{A}:withdrawn", f"3:{B}")
    grants = Grants(settings)
    for campaign in campaigns:
        grants.grant(campaign, pieces(campaign.size, 250))
    async with emitting(now, tmp_path):
        log = await complete(now, *campaigns)
    gone, withdrawn, signed = campaigns
    skipped = dict.fromkeys(range(1_200), "key-withdrawn")
    check(log, gone, skipped)
    check(log, withdrawn, skipped)
    check(log, signed, {})
