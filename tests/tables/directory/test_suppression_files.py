"""Suppressions as files, on a real PostgreSQL: the lists of other systems, and every row told."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from functools import partial
from uuid import uuid4

import pytest

from streams.errors import CampaignError, MalformedError
from tables.channels import CHANNELS
from tables.database.connection import Database
from tables.directory.suppression_files import (
    Item,
    SuppressionFile,
    SuppressionProgress,
    import_suppressions,
)
from tables.directory.suppressions_in_bulk import Wanted
from tables.files.lines import Lines
from tables.files.rows import Blank, Rejected
from tables.tenants.tenants import create_tenant
from tests.postgres import Client, connect


def file(content: str, **given: str) -> SuppressionFile:
    return SuppressionFile(Lines(io.BytesIO(content.encode())), **given)


def read(content: str, **given: str) -> list[Item]:
    return list(file(content, **given))


def wanted(content: str, **given: str) -> list[tuple[str, str | None, str]]:
    found = [one for one in read(content, **given) if isinstance(one, Wanted)]
    return [(one.channel, one.address, one.reason) for one in found]


MAIL, NUMBER = "bob@example.com", "+4915112345678"


@pytest.mark.parametrize(
    ("content", "given", "expected"),
    [
        (
            "Email Address,First Name,UNSUB_TIME,UNSUB_CAMPAIGN_TITLE,UNSUB_REASON,LEID\n"
            f"{MAIL},Bob,2026-01-28 08:55:12,May,NORMAL,1\n",
            {},
            ("email", MAIL, "unsubscribed"),
        ),
        (
            "Email Address,CLEAN_TIME,CLEAN_CAMPAIGN_TITLE\nBob@Example.com,2026-01-28,May\n",
            {},
            ("email", MAIL, "hard-bounce"),
        ),
        (f"email,created\n{MAIL},1443651141\n", {}, ("email", MAIL, "imported")),
        (f"email,reason\n{MAIL},550 unknown\n", {}, ("email", MAIL, "550 unknown")),
        (f"email,reason\n{MAIL},\n", {"reason": "moved here"}, ("email", MAIL, "moved here")),
        (f"Email;Suppression Reason\n{MAIL};SPAM\n", {}, ("email", MAIL, "SPAM")),
        ("Phone Number\n+49 151 12345678\n", {}, ("sms", NUMBER, "imported")),
        ("Phone\n'+4915112345678\n", {"channel": "whatsapp"}, ("whatsapp", NUMBER, "imported")),
        ("Handy\n0151 12345678\n", {"country": "DE"}, ("sms", NUMBER, "imported")),
        (f"Phone,Email\n+4915112345678,{MAIL}\n", {}, ("email", MAIL, "imported")),
        (f"Tel,Email\n{NUMBER},{MAIL}\n", {"channel": "sms"}, ("sms", NUMBER, "imported")),
        ("channel,address,reason\nSMS,+4915112345678,x\n", {}, ("sms", NUMBER, "x")),
        ("channel,address\n,BOB@example.com\n", {}, ("email", MAIL, "imported")),
        ("channel,address\npush,token-1\n", {}, ("push", "token-1", "imported")),
        ("E-mail 1 - Value,E-mail 2 - Value\n,bob@example.com\n", {}, ("email", MAIL, "imported")),
        (f"email,reason\n{MAIL},\"a\nb\"\n", {}, ("email", MAIL, "a b")),
    ],
)  # fmt: skip
def test_the_lists_of_other_systems_are_understood(
    content: str, given: dict[str, str], expected: tuple[str, str, str]
) -> None:
    assert wanted(content, **given) == [expected]


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("text", [MAIL, NUMBER, "US.13491208655302741918", "token-1", "nope"])
def test_whatever_is_an_address_of_the_channel_is_taken(channel: str, text: str) -> None:
    try:
        expected = [(channel, CHANNELS[channel].normalise(text), "imported")]
    except ValueError:
        expected = []
    assert wanted(f"address\n{text}\n", channel=channel) == expected


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("name\nBob\n", "needs one of address, email and contactId"),
        (f"{MAIL}\nana@example.com\n", "no header"),
        ("PK\x03\x04", "XLSX"),
        ("", "empty"),
    ],
)
def test_a_file_without_addresses_is_refused(content: str, named: str) -> None:
    with pytest.raises(MalformedError) as refused:
        read(content)
    assert named in refused.value.detail


def test_a_wrong_channel_or_reason_is_named() -> None:
    for given, named in (
        ({"channel": "fax"}, "channel: one of"),
        ({"reason": "x" * 101}, "reason"),
    ):
        with pytest.raises(CampaignError) as refused:
            file("email\n", **given)
        assert named in refused.value.detail


def test_nobody_vanishes_in_a_row_that_cannot_be_used() -> None:
    content = (
        f"channel,address,contactId\nemail,{MAIL},\nemail,nope,\nfax,{MAIL},\n,,\nemail,,\n"
        f'email,,{uuid4()}\nemail,,7\nsms,{MAIL},\nemail,"open@example.com,\nemail,x@example.com,\n'
    )
    found = read(content)
    assert [one.line for one in found] == list(range(2, 12))
    assert [type(one) for one in found] == [
        *(Wanted, Rejected, Rejected, Blank, Rejected, Wanted, Rejected, Rejected, Rejected),
        Rejected,
    ]
    reasons = [one.reason for one in found if isinstance(one, Rejected)]
    assert not any(MAIL in reason for reason in reasons)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    async with Database(database, max_size=3) as pool:
        await pool.once(partial(create_tenant, tenant_id="acme"))
        yield pool


@pytest.fixture
async def client(database: str) -> AsyncIterator[Client]:
    client = await connect(database)
    yield client
    await client.close()


async def test_a_list_is_written_in_chunks_and_repeating_it_changes_nothing(
    pool: Database, client: Client
) -> None:
    content = "email,UNSUB_TIME\n" + "".join(
        f"p{n}@example.com,x\n" if n % 100 else "nope,x\n" for n in range(2_500)
    )
    rejected = list[Rejected]()
    done = await import_suppressions(pool, "acme", file(content), on_rejected=rejected.append)
    assert done == SuppressionProgress(added=2_475, rejected=25)
    assert [one.line for one in rejected] == list(range(2, 2_502, 100))
    again = await import_suppressions(pool, "acme", file(content), on_rejected=rejected.append)
    assert again == SuppressionProgress(existing=2_475, rejected=25)
    rows = await client.fetch("SELECT DISTINCT channel, reason FROM suppressions")
    assert [(row["channel"], row["reason"]) for row in rows] == [("email", "unsubscribed")]
