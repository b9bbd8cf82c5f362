"""The knowledge of PostgreSQL and Kafka about each other, by which one of them that went back is
noticed: it was restored from a backup, replaced, emptied, or failed over to a copy that lacks the
last records.

The records of the outbox go to Kafka in *rounds*. A round is announced in PostgreSQL, in a
transaction of its own that commits after those of its records; it is then written to Kafka with a
mark that holds its number; and it is acknowledged in PostgreSQL once Kafka has committed it. So
while nothing is lost

    acknowledged <= the round of Kafka's mark <= announced

at every moment, whatever is killed. PostgreSQL's histories are prefixes of its log: a database that
has the announcement has everything that was committed before it. One that lacks it has lost
something that Kafka has published, campaigns and their numbers perhaps. A failover that lost
nothing keeps the order, so it needs nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, auto
from typing import NamedTuple

from aiokafka.errors import KafkaError

from streams.errors import CampaignError, Fate
from streams.kafka import marks
from streams.records.marks import Mark
from streams.settings import Settings
from tables.database import probe
from tables.database.connection import Database, Session
from tables.database.statements import Statements
from tables.installation.installation import looked_up

_READING = 15  # seconds for a Kafka that does not answer, or does not name its topics
_COLUMNS = """
identity::text AS installation, announced, announced_at, acknowledged, mismatch, now() AS now,
       coalesce(pg_sequence_last_value(pg_get_serial_sequence('campaigns', 'number')::regclass), 0)
         AS number"""
_BLOCK = 1000  # campaign numbers, as `tables.audience.blocks` has them
_KNOWN = f"SELECT {_COLUMNS} FROM installation"
_ANNOUNCE = f"""
UPDATE installation SET announced = announced + 1, announced_at = now() RETURNING {_COLUMNS}"""
_ACKNOWLEDGE = """
UPDATE installation SET acknowledged = greatest(acknowledged, %(round)s)
 WHERE identity::text = %(installation)s"""
_JOIN = "UPDATE installation SET identity = coalesce(identity, gen_random_uuid())"
_FOLLOW = """
UPDATE installation
   SET identity = %(installation)s::uuid, announced = greatest(announced, %(round)s),
       announced_at = now(), acknowledged = least(acknowledged, %(round)s)"""
_JUMP = "SELECT setval(pg_get_serial_sequence('campaigns', 'number')::regclass, %(last)s)"
_NOTE = "UPDATE installation SET mismatch = %(sentence)s WHERE mismatch <> %(sentence)s"
_WAY_OUT = "stop every process and run `campaigns reconcile` (docs/operate/restore.md)"


class Setback(Enum):
    """Which of the two is behind the other."""

    POSTGRES = auto()
    KAFKA = auto()


class Mismatch(NamedTuple):
    """The two do not fit. The sentence says what is wrong and where to read on."""

    setback: Setback
    sentence: str


class MismatchError(CampaignError):
    """PostgreSQL and Kafka do not fit; the message says which of them went back."""

    fate, status, code, title = Fate.STOP, 500, "mismatch", "PostgreSQL and Kafka do not fit"


@dataclass(frozen=True)
class RoundCounts:
    """PostgreSQL's side. `number` is the highest campaign number that it has given away."""

    installation: str | None
    announced: int
    announced_at: datetime | None
    acknowledged: int
    mismatch: str
    number: int
    now: datetime

    def mark(self) -> Mark:
        """The mark that is written to Kafka with this round. Only of a database that is joined."""
        assert self.installation is not None
        at = self.announced_at or self.now
        return Mark(installation=self.installation, round=self.announced, number=self.number, at=at)


#: Of a database that no `campaigns prepare` has seen before.
NOTHING = RoundCounts(None, 0, None, 0, "", 0, datetime.fromtimestamp(0, UTC))


