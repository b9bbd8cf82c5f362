"""The import of contacts: files good and bad, identity, order, and the command line, on a real
PostgreSQL.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import sys
from collections.abc import AsyncIterator, Iterable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.errors import MalformedError
from streams.settings import Settings
from tables.contacts.fields import ContactRow
from tables.contacts.files import ContactFile, Format, Item
from tables.contacts.imports import Progress, import_contacts
from tables.database.connection import Database
from tables.directory.segments import segment_named
from tables.files.lines import Lines
from tables.files.rows import Rejected
from tables.tenants.tenants import create_tenant
from tests.postgres import Client, connect

MEMBERS = "SELECT count(*) FROM segment_members WHERE segment_id = $1"


def read(content: str | bytes, kind: Format = "csv") -> list[Item]:
    raw = content if isinstance(content, bytes) else content.encode()
    return list(ContactFile(Lines(io.BytesIO(raw)), kind))


def rejections(content: str | bytes, kind: Format = "csv") -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in read(content, kind) if isinstance(row, Rejected)]


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    async with Database(database, max_size=3) as pool:
        for tenant in ("acme", "other"):
            await pool.once(partial(create_tenant, tenant_id=tenant))
        yield pool


@pytest.fixture
async def client(database: str) -> AsyncIterator[Client]:
    client = await connect(database)
    yield client
    await client.close()


async def load(
    pool: Database, content: str, kind: Format = "csv", tenant: str = "acme"
) -> tuple[Progress, list[Rejected], UUID]:
    async with pool.transaction() as session:
        segment = (await segment_named(session, tenant, "all")).id
    rejected = list[Rejected]()
    done = await import_contacts(
        pool, tenant, segment, read(content, kind), on_rejected=rejected.append
    )
    return done, rejected, segment


async def stored(client: Client, tenant: str = "acme") -> list[dict[str, Any]]:
    rows = await client.fetch(
        "SELECT * FROM contacts WHERE tenant_id = $1 ORDER BY external_id, email, phone", tenant
    )
    return [dict(row) for row in rows]


async def test_a_file_becomes_contacts_with_attributes_and_members(
    pool: Database, client: Client
) -> None:
    content = (
        "externalId,Email,phone,push_token,first name,lastName,timeZone,locale,plan,"
        "attributes.city\n"
        '1,Ana@Example.com,+49 30 123456,tok,Ana,"O\'Hara, Dr.",Europe/Berlin,de-DE,pro,Köln\n'
        "2,bob@example.com,,,,,,,,\n"
    )
    done, rejected, segment = await load(pool, content)
    assert (done, rejected) == (Progress(imported=2), [])
    ana, bob = await stored(client)
    assert (ana["email"], ana["phone"], ana["push_token"]) == (
        "ana@example.com",
        "+4930123456",
        "tok",
    )
    assert (ana["first_name"], ana["last_name"], ana["time_zone"], ana["locale"]) == (
        "Ana",
        "O'Hara, Dr.",
        "Europe/Berlin",
        "de-DE",
    )
    assert (ana["attributes"], bob["attributes"]) == ({"plan": "pro", "city": "Köln"}, {})
    assert await client.fetchval(MEMBERS, segment) == 2


async def test_the_same_file_again_updates_and_repeats_nobody(
    pool: Database, client: Client
) -> None:
    content = "email,plan\n" + "".join(f"p{n}@example.com,free\n" for n in range(50))
    await load(pool, content)
    done, _, segment = await load(pool, content.replace("free", "pro"))
    assert done == Progress(updated=50)
    assert {row["attributes"]["plan"] for row in await stored(client)} == {"pro"}
    assert await client.fetchval(MEMBERS, segment) == 50


async def test_an_empty_field_leaves_what_is_there(pool: Database, client: Client) -> None:
    await load(pool, "email,firstName,plan\na@example.com,Ana,pro\n")
    await load(pool, "email,firstName,plan\na@example.com,,\n")
    (row,) = await stored(client)
    assert (row["first_name"], row["attributes"]) == ("Ana", {"plan": "pro"})


async def test_ndjson_keeps_the_types_of_attributes(pool: Database, client: Client) -> None:
    rows = [
        {
            "externalId": 7,
            "email": "a@example.com",
            "age": 3,
            "tags": ["x"],
            "attributes": {"plan": "pro"},
            "phone": None,
        },
        {"email": "b@example.com", "vip": True},
    ]
    await load(pool, "\ufeff" + "\n\n".join(map(json.dumps, rows)), "ndjson")
    first, second = await stored(client)
    assert (first["external_id"], first["attributes"]) == (
        "7",
        {"age": 3, "tags": ["x"], "plan": "pro"},
    )
    assert second["attributes"] == {"vip": True}


async def test_bad_rows_are_told_by_line_and_reason_and_the_rest_goes_in(
    pool: Database,
) -> None:
    content = (
        "id,email,phone,timeZone,plan\n"
        ",good@example.com,,,\n"
        ",not-an-address,,,\n"
        ",,98765,,\n"
        "xyz,,,,\n"
        ',"multi@example.com",,,"two\nlines"\n'
        ",,,,pro\n"
        ",short@example.com\n"
        ",zone@example.com,,Mars/Base,\n"
        "\n"
        ",last@example.com,,,\n"
    )
    done, rejected, _ = await load(pool, content)
    # xyz is another system's id, a short row has empty cells, and a zone is optional
    assert done == Progress(imported=6, rejected=3, blank=1, warned=1)
    assert [(it.line, it.reason.partition(":")[0]) for it in rejected] == [
        (3, "email"),
        (4, "phone"),
        (8, "row"),
    ]
    assert not any("not-an-address" in it.reason or "98765" in it.reason for it in rejected)


def test_bytes_that_are_no_text_reject_their_line_only() -> None:
    content = (
        b"email,city\na@example.com,K\xf6ln\nb@example.com,Koeln\n"
        b"c@example.com,a\0b\nd@example.com,K\xc3\xb6ln\n"
    )
    named = "line: not UTF-8, perhaps windows-1252 as Excel's plain CSV; save the file as UTF-8"
    assert rejections(content) == [(2, named), (4, "line: holds a NUL character")]
    assert len(read(content)) == 4


def test_bad_json_rejects_its_line_only() -> None:
    content = (
        '{"email":"a@example.com"}\n{"email":\n[1]\n{"email":{"a":1}}\n{"attributes":[1],"email":"a@b.com"}\n'
        + "[" * 100_000
        + "\n"
    )
    content += '{"email":"z@example.com","x":"a\\u0000b"}\n{"email":"y@example.com"}'
    reasons = [reason for _, reason in rejections(content, "ndjson")]
    assert reasons == [
        *["line: not a JSON object"] * 2,
        "email: not a text",
        "line: not a JSON object",
    ]


def test_an_endless_line_costs_no_memory_and_the_next_one_is_read() -> None:
    content = '{"email":"' + "a" * 5_000_000 + '"}\n{"email":"b@example.com"}\n'
    first, second = read(content, "ndjson")
    assert isinstance(first, Rejected)
    assert first.reason.startswith("line: longer than")
    assert isinstance(second, ContactRow)
    assert second.line == 2


@pytest.mark.parametrize("content", ["", "\n", "plan,city\nx,y\n", ",,\n\n", "Name,Notes\nAna,x\n"])
def test_a_file_without_a_usable_header_is_refused(content: str) -> None:
    with pytest.raises(MalformedError):
        read(content)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_spreadsheets_may_separate_fields_their_way(delimiter: str) -> None:
    (row,) = read(
        "\ufeff"
        + delimiter.join(("email", "plan"))
        + "\r\n"
        + delimiter.join(("a@example.com", "pro"))
        + "\r\n"
    )
    assert isinstance(row, ContactRow)
    assert (row.email, row.attributes) == ("a@example.com", '{"plan":"pro"}')


async def test_the_id_of_another_tenant_and_a_taken_external_id_are_refused(
    pool: Database,
    client: Client,
) -> None:
    mine, foreign = uuid4(), uuid4()
    await load(pool, f"id,externalId,email\n{mine},1,a@example.com\n")
    await load(pool, f"id,email\n{foreign},f@example.com\n", tenant="other")
    content = (
        f"id,externalId,email\n{foreign},,x@example.com\n"
        f"{uuid4()},1,y@example.com\n{mine},2,z@example.com\n"
    )
    done, rejected, _ = await load(pool, content)
    assert done == Progress(updated=1, rejected=2)
    assert [(it.line, it.reason) for it in rejected] == [
        (2, "id: taken"),
        (3, "externalId: belongs to another contact"),
    ]
    (row,) = await stored(client)
    assert (row["external_id"], row["email"]) == ("2", "z@example.com")
    assert [row["email"] for row in await stored(client, "other")] == ["f@example.com"]


async def test_an_address_gets_its_external_id_later(pool: Database, client: Client) -> None:
    await load(pool, "email\na@example.com\n")
    assert (await load(pool, "externalId,email\n1,a@example.com\n"))[0] == Progress(updated=1)
    assert (await load(pool, "externalId,email\n2,a@example.com\n"))[0] == Progress(imported=1)
    assert [row["external_id"] for row in await stored(client)] == ["1", "2"]


IDS = [UUID(int=n) for n in (1, 2)]
ROW = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from([str(it) for it in IDS]),
        "externalId": st.sampled_from(["x", "y"]),
        "email": st.sampled_from(["a@example.com", "b@example.com", "c@example.com"]),
        "phone": st.sampled_from(["+15551234567", "+15551234568"]),
    },
).filter(bool)


@given(rows=st.lists(ROW, min_size=1, max_size=12), size=st.integers(1, 12))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
async def test_rows_in_chunks_do_what_they_do_one_by_one(
    pool: Database, client: Client, rows: list[dict[str, str]], size: int
) -> None:
    content = "\n".join(json.dumps(row | {"n": position}) for position, row in enumerate(rows))
    in_chunks = await _outcome(pool, client, read(content, "ndjson"), size)
    assert in_chunks == await _outcome(pool, client, read(content, "ndjson"), 1)


async def _outcome(pool: Database, client: Client, rows: Iterable[Item], size: int) -> object:
    """The counts, what was refused, and the contacts, without the ids that were made up."""
    await client.execute("TRUNCATE contacts, segment_members, whatsapp_users")
    rejected = list[Rejected]()
    done = await import_contacts(pool, "acme", None, rows, on_rejected=rejected.append, size=size)
    found = [
        (row["external_id"], row["email"], row["phone"], row["id"] if row["id"] in IDS else None)
        for row in await stored(client)
    ]
    return done, rejected, sorted(map(str, found))


async def _command(
    settings: Settings, *arguments: str, stdin: bytes | None = None, home: Path
) -> tuple[int, str, str]:
    environment = os.environ | {
        "CAMPAIGNS_KAFKA": settings.kafka,
        "CAMPAIGNS_POSTGRES": settings.postgres,
        "CAMPAIGNS_NATS": settings.nats,
        "CAMPAIGNS_MESSAGE_KEYS": settings.message_keys[0].get_secret_value(),
        "CAMPAIGNS_HOME": str(home),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from api.command_line import main; main()", *arguments),
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    out, err = await process.communicate(stdin)
    return process.returncode or 0, out.decode(), err.decode()


async def test_the_command_line_makes_a_tenant_and_imports_its_contacts(
    settings: Settings, tmp_path: Path
) -> None:
    code, out, err = await _command(
        settings, "tenant", "create", "acme", "--hourly", "100", "--json", home=tmp_path
    )
    assert code == 0, err
    assert json.loads(out).keys() == {"tenantId", "apiKey", "userId"}
    file = tmp_path / "people.csv"
    file.write_text("email\na@example.com\nbad\n")
    code, out, err = await _command(
        settings,
        "import",
        "contacts",
        str(file),
        "--tenant",
        "acme",
        "--segment",
        "all",
        home=tmp_path,
    )
    assert code == 0, err
    summary = json.loads(out)
    assert (summary["imported"], summary["updated"], summary["rejected"]) == (1, 0, 1)
    assert _table(summary["rejectsFile"]) == [
        ["line", "reason"],
        ["3", "email: not a valid address"],
    ]
    stdin = b'{"email":"a@example.com"}\n{"email":"b@example.com"}\n'
    arguments = ("import", "contacts", "-", "--tenant", "acme", "--segment", summary["segmentId"])
    code, out, err = await _command(settings, *arguments, stdin=stdin, home=tmp_path)
    assert code == 0, err
    again = {
        "imported": 1,
        "updated": 1,
        "rejected": 0,
        "blank": 0,
        "warned": 0,
        "segmentId": summary["segmentId"],
        "rejectsFile": None,
        "warningsFile": None,
        "columns": {},
        "notes": [],
    }
    assert json.loads(out) == again


async def test_the_command_line_maps_warns_and_suppresses(
    settings: Settings, tmp_path: Path
) -> None:
    await _command(settings, "tenant", "create", "acme", "--json", home=tmp_path)
    file = tmp_path / "people.csv"
    file.write_text("E-Post;Telefon;Zeitzone\nana@example.com;0151 12345678;Berlin\n;;\n")
    common = ("--tenant", "acme", "--country", "DE")
    code, out, err = await _command(
        settings, "import", "contacts", str(file), *common, "--map", "E-Post=email", home=tmp_path
    )
    assert code == 0, err
    summary = json.loads(out)
    assert (summary["imported"], summary["blank"], summary["warned"]) == (1, 1, 1)
    assert summary["columns"] == {"E-Post": "email", "Telefon": "phone", "Zeitzone": "timeZone"}
    assert summary["rejectsFile"] is None
    assert summary["warningsFile"] == f"{file}.warnings.csv"
    header, (line, column, reason) = _table(summary["warningsFile"])
    assert (header, line, column) == (["line", "column", "reason"], "2", "Zeitzone")
    assert reason.startswith("timeZone: ")
    stdin = b"Email Address,UNSUB_TIME\nana@example.com,x\nnope,x\n"
    rejects = tmp_path / "no.csv"
    arguments = ("import", "suppressions", "-", "--tenant", "acme", "--rejects", str(rejects))
    code, out, err = await _command(settings, *arguments, stdin=stdin, home=tmp_path)
    assert code == 0, err
    assert json.loads(out) == {
        "added": 1,
        "existing": 0,
        "rejected": 1,
        "blank": 0,
        "rejectsFile": str(rejects),
    }
    assert [row[0] for row in _table(str(rejects))] == ["line", "3"]
    for wrong in (("--country", "XX"), ("--map", "email")):
        code, _, err = await _command(
            settings, "import", "contacts", str(file), "--tenant", "acme", *wrong, home=tmp_path
        )
        assert code != 0 and "Traceback" not in err


def _table(path: str) -> list[list[str]]:
    with Path(path).open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.csv", "--tenant", "acme"), "nowhere.csv"),
        (("-", "--tenant", "nobody"), "There is no tenant nobody"),
    ],
)
async def test_what_cannot_be_imported_is_said_in_a_sentence(
    settings: Settings, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, _, err = await _command(
        settings, "import", "contacts", *arguments, stdin=b"email\n", home=tmp_path
    )
    assert code == 1
    assert said in err
    assert "Traceback" not in err
