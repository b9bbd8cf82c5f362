"""The headings of other systems' exports, mapped and unmapped."""

from __future__ import annotations

import io

import pytest

from streams.errors import CampaignError, MalformedError
from tables.contacts.fields import SPELLINGS, ContactRow
from tables.contacts.files import ContactFile, Item
from tables.contacts.headings import headings, targets
from tables.contacts.synonyms import SYNONYMS, is_consent
from tables.files.lines import Lines

MAILCHIMP = (
    "Email Address,First Name,Last Name,Address,Phone Number,Birthday,MEMBER_RATING,OPTIN_TIME,"
    "OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,LATITUDE,LONGITUDE,GMTOFF,DSTOFF,TIMEZONE,CC,REGION,"
    "LAST_CHANGED,LEID,EUID,NOTES,TAGS"
)
HUBSPOT = (
    "Record ID,First Name,Last Name,Email,Phone Number,Mobile Phone Number,Time Zone,Lead Status,"
    "Unsubscribed from all email,Create Date,Associated Company"
)
KLAVIYO = (
    "Email,First Name,Last Name,Organization,Title,Phone Number,Address,City,State / Region,Source,"
    "Email Marketing Consent,Email Marketing Consent Timestamp,SMS Marketing Consent"
)
BREVO = "\ufeffEMAIL;LASTNAME;FIRSTNAME;SMS;WHATSAPP;LANDLINE_NUMBER;EXT_ID;DOUBLE_OPT-IN"
SHOPIFY = (
    "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Default Address Company,"
    "Default Address Country Code,Default Address Zip,Default Address Phone,Phone,"
    "Accepts SMS Marketing,Total Spent,Total Orders,Note,Tax Exempt,Tags"
)
GOOGLE = (
    "First Name,Middle Name,Last Name,Phonetic First Name,Name Prefix,Nickname,File As,Birthday,"
    "Notes,Photo,Labels,E-mail 1 - Label,E-mail 1 - Value,E-mail 2 - Label,E-mail 2 - Value,"
    "Phone 1 - Label,Phone 1 - Value,Phone 2 - Label,Phone 2 - Value"
)
GOOGLE_OLD = (
    "Name,Given Name,Additional Name,Family Name,Group Membership,E-mail 1 - Type,E-mail 1 - Value,"
    "Phone 1 - Type,Phone 1 - Value"
)
OUTLOOK = (
    "Title,First Name,Middle Name,Last Name,Suffix,Company,Business Phone,Home Phone,Mobile Phone,"
    "E-mail Address,E-mail Type,E-mail Display Name,E-mail 2 Address,Gender,Language,Notes"
)


def found(header: str, *mapping: str) -> dict[str, str]:
    """Field -> heading of a header."""
    separator = ";" if ";" in header else ","
    names = header.removeprefix("\ufeff").split(separator)
    understood = headings(names, targets(mapping))
    return {
        use.field: use.column
        for use in understood.uses
        if use.field and not use.field.startswith("attributes.")
    }


