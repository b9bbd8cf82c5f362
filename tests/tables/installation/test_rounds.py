"""What Kafka and PostgreSQL know of each other: a sound pair fits whatever is killed, and one of
which a side went back does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.records.marks import Mark
from tables.database.connection import Database
from tables.installation import rounds
from tables.installation.rounds import NOTHING, RoundCounts, Setback, compared, compared_around
from tests.postgres import connect as connect_client

AT = datetime(2026, 1, 28, 9, tzinfo=UTC)
OURS, THEIRS = "0198c0de-0000-7000-8000-000000000001", "0198c0de-0000-7000-8000-000000000002"
JOINED = RoundCounts(OURS, 0, None, 0, "", 0, AT)


def _mark(round_: int, number: int = 0, installation: str = OURS) -> Mark:
    return Mark(installation=installation, round=round_, number=number, at=AT)


@pytest.mark.parametrize(
    ("known", "mark", "setback"),
    [
        (NOTHING, None, None),
        (NOTHING, _mark(1), Setback.POSTGRES),
        (JOINED, None, None),  # `prepare` was killed before it had joined the two
        (JOINED, _mark(0), None),
        (JOINED, _mark(0, installation=THEIRS), Setback.POSTGRES),
        (replace(JOINED, announced=7, acknowledged=7), _mark(7), None),
        (replace(JOINED, announced=9, acknowledged=7), _mark(8), None),
        (replace(JOINED, announced=7, acknowledged=7), _mark(8), Setback.POSTGRES),
        (replace(JOINED, announced=9, acknowledged=7), _mark(6), Setback.KAFKA),
        (replace(JOINED, announced=9, acknowledged=7), None, Setback.KAFKA),
        (replace(JOINED, announced=7, number=4), _mark(7, 5), Setback.POSTGRES),
        (replace(JOINED, announced=7, number=5), _mark(7, 4), None),
    ],
)
def test_the_two_sides_are_compared(
    known: RoundCounts, mark: Mark | None, setback: Setback | None
) -> None:
    found = compared(known, mark)
    assert (found and found.setback) == setback
    if found is not None:
        assert "\n" not in found.sentence
        assert found.sentence.endswith("`campaigns reconcile` (docs/operate/restore.md)")


@dataclass
class _History:
    """Both servers with everything they ever were, a prefix of which may come back."""

    postgres: list[RoundCounts] = field(default_factory=lambda: [JOINED])
    kafka: list[Mark] = field(default_factory=lambda: [_mark(0)])
    announcement: RoundCounts = JOINED

    def step(self, what: str) -> None:
        now = self.postgres[-1]
        if what == "campaign":
            self.postgres.append(replace(now, number=now.number + 1))
        elif what == "announced":
            self.announcement = replace(now, announced=now.announced + 1)
            self.postgres.append(self.announcement)
        elif what == "written" and self.kafka[-1].round < now.announced:
            self.kafka.append(self.announcement.mark())
        elif what == "acknowledged":
            self.postgres.append(replace(now, acknowledged=self.kafka[-1].round))


# A relay that is killed anywhere begins again with an announcement.
_STEPS = st.lists(
    st.sampled_from(["campaign", "announced", "written", "acknowledged"]), max_size=40
)


@given(_STEPS)
def test_killing_the_relay_anywhere_is_no_mismatch(steps: list[str]) -> None:
    history = _History()
    for step in steps:
        history.step(step)
        assert compared(history.postgres[-1], history.kafka[-1]) is None


@given(_STEPS, _STEPS, _STEPS)
def test_rounds_that_go_on_while_both_are_read_are_no_mismatch(
    before: list[str], meanwhile: list[str], then: list[str]
) -> None:
    """A process that started on a busy machine took them for a loss, and refused to run."""
    history = _History()
    for step in before:
        history.step(step)
    first = history.postgres[-1]
    for step in meanwhile:
        history.step(step)
    mark = history.kafka[-1]
    for step in then:
        history.step(step)
    assert compared_around(first, mark, history.postgres[-1]) is None


@given(_STEPS, st.data())
def test_a_loss_is_noticed_around_the_mark_as_well(steps: list[str], data: st.DataObject) -> None:
    history = _History()
    for step in steps:
        history.step(step)
    known, mark = data.draw(st.sampled_from(history.postgres)), history.kafka[-1]
    assert compared_around(known, mark, known) == compared(known, mark)


@given(_STEPS, st.data())
def test_a_postgresql_that_lost_what_kafka_has_is_noticed(
    steps: list[str], data: st.DataObject
) -> None:
    history = _History()
    for step in steps:
        history.step(step)
    restored = data.draw(st.sampled_from(history.postgres))
    mark = history.kafka[-1]
    found = compared(restored, mark)
    has_lost = restored.announced < mark.round  # the round's announcement, and so its records
    assert (found is not None) == has_lost
    assert found is None or found.setback is Setback.POSTGRES


@given(_STEPS, st.data())
def test_a_kafka_that_lost_what_it_had_taken_is_noticed(
    steps: list[str], data: st.DataObject
) -> None:
    history = _History()
    for step in steps:
        history.step(step)
    mark = data.draw(st.sampled_from(history.kafka))
    known = history.postgres[-1]
    found = compared(known, mark)
    assert (found is not None) == (mark.round < known.acknowledged)
    assert found is None or found.setback is Setback.KAFKA


async def test_rounds_are_counted_and_followed_in_one_row(database: str) -> None:
    async with Database(database) as pool:
        assert await rounds.present(pool) is None
        connection = await connect_client(database)
        await connection.execute(
            "INSERT INTO installation (topic_prefix, partitions, hour, day, address_key,"
            " message_keys) VALUES ('', 8, '1 hour', '1 day', '', '{}')"
        )
        joined = await pool.once(rounds.join)
        assert joined == replace(await pool.once(rounds.join), now=joined.now)
        assert (joined.announced, joined.acknowledged, joined.number) == (0, 0, 0)
        first = (await pool.once(rounds.announce)).mark()
        second = await pool.once(rounds.announce)
        assert (first.round, second.announced) == (1, 2)
        await pool.once(lambda session: rounds.acknowledge(session, first))
        await connection.execute("INSERT INTO tenants (id) VALUES ('acme')")
        await connection.execute(
            "INSERT INTO campaigns (tenant_id, name, channel, created_by)"
            " SELECT 'acme', 'Sale', 'email', uuidv7() FROM generate_series(1, 3)"
        )
        known = await rounds.present(pool)
        assert known is not None
        assert (known.announced, known.acknowledged, known.number) == (2, 1, 3)
        assert compared(known, first) is None
        later = replace(known, announced=40).mark()
        assert compared(known, later) is not None
        followed = await pool.once(lambda session: rounds.follow(session, later))
        assert compared(followed, later) is None
        await pool.once(
            lambda session: rounds.give_no_number_below(session, rounds.number_above(1999))
        )
        await connection.execute(
            "INSERT INTO campaigns (tenant_id, name, channel, created_by)"
            " VALUES ('acme', 'Sale', 'email', uuidv7())"
        )
        assert await connection.fetchval("SELECT max(number) FROM campaigns") == 3000
        await connection.close()


@pytest.mark.parametrize("highest", [0, 1, 999, 1000, 1001, 1999, 123_456])
def test_the_number_after_a_restore_is_a_block_above_all_others(highest: int) -> None:
    first = rounds.number_above(highest)
    assert first % 1000 == 0 and first > highest + 1000 - highest % 1000 - 1
    assert first - highest <= 2000


def test_a_mark_says_when_its_round_was_announced() -> None:
    later = AT + timedelta(seconds=5)
    assert replace(JOINED, announced=3, announced_at=later).mark().at == later
