"""One spelling of a phone number, whoever typed or reported it, in Python and in SQL."""

from __future__ import annotations

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.audience.replies import answered
from tables.channels import CHANNELS, phone
from tables.contacts.fields import contact_row
from tables.contacts.lists import list_contacts
from tables.contacts.store import put_contact
from tables.database.connection import Session
from tables.directory.suppressions import list_suppressions, put_suppression
from tables.directory.suppressions_in_bulk import Wanted, suppress_all
from tables.numbers import beginnings, canonical, number_key
from tests.postgres import sql
from tests.tables.audience.audience_world import NOW
from tests.tables.contacts.contact_world import contact

# (as it is typed or reported, as it is kept, as it is compared)
SPELLINGS = [
    ("+5215512345678", "+525512345678", "+525512345678"),
    ("+52 1 55 1234 5678", "+525512345678", "+525512345678"),
    ("+52 55 1234 5678", "+525512345678", "+525512345678"),
    ("tel:+52-1-33-1234-5678", "+523312345678", "+523312345678"),
    ("+52 1 (998) 123-4567", "+529981234567", "+529981234567"),
    ("+5491123456789", "+5491123456789", "+541123456789"),
    ("+54 9 11 2345-6789", "+5491123456789", "+541123456789"),
    ("+54 11 2345-6789", "+541123456789", "+541123456789"),
    ("+54 11 15 2345-6789", "+5491123456789", "+541123456789"),
    ("+54 9 3543 456789", "+5493543456789", "+543543456789"),
    ("+5511987654321", "+5511987654321", "+5511987654321"),
    ("+551187654321", "+5511987654321", "+5511987654321"),
    ("+55 (41) 8888-7777", "+5541988887777", "+5541988887777"),
    ("+55 11 6123 4567", "+5511961234567", "+5511961234567"),
    ("+55 11 3123 4567", "+551131234567", "+551131234567"),  # a landline
    ("+55 11 2345 6789", "+551123456789", "+551123456789"),
    ("+12025550123", "+12025550123", "+12025550123"),
    ("+49 (0) 151 12345678", "+4915112345678", "+4915112345678"),
    ("+39 06 1234567", "+39061234567", "+39061234567"),  # Italy keeps its zero
    ("+44 20 7946 0958", "+442079460958", "+442079460958"),
    ("+7 912 345-67-89", "+79123456789", "+79123456789"),
    ("+225 07 01 02 03 04", "+2250701020304", "+2250701020304"),
    ("+66 81 234 5678", "+66812345678", "+66812345678"),
]


@pytest.mark.parametrize(("typed", "kept", "compared"), SPELLINGS)
def test_a_number_is_kept_in_one_spelling_and_compared_in_one(
    typed: str, kept: str, compared: str
) -> None:
    assert phone(typed) == kept
    assert phone(kept) == kept and number_key(kept) == compared == number_key(typed_e164(typed))
    for channel in ("sms", "whatsapp"):
        assert CHANNELS[channel].compared(typed) == compared


def typed_e164(typed: str) -> str:
    """As a provider reports it: digits only."""
    digits = "+" + "".join(letter for letter in typed if letter.isdigit())
    return phone(typed) if "(0)" in typed or " 15 " in typed else digits


@pytest.mark.parametrize(
    "typed",
    [
        "+49151123456789012",  # 17 digits, which libphonenumber finds possible
        "+4915112345678901",  # 16
        "+52155123456789",
        "+549112345678901",
        "0151 12345678",
        "n/a",
        "-",
        "0",
        "",
    ],
)
def test_what_is_no_number_of_e164_is_refused_without_being_quoted(typed: str) -> None:
    with pytest.raises(ValueError, match=r"^phone: ") as error:
        phone(typed)
    assert len(typed) < 2 or typed not in str(error.value)


def test_fifteen_digits_are_the_limit() -> None:
    assert phone("+491511234567890") == "+491511234567890"
    with pytest.raises(ValueError, match="more than 15 digits, the limit"):
        phone("+4915112345678901")


numbers = st.from_regex(r"\+(52|521|54|549|55|1|49|7|39)[0-9]{6,12}", fullmatch=True)


@given(numbers)
def test_spelling_a_number_again_changes_nothing(number: str) -> None:
    assert canonical(canonical(number)) == canonical(number)
    assert number_key(number_key(number)) == number_key(number) == number_key(canonical(number))
    assert all(one.startswith("+") for one in beginnings(number))