@pytest.mark.parametrize(
    ("header", "fields"),
    [
        (
            MAILCHIMP,
            {
                "email": "Email Address",
                "firstName": "First Name",
                "lastName": "Last Name",
                "phone": "Phone Number",
                "timeZone": "TIMEZONE",
            },
        ),
        (
            HUBSPOT,
            {
                "email": "Email",
                "firstName": "First Name",
                "lastName": "Last Name",
                "phone": "Mobile Phone Number",
                "timeZone": "Time Zone",
            },
        ),
        (
            KLAVIYO,
            {
                "email": "Email",
                "firstName": "First Name",
                "lastName": "Last Name",
                "phone": "Phone Number",
            },
        ),
        (
            BREVO,
            {
                "email": "EMAIL",
                "lastName": "LASTNAME",
                "firstName": "FIRSTNAME",
                "phone": "SMS",
                "externalId": "EXT_ID",
            },
        ),
        (
            SHOPIFY,
            {
                "email": "Email",
                "firstName": "First Name",
                "lastName": "Last Name",
                "phone": "Phone",
            },
        ),
        (
            GOOGLE,
            {
                "email": "E-mail 1 - Value",
                "firstName": "First Name",
                "lastName": "Last Name",
                "phone": "Phone 1 - Value",
            },
        ),
        (
            GOOGLE_OLD,
            {
                "email": "E-mail 1 - Value",
                "firstName": "Given Name",
                "lastName": "Family Name",
                "phone": "Phone 1 - Value",
            },
        ),
        (
            OUTLOOK,
            {
                "email": "E-mail Address",
                "firstName": "First Name",
                "lastName": "Last Name",
                "phone": "Mobile Phone",
            },
        ),
        ("Vorname;Nachname;E-Mail-Adresse;Handy;Straße", None),
        ("Prénom;Nom de famille;Adresse e-mail;Téléphone portable", None),
        ("Nombre;Apellidos;Correo electrónico;Móvil", None),
        ("EMAIL ADDRESS,FNAME,LNAME,Cell", None),
        ("e_mail,first-name,LAST NAME,mobile_phone", None),
        ("Email *,First name:,Last Name (required),Phone (mobile) *", None),
        ("Vorname;Nachname;E-Mail (privat);Telefon (mobil)", None),
        ("Ｅｍａｉｌ,First Name,Last Name,Phone", None),
    ],
)
def test_an_export_is_understood(header: str, fields: dict[str, str] | None) -> None:
    understood = found(header)
    if fields is None:
        assert understood.keys() == {"email", "firstName", "lastName", "phone"}
    else:
        assert understood == fields


@pytest.mark.parametrize("heading", sorted(SYNONYMS))
def test_every_known_heading_is_found_in_any_spelling(heading: str) -> None:
    column, _ = SYNONYMS[heading]
    field = SPELLINGS[column][0]
    for spelled in (heading, heading.upper(), heading.title(), f" {heading} ", f"{heading}_"):
        use = headings([spelled, "plan"], {}).uses[0] if column not in _MERE else None
        if use is None:
            use = headings(
                ["externalId" if column != "external_id" else "email", spelled], {}
            ).uses[1]
        assert use.field == field


_MERE = {"first_name", "last_name", "time_zone", "locale"}


def read(content: str, *mapping: str, country: str | None = None) -> list[Item]:
    lines = Lines(io.BytesIO(content.encode()))
    return list(ContactFile(lines, "csv", targets(mapping), country))


def row(content: str, *mapping: str, country: str | None = None) -> ContactRow:
    (one,) = [it for it in read(content, *mapping, country=country) if isinstance(it, ContactRow)]
    return one


def test_another_column_stands_in_where_the_first_has_nothing_usable() -> None:
    header = "Email,Phone Number,Mobile Phone Number\n"
    both = row(header + "a@b.example,+49 30 123456,+49 151 23456789\n")
    assert (both.phone, both.attributes) == ("+4915123456789", '{"Phone Number":"+49 30 123456"}')
    assert row(header + "a@b.example,+49 30 123456,\n").phone == "+4930123456"
    assert row(header + "a@b.example,+49 30 123456,n/a\n").phone == "+4930123456"
    second = row("E-mail 1 - Value,E-mail 2 - Value\n,b@c.example\n")
    assert second.email == "b@c.example"


def test_of_several_addresses_in_a_cell_the_first_usable_one_counts() -> None:
    several = "nope ::: b@y.example ::: c@y.example,+49 30 123456 ::: x"
    one = row(f"E-mail 1 - Value,Phone 1 - Value\n{several}\n")
    assert (one.email, one.phone) == ("b@y.example", "+4930123456")


def test_a_column_about_consent_is_no_address() -> None:
    assert found("Email (consent),Email Address,Phone (opted in)") == {"email": "Email Address"}


