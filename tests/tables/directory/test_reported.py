"""Reports close the address that a message went to, and no other, whatever has become of its
contact by then; on a real PostgreSQL, against a model.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from streams.records.facts import Batch, Kind
from streams.records.message_id import MessageIds
from tables.audience.chunks import ADDRESS, ADDRESS_VERSION, IS_SUPPRESSED, read_chunk
from tables.audience.dry_run import count_audience, some_of_audience
from tables.audience.projection import Rules, merge
from tables.audience.recipient_updates import RecipientUpdates
from tables.audience.recipients import recipient_id
from tables.audience.trial_sends import suppressed_among
from tables.campaigns.numbers import CampaignNumbers
from tables.contacts.changes import change_contact, erase_contact
from tables.contacts.fields import contact_row
from tables.contacts.store import put_contact
from tables.directory.reported import suppress_recipients
from tables.directory.segments import segment_named
from tables.directory.suppressions import lift_suppression, list_suppressions
from tables.tenants.audit import Author
from tests.agents.counting.recipient_rows import BASE, group
from tests.postgres import connect, sql
from tests.tables.audience.audience_world import expand
from tests.tables.campaigns.campaign_world import World

REPORTS = {
    "unsubscribed": (Kind.UNSUBSCRIBED, None),
    "complained": (Kind.COMPLAINED, None),
    "hard-bounce": (Kind.BOUNCED, "hard:no such user"),
}
CHANNELS = {
    "email": ("email", ["typo@example.com", "right@example.com", "third@example.com"]),
    "sms": ("phone", ["+525512345671", "+5491112345672", "+4915112345673"]),
    "push": ("push_token", ["token-one", "token-two", "token-three"]),
}


@dataclass
class Sent:
    """A campaign to the person, and the address that its message went to, None before that."""

    number: int
    size: int
    address: str | None = None
    facts: list[tuple[Kind, str | None]] = field(default_factory=list)


class Person:
    """One contact of a tenant in a segment of its own, and the messages that it gets."""

    def __init__(self, world: World, channel: str, name: str) -> None:
        self.world, self.channel, self.name = world, channel, name
        self.column = CHANNELS[channel][0]
        self.segment: UUID | None = None
        self.contact: UUID | None = None

    async def has(self, address: str) -> None:
        """By import: the contact is made, or made again, or has another address."""
        row = contact_row(1, {"external_id": self.name, self.column: address}, {})
        async with self.world.pool.transaction() as session:
            self.segment = (await segment_named(session, self.world.tenant, self.name)).id
            found, _ = await put_contact(session, self.world.tenant, row, self.segment)
        self.contact = found.id

    async def corrects(self, address: str) -> None:
        """By PATCH."""
        assert self.contact is not None
        async with self.world.pool.transaction() as session:
            await change_contact(session, self.world.tenant, self.contact, {self.column: address})

    async def is_erased(self) -> None:
        assert self.contact is not None
        async with self.world.pool.transaction() as session:
            await erase_contact(session, self.world.tenant, self.contact)
        self.contact = None

    async def planned(self) -> Sent | None:
        """A campaign whose audience is made; None when the person is not in it."""
        template = str(self.world.template) if self.channel == "email" else None
        campaign = await self.world.created(
            channel=self.channel, templateId=template, segmentIds=[str(self.segment)]
        )
        client = sql(self.world.pool)
        number = await client.fetchval(
            "UPDATE campaigns SET status = 'running', key_epoch = 0 WHERE id = $1 RETURNING number",
            campaign,
        )
        members = await expand(self.world, campaign)
        await client.execute("UPDATE campaigns SET status = 'completed' WHERE id = $1", campaign)
        return Sent(number, len(members)) if members else None

    async def goes_out(self, sent: Sent) -> bool:
        """As emission does it; False: skipped."""
        async with self.world.pool.transaction() as session:
            where = self.world.tenant, self.channel, (), sent.number, 0, 1
            [row] = await read_chunk(session, *where)
        if row[IS_SUPPRESSED] or row[ADDRESS] is None:
            return False
        sent.address = row[ADDRESS]
        version = row[ADDRESS_VERSION]
        sent.facts.append((Kind.SENT, None if version is None else str(version)))
        return True

    async def is_projected(self, sent: Sent) -> None:
        """All facts so far, and again what was there before."""
        numbers, updates = CampaignNumbers(), RecipientUpdates(MessageIds.of(self.world.settings))
        async with self.world.pool.transaction() as session:
            await numbers.load(session, [sent.number])
            campaign = numbers.get(sent.number)
            assert campaign is not None
            groups = tuple(group(kind, [0], 9, detail) for kind, detail in sent.facts)
            if groups:
                updates.add(Batch(self.world.tenant, sent.number, 0, BASE, groups), campaign)
                await merge(session, updates, "test", "facts", {0: 1}, Rules(0, 5))

    async def is_reported(self, sent: Sent, why: str, *, by_webhook: bool) -> None:
        if by_webhook:
            async with self.world.pool.transaction() as session:
                await suppress_recipients(session, {recipient_id(sent.number, 0): why})
        sent.facts.append(REPORTS[why])


async def closed(world: World, channel: str, addresses: list[str]) -> set[str]:
    """The addresses to which nothing is sent, as every reader of suppressions finds them."""
    column, name = CHANNELS[channel][0], f"newcomers {uuid4()}"
    newcomers = {address: Person(world, channel, f"{name} {address}") for address in addresses}
    async with world.pool.transaction() as session:
        segment = (await segment_named(session, world.tenant, name)).id
        for address, person in newcomers.items():
            row = contact_row(1, {"external_id": person.name, column: address}, {})
            person.contact = (await put_contact(session, world.tenant, row, segment))[0].id
            person.segment = segment
        barred = await suppressed_among(session, world.tenant, channel, addresses)
        count = await count_audience(session, world.tenant, channel, [segment], [])
        few = await some_of_audience(session, world.tenant, channel, [segment], [], 9)
    assert count.excluded["suppressed"] == len(barred)
    free = {person.contact for address, person in newcomers.items() if address not in barred}
    assert {contact.id for contact in few} == free
    sent = await newcomers[addresses[0]].planned()
    assert (0 if sent is None else sent.size) == len(free)
    for person in newcomers.values():
        await person.is_erased()
    return barred


async def free_of(world: World) -> None:
    """The next example begins with nothing suppressed."""
    async with world.pool.transaction() as session:
        while (listed := await list_suppressions(session, world.tenant, limit=1))[0]:
            await lift_suppression(
                session, world.tenant, listed[0][0].id, by=Author("test"), reason="the next example"
            )


async def is_changed(person: Person, dice: random.Random) -> None:
    """By a correction, by an import, or by an erasure and, perhaps, an import after it."""
    address = dice.choice(CHANNELS[person.channel][1])
    if person.contact is None or dice.random() < 0.3:
        await person.has(address)
    elif dice.random() < 0.7:
        await person.corrects(address)
    else:
        await person.is_erased()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_reports_close_what_messages_went_to_in_any_order_of_edits_and_erasures(
    world: World, channel: str
) -> None:
    addresses = CHANNELS[channel][1]
    for seed in range(15):
        dice = random.Random(seed)
        person, gone = Person(world, channel, f"person {seed}"), set[str]()
        for _ in range(2):
            await person.has(dice.choice(addresses))
            if (sent := await person.planned()) is None:
                continue  # nothing goes to this address any more
            if dice.random() < 0.4:
                await is_changed(person, dice)
            if person.contact is None or not await person.goes_out(sent):
                continue
            assert sent.address is not None and sent.address not in gone, seed
            steps = ["change", "change", "project", "report"]
            dice.shuffle(steps)
            for step in steps:
                match step:
                    case "change":
                        await is_changed(person, dice)
                    case "project":
                        await person.is_projected(sent)
                    case _:
                        why = dice.choice(list(REPORTS))
                        await person.is_reported(sent, why, by_webhook=dice.random() < 0.5)
                        gone.add(sent.address)
            await person.is_projected(sent)
        if person.contact:
            await person.is_erased()
        assert await closed(world, channel, addresses) == gone, seed
        await free_of(world)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("why", REPORTS)
@pytest.mark.parametrize("by_webhook", [True, False], ids=["webhook", "topic"])
async def test_a_corrected_address_stays_open_and_the_one_that_was_written_to_is_closed(
    world: World, channel: str, why: str, by_webhook: bool
) -> None:
    typo, right, other = CHANNELS[channel][1]
    person = Person(world, channel, "ana")
    await person.has(typo)
    sent = await person.planned()
    assert sent is not None and await person.goes_out(sent)
    await person.is_projected(sent)
    await person.corrects(right)
    await person.is_reported(sent, why, by_webhook=by_webhook)
    if not by_webhook:
        await person.is_projected(sent)
    assert await closed(world, channel, [typo, other]) == {typo}
    again = await person.planned()
    assert again is not None and await person.goes_out(again)
    assert again.address == right
    async with world.pool.transaction() as session:
        [one], total = await list_suppressions(session, world.tenant, address=typo)
        assert (total, one.reason, one.address, one.contact_id) == (1, why, None, None)
        assert await list_suppressions(session, world.tenant, address=right) == ([], 0)
        admin = Author("an admin")
        await lift_suppression(session, world.tenant, one.id, by=admin, reason="it exists")
    assert await closed(world, channel, [typo]) == set()


@pytest.mark.parametrize("why", REPORTS)
async def test_an_erased_address_is_closed_and_kept_nowhere(world: World, why: str) -> None:
    typo = "canary.typo@example.com"
    person = Person(world, "email", "ana")
    await person.has("canary.first@example.com")
    await person.corrects(typo)
    sent = await person.planned()
    assert sent is not None and await person.goes_out(sent)
    await person.is_erased()
    await person.is_reported(sent, why, by_webhook=True)  # before the ledger shows it as sent
    assert await closed(world, "email", [typo, "canary.first@example.com"]) == {typo}
    client = sql(world.pool)
    for table in await client.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    ):
        rows = await client.fetch(f"SELECT t::text AS row FROM {table['relname']} t")
        assert not [row["row"] for row in rows if "canary" in row["row"]], table["relname"]


async def test_a_change_by_a_session_without_the_key_closes_nothing_that_it_cannot_name(
    world: World, database: str
) -> None:
    """A person at psql, or a process of the version before."""
    person = Person(world, "email", "ana")
    await person.has("typo@example.com")
    sent = await person.planned()
    assert sent is not None and await person.goes_out(sent)
    await person.is_projected(sent)
    client = await connect(database)
    await client.execute("UPDATE contacts SET email = 'right@example.com'")
    await client.close()
    await person.is_reported(sent, "hard-bounce", by_webhook=True)
    assert await sql(world.pool).fetch("SELECT FROM suppressions") == []


async def test_an_id_that_an_erased_contact_had_is_another_person(world: World) -> None:
    person = Person(world, "email", "ana")
    await person.has("first@example.com")
    sent = await person.planned()
    assert sent is not None and await person.goes_out(sent)
    await person.is_projected(sent)
    same = person.contact
    await person.is_erased()
    row = contact_row(1, {"id": str(same), "email": "second@example.com"}, {})
    async with world.pool.transaction() as session:
        await put_contact(session, world.tenant, row, person.segment)
    await person.is_reported(sent, "unsubscribed", by_webhook=True)
    addresses = ["first@example.com", "second@example.com"]
    assert await closed(world, "email", addresses) == {"first@example.com"}
