"""The settings of the installation are one row: `campaigns prepare` writes it, and processes with
others are refused.
"""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta

import pytest

from streams.settings import Settings
from streams.settings.agreement import Agreement, Standing, lacking
from tables.database.connection import Database
from tables.installation import installation
from tables.installation.installation import SettingsDifferError
from tests.postgres import connect as connect_client

A, B, C = (secrets.token_hex(32) for _ in range(3))


def _settings(dsn: str, keys: str, **more: object) -> Settings:
    nowhere = {"kafka": "127.0.0.1:1", "nats": "nats://127.0.0.1:1"}
    return Settings.model_validate({**nowhere, "postgres": dsn, "message_keys": keys, **more})


async def _prepare(settings: Settings) -> None:
    async with Database(settings) as database:
        await database.once(lambda session: installation.write(session, settings))


async def _agreed(settings: Settings) -> Agreement | None:
    async with Database(settings) as database:
        return await installation.present(database)


async def test_what_prepare_writes_is_what_processes_compare(database: str) -> None:
    settings = _settings(database, f"0:{A},3:{B}:verify", hour=timedelta(seconds=90))
    assert await _agreed(settings) is None
    assert installation.refusal(settings) == ""
    await _prepare(settings)
    await _prepare(settings)
    assert await _agreed(settings) == Agreement.of(settings)
    assert installation.refusal(settings) == ""
    other = _settings(database, f"0:{A},3:{B}", partitions=3, topic_prefix="x-")
    assert installation.refusal(other) == (
        "CAMPAIGNS_TOPIC_PREFIX is 'x-' in this process and '' in the installation;"
        " CAMPAIGNS_PARTITIONS is 3 in this process and 8 in the installation;"
        " CAMPAIGNS_HOUR is 1:00:00 in this process and 0:01:30 in the installation;"
        " CAMPAIGNS_MESSAGE_KEYS signs with epoch 3, which may only verify yet:"
        " run `campaigns prepare` with it first, then restart the processes"
    )


async def test_the_key_of_addresses_is_the_same_in_every_process_and_may_outlive_its_message_key(
    database: str,
) -> None:
    await _prepare(_settings(database, f"0:{A},1:{B}"))
    wanted = (
        "CAMPAIGNS_ADDRESS_KEY (without it: the oldest of CAMPAIGNS_MESSAGE_KEYS) is another in"
        " this process than in the installation"
    )
    assert wanted in installation.refusal(_settings(database, f"0:{A},1:{B}", address_key=C))
    with pytest.raises(SettingsDifferError, match="CAMPAIGNS_ADDRESS_KEY"):
        await _prepare(_settings(database, f"1:{B}"))
    without_the_oldest = _settings(database, f"1:{B}", address_key=A)
    await _prepare(without_the_oldest)
    assert installation.refusal(without_the_oldest) == ""


async def test_the_row_holds_no_part_of_a_key(database: str) -> None:
    settings = _settings(database, f"0:{A},1:{B}")
    await _prepare(settings)
    connection = await connect_client(database)
    row = str(tuple(await connection.fetchrow("SELECT * FROM installation") or ()))
    await connection.close()
    assert not any(key[at : at + 8] in row for key in (A, B) for at in range(0, 56, 8))


async def test_two_that_prepare_at_once_with_other_keys_do_not_both_win(database: str) -> None:
    outcomes = await asyncio.gather(
        *(_prepare(_settings(database, f"0:{key}")) for key in (A, B, C)), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [
        "NoneType",
        "SettingsDifferError",
        "SettingsDifferError",
    ]


async def test_a_key_that_campaigns_are_being_sent_with_cannot_be_taken_off(database: str) -> None:
    await _prepare(_settings(database, f"0:{A},1:{B}", address_key=A))
    connection = await connect_client(database)
    await connection.execute("INSERT INTO tenants (id) VALUES ('acme')")
    await connection.execute(
        "INSERT INTO campaigns (tenant_id, name, channel, created_by, status, key_epoch)"
        " VALUES ('acme', 'Sale', 'email', uuidv7(), 'paused', 0)"
    )
    without = _settings(database, f"1:{B}", address_key=A)
    with pytest.raises(SettingsDifferError, match="lacks the key of epoch 0, which campaigns are"):
        await _prepare(without)
    await connection.execute("UPDATE campaigns SET status = 'completed'")
    await connection.close()
    await _prepare(without)
    agreed = await _agreed(without)
    assert agreed is not None
    assert {epoch: key.standing for epoch, key in agreed.keys.items()} == {
        0: Standing.GONE,
        1: Standing.IN_USE,
    }
    with pytest.raises(SettingsDifferError, match="epoch 0 was taken off the list, for good"):
        await _prepare(_settings(database, f"0:{A},1:{B}"))
    with pytest.raises(SettingsDifferError, match="another key of epoch 0"):
        await _prepare(_settings(database, f"0:{C},1:{B}"))


async def test_many_keys_in_a_lifetime(database: str) -> None:
    keys: list[str] = []
    for epoch in range(12):
        new = f"{epoch}:{secrets.token_hex(16)}"
        for text in (",".join([*keys, f"{new}:verify"]) if keys else new, ",".join([*keys, new])):
            await _prepare(_settings(database, text, address_key=A))
        keys = [*keys, new][-5:]
    last = _settings(database, ",".join(keys), address_key=A)
    await _prepare(last)
    assert last.key_epoch == 11 and installation.refusal(last) == ""
    agreed = await _agreed(last)
    assert (
        agreed is not None and len(agreed.keys) == 12 and lacking(Agreement.of(last), agreed) == []
    )


def test_a_database_that_is_away_is_no_refusal_yet() -> None:
    settings = _settings("postgresql://nobody@127.0.0.1:1/none", A)
    assert installation.refusal(settings) == ""
    assert asyncio.run(_agreed(settings)) is None


async def test_a_watch_ends_the_process_that_lacks_a_key(
    database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from streams.exactly_once.fatal import RefusedError
    from tables.installation.settings_watch import SettingsWatch

    old, new = _settings(database, A), _settings(database, f"0:{A},1:{B}:verify")
    await _prepare(old)
    watch = SettingsWatch(None, old)
    monkeypatch.setattr(watch, "sleep", lambda _: asyncio.sleep(0))
    await watch.turn()
    await _prepare(new)
    await watch.turn()  # announced, and signs nothing
    ahead = SettingsWatch(None, _settings(database, f"0:{A},1:{B}"))
    monkeypatch.setattr(ahead, "sleep", lambda _: asyncio.sleep(0))
    await ahead.turn()
    await ahead.turn()
    assert [record.message[:40] for record in caplog.records if "settings" in record.message] == [
        "the settings are not those of the instal"
    ]
    await _prepare(_settings(database, f"0:{A},1:{B}"))
    with pytest.raises(RefusedError, match="lacks the key of epoch 1"):
        await watch.turn()
