"""The settings that the processes of this installation have agreed on, kept in one row.

Identity: the installation is the database. `write` is the only writer, under a lock of its own, and
repeating it changes nothing; a process that is killed at any moment has only read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from streams.contracts.fields import ACTIVE
from streams.errors import CampaignError, DependencyDownError, Fate
from streams.settings import Settings
from streams.settings.agreement import AgreedKey, Agreement, Standing, objections, refusals
from tables.database import probe
from tables.database.connection import Database, Session
from tables.database.failures import NOT_MIGRATED
from tables.models import Campaign, Installation

T = TypeVar("T")
_PATIENCE = 5  # seconds for a server that does not answer
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('campaigns.installation'))"


class SettingsDifferError(CampaignError):
    """The settings are not those of the installation; the message names each."""

    fate, status, code, title = Fate.STOP, 500, "settings-differ", "The settings differ"


async def agreed(session: Session) -> Agreement | None:
    """The settings of the installation; None before the first `campaigns prepare`."""
    row = await session.first(select(Installation))
    return None if row is None else _agreement(row.__dict__)


async def write(session: Session, settings: Settings) -> None:
    """Make these settings those of the installation. Raises SettingsDifferError when one of them
    cannot change, or must not yet.
    """
    await session.run(_LOCK)
    new, before = Agreement.of(settings), await agreed(session)
    if before is not None:
        in_use = await session.scalars(
            select(Campaign.key_epoch)
            .where(Campaign.status.in_(ACTIVE), Campaign.key_epoch.is_not(None))
            .distinct()
        )
        if wrong := objections(new, before, {int(epoch) for epoch in in_use if epoch is not None}):
            raise SettingsDifferError("; ".join(wrong))
        new = new.after(before)
    columns = {
        "topic_prefix": new.topic_prefix,
        "partitions": new.partitions,
        "hour": new.hour,
        "day": new.day,
        "address_key": new.address_key,
        "message_keys": {
            str(epoch): {
                "fingerprint": key.fingerprint,
                "standing": key.standing.name,
                "signs": key.signs,
            }
            for epoch, key in new.keys.items()
        },
        "written_at": func.now(),
    }
    statement = insert(Installation).values(**columns)
    await session.execute(
        statement.on_conflict_do_update(index_elements=[Installation.is_only], set_=columns)
    )


async def present(database: Database) -> Agreement | None:
    """`agreed`, and None while PostgreSQL is away or has no such table yet."""
    return await looked_up(database, agreed)


async def looked_up(database: Database, look: Callable[[Session], Awaitable[T]]) -> T | None:
    """The result of `look` in a transaction; None while PostgreSQL is away or has no such table
    yet.
    """
    try:
        async with asyncio.timeout(_PATIENCE), database.transaction() as session:
            return await look(session)
    except (TimeoutError, DependencyDownError, *NOT_MIGRATED):
        return None


def refusal(settings: Settings) -> str:
    """Why a process with these settings must not start here, "" when nothing differs, and while
    PostgreSQL is away or not prepared: the process looks again while it runs. Blocks for
    milliseconds, or five seconds at most for each host that does not answer.
    """
    row = probe.row(settings, "SELECT * FROM installation")
    found = [] if row is None else refusals(Agreement.of(settings), _agreement(row))
    return "; ".join(found)


def _agreement(row: Mapping[str, object]) -> Agreement:
    keys, hour, day = row["message_keys"], row["hour"], row["day"]
    assert isinstance(keys, dict) and isinstance(hour, timedelta) and isinstance(day, timedelta)
    return Agreement(
        str(row["topic_prefix"]),
        int(str(row["partitions"])),
        hour,
        day,
        str(row["address_key"]),
        {
            int(epoch): AgreedKey(key["fingerprint"], Standing[key["standing"]], key["signs"])
            for epoch, key in keys.items()
        },
    )