# without zeros, which the library takes for national prefixes
@given(st.from_regex(r"\+(52|521|54|549|55|1|49|7|39)[1-9]{6,14}", fullmatch=True))
def test_no_kept_number_has_more_than_fifteen_digits(number: str) -> None:
    try:
        kept = phone(number)
    except ValueError:
        return
    assert len(kept) <= 16 and phone(kept) == kept


async def test_sql_compares_numbers_as_python_does(session: Session) -> None:
    """A number has the spellings whose key it has, and no others."""
    tails = ("5512345678", "1123456789", "11987654321", "1187654321", "1131234567", "123", "")
    heads = ("+52", "+521", "+54", "+549", "+55", "+551", "+1", "+49")
    made = [head + tail for head in heads for tail in tails]
    made += [kept for _, *spelled in SPELLINGS for kept in spelled]
    rows = await sql(session).fetch(
        "SELECT n, number_key(n) AS key, number_spellings(n) AS spellings"
        "  FROM unnest($1::text[]) n",
        made,
    )
    for row in rows:
        assert row["key"] == number_key(row["n"]), row["n"]
        assert {number_key(one) for one in row["spellings"]} == {row["key"]}
        assert canonical(row["n"]) in row["spellings"] and row["n"] in row["spellings"]
    assert await sql(session).fetchval("SELECT number_key(NULL)") is None


PAIRS = [
    ("+5215512345678", "+525512345678"),
    ("+5491123456789", "+541123456789"),
    ("+551187654321", "+5511987654321"),
]


@pytest.mark.parametrize("old_is_stored", [True, False], ids=["stored-old", "stored-new"])
@pytest.mark.parametrize(("old", "new"), PAIRS, ids=["mexico", "argentina", "brazil"])
async def test_both_spellings_are_one_person_in_imports_searches_suppressions_and_replies(
    session: Session, old: str, new: str, old_is_stored: bool
) -> None:
    stored, other = (old, new) if old_is_stored else (new, old)
    ana = await contact(session, "acme", phone="+491511234567", first_name="Ana")
    # as an earlier version kept it
    await sql(session).execute("UPDATE contacts SET phone = $2 WHERE id = $1", ana, stored)
    for spelling in (stored, other):
        assert [one.id for one in await list_contacts(session, "acme", search=spelling)] == [ana]
        assert [one.id for one in await list_contacts(session, "acme", search=spelling[:-2])] == [
            ana
        ]
    for spelling in (other, stored, other):
        row = contact_row(1, {"phone": spelling, "last_name": "B"}, {})
        found, is_new = await put_contact(session, "acme", row)
        assert (found.id, is_new) == (ana, False)
        assert found.phone is not None and number_key(found.phone) == number_key(old)
        assert found.phone_version == 1  # of the first number; the spelling is no change
    assert await sql(session).fetchval("SELECT phone LIKE '+549%' FROM contacts") == (
        old == "+5491123456789"
    )
    made, _ = await put_suppression(session, "acme", "sms", address=stored)
    assert await put_suppression(session, "acme", "sms", address=other) == (made, False)
    bulk = [Wanted(1, "sms", other, None, "manual"), Wanted(2, "whatsapp", other, None, "manual")]
    assert (await suppress_all(session, "acme", bulk)).existing == 1
    for spelling in (stored, other):
        for listed in (
            await list_suppressions(session, "acme", address=spelling),
            await list_suppressions(session, "acme", search=spelling[:-1]),
        ):
            assert listed[1] == 2
    campaign = await _sent_to(session, ana)
    for spelling in (stored, other):
        address = CHANNELS["sms"].normalise(spelling)
        reply = await answered(session, "acme", "sms", address, NOW)
        assert reply is not None and reply.number == campaign


async def _sent_to(session: Session, person: object) -> int:
    number: int = await sql(session).fetchval(
        "INSERT INTO campaigns (tenant_id, name, channel, created_by)"
        " VALUES ('acme', 'n', 'sms', $1) RETURNING number",
        uuid4(),
    )
    await sql(session).execute("SELECT ensure_recipient_partitions($1)", number)
    await sql(session).execute(
        "INSERT INTO campaign_recipients (id, tenant_id, campaign_id, contact_id, sent_at)"
        " SELECT recipient_id(number, 0), tenant_id, id, $2, $3 FROM campaigns WHERE number = $1",
        *(number, person, NOW),
    )
    return number
