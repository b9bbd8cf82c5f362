"""Tenants, API keys, segments, templates, suppressions and contacts on a real PostgreSQL; nobody
sees what is another tenant's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from email_validator import validate_email
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import CampaignError, ConflictError, NotFoundError
from streams.records.sending import Limits
from tables import channels
from tables.contacts import lists, store
from tables.contacts.fields import contact_row
from tables.database.connection import Database, Session
from tables.directory import directory, suppressions
from tables.tenants import tenants


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Session]:
    async with Database(database) as opened, opened.transaction() as session:
        for tenant in ("acme", "other"):
            await tenants.create_tenant(session, tenant)
        yield session


async def test_a_tenant_has_the_limits_it_was_created_with(connection: Session) -> None:
    await tenants.create_tenant(connection, "small", hourly=100, daily=1000)
    assert (await tenants.get_tenant(connection, "small")).limits == Limits(
        per_hour=100, per_day=1000
    )
    assert (await tenants.get_tenant(connection, "acme")).limits == Limits()


async def test_a_tenant_cannot_be_created_twice(connection: Session) -> None:
    with pytest.raises(ConflictError):
        await tenants.create_tenant(connection, "acme")


@pytest.mark.parametrize("name", ["", "Acme", "-acme", "a" * 64, "ac me", "acme\n", "ä"])
async def test_a_bad_tenant_name_names_the_rule(connection: Session, name: str) -> None:
    with pytest.raises(CampaignError) as refused:
        await tenants.create_tenant(connection, name, hourly=0)
    assert [error.field for error in refused.value.errors] == ["tenantId", "hourly"]


async def test_a_key_names_tenant_user_and_role_and_is_stored_as_a_hash(
    connection: Session,
) -> None:
    user = uuid4()
    key = await tenants.create_key(connection, "acme", role="editor", user_id=user, is_live=False)
    assert key.text.startswith("ce_test_")
    assert await tenants.verify(connection, key.text) == tenants.Caller(
        "acme", user, "editor", key.id
    )
    stored = str(dict(await connection.fetchrow("SELECT * FROM api_keys") or {}))
    assert key.text.rpartition("_")[2] not in stored


async def test_only_the_whole_key_verifies_and_only_while_it_is_valid(
    connection: Session,
) -> None:
    key = await tenants.create_key(connection, "acme")
    wrong = key.text[:-1] + ("0" if key.text[-1] != "0" else "1")
    for text in (
        wrong,
        key.text + "0",
        key.text.upper(),
        "",
        "ce_live__",
        "ce_live_" + "0" * 16 + "_" + "0" * 64,
        key.text + "\n",
    ):
        assert await tenants.verify(connection, text) is None
    past = await tenants.create_key(
        connection, "acme", expires_at=datetime.now(UTC) - timedelta(seconds=1)
    )
    assert await tenants.verify(connection, past.text) is None
    with pytest.raises(NotFoundError):
        await tenants.revoke_key(connection, "other", key.id)
    await tenants.revoke_key(connection, "acme", key.id)
    assert await tenants.verify(connection, key.text) is None


async def test_a_key_for_nobody_is_refused(connection: Session) -> None:
    with pytest.raises(NotFoundError):
        await tenants.create_key(connection, "nobody")
    with pytest.raises(CampaignError):
        await tenants.create_key(connection, "acme", role="owner")


async def test_a_segment_is_found_by_name_and_id_and_a_new_name_makes_one(
    connection: Session,
) -> None:
    made = await directory.segment_named(connection, "acme", " Customers ")
    assert made.name == "Customers"
    assert await directory.segment_named(connection, "acme", "Customers") == made
    assert await directory.segment_named(connection, "acme", str(made.id)) == made
    assert await directory.list_segments(connection, "acme") == ([made], 1)
    assert (await directory.segment_named(connection, "other", "Customers")).id != made.id


async def test_foreign_segments_are_unknown(connection: Session) -> None:
    mine, foreign = [
        await directory.segment_named(connection, tenant, "s") for tenant in ("acme", "other")
    ]
    never = uuid4()
    assert await directory.unknown_segments(
        connection, "acme", [never, mine.id, foreign.id, never]
    ) == (never, foreign.id)
    with pytest.raises(NotFoundError):
        await directory.segment_named(connection, "acme", str(foreign.id))


async def test_members_are_contacts_of_the_same_tenant(connection: Session) -> None:
    segment = await directory.segment_named(connection, "acme", "s")
    mine, foreign = [
        await _contact(connection, tenant, email="a@example.com") for tenant in ("acme", "other")
    ]
    assert (
        await directory.add_members(connection, "acme", segment.id, [mine, foreign, uuid4()]) == 1
    )
    assert await directory.add_members(connection, "acme", segment.id, [mine]) == 0
    assert await directory.add_members(connection, "other", segment.id, [foreign]) == 0


@pytest.mark.parametrize(
    ("channel", "content"),
    [
        ("email", {"subject": "Hi", "html": "<p>x</p>"}),
        ("email", {"subject": "Hi", "html": "<p>x</p>", "text": "x"}),
        ("sms", {"text": "x"}),
        ("whatsapp", {"text": "x"}),
        ("push", {"title": "t", "body": "b", "link": "https://example.com"}),
    ],
)
async def test_a_template_keeps_what_fits_its_channel(
    connection: Session, channel: str, content: dict[str, str]
) -> None:
    made = await directory.create_template(connection, "acme", "Welcome", channel, content)
    assert (made.channel, made.content) == (channel, content)
    assert await directory.get_template(connection, "acme", made.id) == made
    assert await directory.list_templates(connection, "acme") == ([made], 1)
    with pytest.raises(NotFoundError):
        await directory.get_template(connection, "other", made.id)


@pytest.mark.parametrize(
    ("channel", "content", "fields"),
    [
        ("email", {}, ["content.subject", "content"]),
        ("email", {"subject": "", "html": "x"}, ["content.subject"]),
        (
            "email",
            {"subject": "x" * 501, "text": "x", "title": "x"},
            ["content.subject", "content.title"],
        ),
        ("sms", {"text": 1}, ["content.text"]),
        ("sms", {"text": "a\0b"}, ["content.text"]),
        ("push", {"title": "t"}, ["content.body"]),
        ("fax", {"text": "x"}, ["channel"]),
    ],
)
def test_content_that_does_not_fit_names_every_wrong_field(
    channel: str, content: dict[str, str], fields: list[str]
) -> None:
    with pytest.raises(CampaignError) as refused:
        directory.check_content(channel, content)
    assert [error.field for error in refused.value.errors] == fields


async def test_an_address_is_suppressed_in_its_one_spelling_and_can_be_released(
    connection: Session,
) -> None:
    first = await suppressions.suppress(
        connection, "acme", "email", address="Ana@Example.COM", reason="complaint"
    )
    again = await suppressions.suppress(connection, "acme", "email", address="ana@example.com")
    assert first == again
    assert (first.address, first.reason) == ("ana@example.com", "complaint")
    assert await suppressions.list_suppressions(connection, "acme", channel="email") == ([first], 1)
    assert await suppressions.list_suppressions(connection, "acme", channel="sms") == ([], 0)
    assert await suppressions.list_suppressions(connection, "other") == ([], 0)
    with pytest.raises(NotFoundError):
        await suppressions.unsuppress(connection, "other", "email", address="ana@example.com")
    await suppressions.unsuppress(connection, "acme", "email", address="ANA@example.com")
    assert await suppressions.list_suppressions(connection, "acme") == ([], 0)


async def test_a_contact_is_suppressed_only_in_its_own_tenant(
    connection: Session,
) -> None:
    contact = await _contact(connection, "acme", phone="+491701234567")
    assert (
        await suppressions.suppress(connection, "acme", "sms", contact_id=contact)
    ).contact_id == contact
    for tenant, channel, target in (
        ("other", "sms", {"contact_id": contact}),
        ("acme", "fax", {"contact_id": contact}),
        ("acme", "sms", {}),
        ("acme", "sms", {"contact_id": contact, "address": "+491701234567"}),
        ("acme", "sms", {"address": "0170"}),
    ):
        with pytest.raises(CampaignError):
            await suppressions.suppress(connection, tenant, channel, **target)


async def test_a_contact_is_updated_by_the_same_identifier(connection: Session) -> None:
    row = contact_row(
        1,
        {"external_id": "7", "email": "Ana@example.com", "first_name": "Ana"},
        {"plan": "pro", "age": 3},
    )
    async with connection.transaction():
        first = await store.upsert_contact(connection, "acme", row)
    async with connection.transaction():
        second = await store.upsert_contact(
            connection,
            "acme",
            contact_row(1, {"external_id": "7", "last_name": "B"}, {"plan": "free"}),
        )
    assert second.id == first.id
    assert (second.first_name, second.last_name, second.email) == ("Ana", "B", "ana@example.com")
    assert second.attributes == {"plan": "free", "age": 3}
    assert await store.get_contact(connection, "acme", first.id) == second
    assert await lists.list_contacts(connection, "acme") == [second]
    with pytest.raises(NotFoundError):
        await store.get_contact(connection, "other", first.id)
    async with connection.transaction():
        with pytest.raises(CampaignError):
            await store.upsert_contact(
                connection, "other", contact_row(1, {"id": str(first.id)}, {})
            )


async def _contact(connection: Session, tenant: str, **fields: str) -> UUID:
    async with connection.transaction():
        return (await store.upsert_contact(connection, tenant, contact_row(1, fields, {}))).id


_PARTS = st.text("aZ09._+-@ü'\u212a ", min_size=1, max_size=12)


@given(
    st.builds(
        "{}@{}.{}".format,
        _PARTS,
        _PARTS,
        st.sampled_from(["com", "de", "test", "invalid", "c", "museum"]),
    )
)
def test_the_short_way_to_an_email_address_agrees_with_the_library(text: str) -> None:
    try:
        found = validate_email(
            text.strip(), check_deliverability=False, test_environment=True, strict=True
        )
    except ValueError:
        with pytest.raises(ValueError, match="email: not a valid address"):
            channels.email(text)
    else:
        assert channels.email(text) == (found.ascii_email or found.normalized).lower()


def test_the_short_way_does_not_overlook_long_parts() -> None:
    for address in ("a" * 65 + "@example.com", "a@" + "b" * 64 + ".com", "a@" + "b." * 130 + "com"):
        with pytest.raises(ValueError, match="email"):
            channels.email(address)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("+15551234567", "+15551234567"),
        ("+1 (555) 123-4567", "+15551234567"),
        ("+49 (0)30 123456", "+4930123456"),
        ("+390612345678", "+390612345678"),
    ],
)
def test_a_phone_number_is_spelled_in_e164(text: str, spelled: str) -> None:
    assert channels.phone(text) == spelled


@pytest.mark.parametrize(
    "text", ["", "0170 1234567", "+1555", "+999123", "phone", "+1555123456789"]
)
def test_a_number_without_country_or_of_the_wrong_length_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="phone"):
        channels.phone(text)