@pytest.mark.parametrize(
    ("header", "attributes"),
    [
        ("email,Notes,Notes,notes", ["Notes", "Notes 2", "notes"]),
        ("email,plan,attributes.plan", ["plan", "plan 2"]),
        ("email,firstName,,", []),
        ("email,,plan", ["plan"]),
        ("email,Email", ["Email"]),
        ("email, Birth Date ,utm-source,Stra\u00dfe", ["Birth Date", "utm-source", "Stra\u00dfe"]),
        ("email,Jose\u0301", ["Jos\u00e9"]),
        ("email,attributes.Jose\u0301, attributes.x", ["Jose\u0301", "x"]),
    ],
)
def test_the_other_columns_become_attributes_of_distinct_names(
    header: str, attributes: list[str]
) -> None:
    assert list(headings(header.split(","), {}).attributes) == attributes


def test_a_mapping_comes_before_every_heading() -> None:
    header = "E-Post,Kontakt,Email,Phone"
    assert found(header, "E-Post=email", "Kontakt=phone") == {"email": "E-Post", "phone": "Kontakt"}
    understood = headings(
        header.split(","), targets(["email=", "E-Post=email", "Phone=attributes.p"])
    )
    assert [use.field for use in understood.uses] == [
        "email",
        "attributes.Kontakt",
        None,
        "attributes.p",
    ]
    assert found("who=what,x", "who=what=email") == {"email": "who=what"}


@pytest.mark.parametrize(
    ("mapping", "named"),
    [
        ("email", "needs COLUMN=FIELD"),
        ("=email", "needs COLUMN=FIELD"),
        ("E-Post=mail", "a field is id, externalId"),
        ("Nowhere=email", "the file has no column nowhere"),
    ],
)
def test_a_wrong_mapping_is_named(mapping: str, named: str) -> None:
    with pytest.raises(CampaignError) as refused:
        found("E-Post,email", mapping)
    assert f"map: {named}" in refused.value.detail


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (
            "ana@example.com,Ana\nbob@example.com,Bob\n",
            "no header: its first line holds an address",
        ),
        ("Name,Notes\nAna,x\n", "needs one of id, externalId, email, phone and pushToken"),
        ("email:name\na@b.c:x\n", "separated by ':'"),
        ("email~name\na@b.c~x\n", "separated by '~'"),
        ('{"email":"a@b.c"}\n', "JSON, not CSV"),
        ('[{"email":"a@b.c"}]\n', "JSON, not CSV"),
    ],
)
def test_a_header_that_identifies_nobody_says_what_the_file_is(content: str, named: str) -> None:
    with pytest.raises(MalformedError) as refused:
        read(content)
    assert named in refused.value.detail
    assert "ana@example.com" not in refused.value.detail


@pytest.mark.parametrize(
    "heading",
    [
        "Email Marketing Consent", "SMS Marketing Consent", "Accepts Email Marketing",
        "Accepts SMS Marketing", "Unsubscribed from all email", "OPTIN_TIME", "UNSUB_TIME",
        "DOUBLE_OPT-IN", "Opted out of email", "EMAIL_BLACKLIST", "Do Not Contact", "do_not_email",
        "Subscription status", "subscribed", "GDPR", "Newsletter", "Suppressed", "CLEAN_TIME",
        "Blocklisted", "Einwilligung", "D\u00e9sinscrit",
    ],
)  # fmt: skip
def test_columns_about_consent_are_mentioned(heading: str) -> None:
    assert is_consent(heading)
    (note,) = headings(["email", heading], {}).notes()
    assert f'"{heading}"' in note and "suppress" in note


@pytest.mark.timeout(60)
@pytest.mark.parametrize("heading", [" " * 130_000 + "x", "(" * 130_000, "accepts" * 18_000])
@pytest.mark.parametrize("cell", ["1" * 130_000 + " e", "a ::: " * 20_000, "@" * 130_000])
def test_no_text_takes_long(heading: str, cell: str) -> None:
    assert len(read(f"email,phone,timeZone,locale,{heading}\n{cell},{cell},{cell},{cell}\n")) > 0


def test_other_columns_are_not_mentioned() -> None:
    assert headings(["email", "plan", "Lead Status", "Tags", "Tax Exempt"], {}).notes() == []