def compared(known: RoundCounts, mark: Mark | None) -> Mismatch | None:
    """The difference; None for a pair that fits, and before `campaigns prepare` has joined them.
    Pure.
    """
    if mark is None:
        if known.installation is None or not known.acknowledged:
            return None
        lost = "Kafka has no record of this installation any more, although PostgreSQL knows of"
        return _kafka_back(f"{lost} {known.acknowledged:,} rounds that it has taken")
    if known.installation != mark.installation:
        return _postgres_back(
            "Kafka's topics belong to another database than this one, or to a later state of it:"
            f" they have records up to round {mark.round:,} ({_day(mark.at)}), and PostgreSQL knows"
            " nothing of them"
        )
    if mark.round > known.announced or mark.number > known.number:
        return _postgres_back(
            "PostgreSQL has lost what Kafka has already published: it is at round"
            f" {known.announced:,} and campaign number {known.number:,}"
            f" ({_day(known.announced_at)}), Kafka at round {mark.round:,} and number"
            f" {mark.number:,} ({_day(mark.at)}); it was restored from a backup, or failed over to"
            " a standby that lacks the last commits"
        )
    if mark.round < known.acknowledged:
        return _kafka_back(
            f"Kafka has lost records that it had taken: it is at round {mark.round:,}"
            f" ({_day(mark.at)}), and PostgreSQL at {known.acknowledged:,}"
            f" ({_day(known.announced_at)}); it was restored from a backup"
        )
    return None


def compared_around(before: RoundCounts, mark: Mark | None, after: RoundCounts) -> Mismatch | None:
    """As `compared`, for a mark that was read while rounds went on: between what PostgreSQL said
    `before` it and `after` it. Compared with either alone, a round of that time would be a loss.
    """
    return compared(replace(after, acknowledged=before.acknowledged), mark)


def lost_state(topics: Sequence[str]) -> Mismatch:
    """State topics that were made again, with nothing in them."""
    return _kafka_back(f"Kafka has lost what was in {', '.join(topics)}")


def _postgres_back(what: str) -> Mismatch:
    return Mismatch(
        Setback.POSTGRES,
        f"{what}; campaigns would get the numbers and the counts of others: {_WAY_OUT}",
    )


def _kafka_back(what: str) -> Mismatch:
    return Mismatch(Setback.KAFKA, f"{what}; what has been sent could be sent again: {_WAY_OUT}")


def _day(at: datetime | None) -> str:
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


async def known(session: Statements) -> RoundCounts | None:
    """None before the first `campaigns prepare`."""
    found = await session.rows(RoundCounts, _KNOWN)
    return found[0] if found else None


async def join(session: Session) -> RoundCounts:
    """Give the database its identity. A repeat changes nothing."""
    await session.run(_JOIN)
    (found,) = await session.rows(RoundCounts, _KNOWN)
    return found


async def follow(session: Session, mark: Mark) -> RoundCounts:
    """Become the database that Kafka's mark is of, at its round; a later one stays."""
    await session.run(_FOLLOW, installation=mark.installation, round=mark.round)
    (found,) = await session.rows(RoundCounts, _KNOWN)
    return found


def number_above(highest: int) -> int:
    """The first number of a block of the ledger, certainly above all that were given away."""
    return (highest // _BLOCK + 2) * _BLOCK


async def give_no_number_below(session: Session, number: int) -> None:
    """The next campaign gets this number. It stays so when the transaction is rolled back."""
    await session.value(_JUMP, last=number - 1)


async def note(session: Statements, sentence: str) -> None:
    """Have every process of this database know what is wrong; "" once it fits again."""
    await session.run(_NOTE, sentence=sentence)


async def announce(session: Statements) -> RoundCounts:
    """The next round. Commit it before anything of the round is written to Kafka."""
    (found,) = await session.rows(RoundCounts, _ANNOUNCE)
    return found


async def acknowledge(session: Statements, mark: Mark) -> None:
    """Kafka has the round."""
    await session.run(_ACKNOWLEDGE, round=mark.round, installation=mark.installation)


async def present(database: Database) -> RoundCounts | None:
    """`known`, and None while PostgreSQL is away or has no such table yet."""
    return await looked_up(database, known)


def refusal(settings: Settings) -> str:
    """Why no process must start here, "" when PostgreSQL and Kafka fit, and while one of them is
    away or not prepared: whoever reads or writes next compares again. Blocks for a fifth of a
    second, or seconds for each server that does not answer.
    """
    if (before := _looked_up(settings)) is None:
        return ""
    try:
        with ThreadPoolExecutor(1) as thread:
            reading = asyncio.wait_for(marks.read(settings), _READING)
            mark = thread.submit(asyncio.run, reading).result()
    except (KafkaError, OSError):
        return before.mismatch
    if (after := _looked_up(settings)) is None:
        return ""
    wrong = compared_around(before, mark, after)
    return wrong.sentence if wrong else ""


def _looked_up(settings: Settings) -> RoundCounts | None:
    """`known`, and None while PostgreSQL is away or has no such table yet."""
    row = probe.row(settings, _KNOWN)
    return None if row is None else RoundCounts(**row)
