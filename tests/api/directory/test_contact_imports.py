"""Contacts in numbers: files read while they arrive, arrays, and a CSV that a spreadsheet cannot be
tricked with.
"""

from __future__ import annotations

import asyncio
import csv
import io
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from api.directory import contact_imports
from api.directory.uploads import Upload
from api.limits.slots import READS, Room, Slots
from streams.errors import MalformedError
from tests.api.campaigns.test_routes import problem
from tests.api.world import Rest
from tests.postgres import sql

_CSV = {"Content-Type": "text/csv; charset=utf-8"}
_NDJSON = {"Content-Type": "application/x-ndjson"}


async def members(rest: Rest, segment: str) -> int:
    return int((await rest.admin.get(f"/segments/{segment}")).json()["data"]["memberCount"])


async def test_a_csv_file_becomes_contacts_of_a_new_segment_and_bad_rows_are_named(
    rest: Rest,
) -> None:
    content = (
        "externalId,Email,plan\n1,ana@example.com,pro\n,not an address,\n"
        "3,bob@example.com,\n1,ana@example.com,free\n"
    )
    answer = await rest.of["editor"].post(
        "/contacts/import?segment=Customers", content=content, headers=_CSV
    )
    assert answer.status_code == 200, answer.text
    summary = answer.json()["data"]
    assert {name: summary[name] for name in ("imported", "updated", "rejected")} == {
        "imported": 2,
        "updated": 1,
        "rejected": 1,
    }
    assert summary["rejects"] == [{"line": 3, "reason": "email: not a valid address"}]
    assert await members(rest, summary["segmentId"]) == 2
    again = (
        await rest.admin.post("/contacts/import?segment=Customers", content=content, headers=_CSV)
    ).json()["data"]
    assert (again["imported"], again["updated"], again["segmentId"]) == (0, 3, summary["segmentId"])
    ana = (await rest.admin.get("/contacts?search=ana@")).json()["data"][0]
    assert ana["attributes"] == {"plan": "free"}


async def test_ndjson_and_an_array_mean_the_same(rest: Rest) -> None:
    rows: list[dict[str, Any]] = [
        {"email": "a@example.com", "plan": "pro"},
        {"email": "x"},
        {"externalId": 7, "attributes": {"n": 1}},
    ]
    rows.append({"firstName": "a\0b", "email": "b@example.com"})
    lines = "".join(f"{row}\n".replace("'", '"').replace("\\x00", "\\u0000") for row in rows)
    by_file = (await rest.admin.post("/contacts/import", content=lines, headers=_NDJSON)).json()[
        "data"
    ]
    assert by_file == {
        "imported": 3,
        "updated": 0,
        "rejected": 1,
        "segmentId": None,
        "rejects": [{"line": 2, "reason": "email: not a valid address"}],
        "blank": 0,
        "warned": 1,
        "warnings": [
            {
                "line": 4,
                "column": "firstName",
                "reason": "firstName: PostgreSQL stores no NUL characters",
            }
        ],
        "columns": [],
        "notes": [],
    }
    by_array = (await rest.admin.post("/contacts/bulk", json=rows)).json()["data"]
    assert by_array == {**by_file, "imported": 0, "updated": 3}
    for wrong in ([], [{"email": "a@example.com"}] * 1001, {"email": "a@example.com"}, [1]):
        problem(await rest.admin.post("/contacts/bulk", json=wrong), 422)


async def test_a_file_of_a_kind_or_a_head_that_cannot_be_read_changes_nothing(rest: Rest) -> None:
    for kind in ("application/json", "text/plain", "text/csv; charset=latin-1", ""):
        answer = await rest.admin.post(
            "/contacts/import", content="email\na@example.com\n", headers={"Content-Type": kind}
        )
        problem(answer, 415)
    for head in ("", "name\n", ",\n", "<html>\n", "PK\x03\x04", '"email\n'):
        problem(
            await rest.admin.post(
                "/contacts/import", content=head + "a@example.com,b\n", headers=_CSV
            ),
            400,
        )
    problem(
        await rest.admin.post("/contacts/import?segment=", content="email\n", headers=_CSV), 422
    )
    foreign = (await rest.stranger.post("/segments", json={"name": "theirs"})).json()["data"]["id"]
    for wrong in (foreign, "%00", "%20"):
        answer = await rest.admin.post(
            f"/contacts/import?segment={wrong}", content="email\na@example.com\n", headers=_CSV
        )
        assert str(problem(answer, 422)["detail"]).startswith("segment: ")
    assert (await rest.admin.get("/contacts")).json()["data"] == []


async def test_at_most_a_hundred_rejected_rows_are_listed(rest: Rest) -> None:
    content = "email\n" + "x\n" * 250
    summary = (await rest.admin.post("/contacts/import", content=content, headers=_CSV)).json()[
        "data"
    ]
    assert (summary["rejected"], len(summary["rejects"]), summary["rejects"][-1]["line"]) == (
        250,
        100,
        101,
    )


async def test_a_file_is_written_while_it_arrives_and_its_length_costs_no_memory(
    rest: Rest,
) -> None:
    """50,000 rows: the sender is never far ahead of the table, so what lies between them stays
    small however long the file is.
    """
    ahead, peak = list[int](), 0

    async def file() -> AsyncIterator[bytes]:
        nonlocal peak
        yield b"externalId,email,firstName,lastName,plan,city\n"
        for start in range(0, 50_000, 500):
            rows = (
                f"{n},u{n}@example.com,First{n},Last{n},pro,Berlin\n"
                for n in range(start, start + 500)
            )
            yield "".join(rows).encode()
            if start % 5_000 == 0:
                ahead.append(
                    start
                    + 500
                    - await sql(rest.world.pool).fetchval("SELECT count(*) FROM contacts")
                )
            if start == 10_000:
                tracemalloc.reset_peak()

    tracemalloc.start(1)
    try:
        answer = await rest.admin.post("/contacts/import?segment=all", content=file(), headers=_CSV)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer.json()["data"]["imported"] == 50_000, answer.text
    assert max(ahead) <= 4 * contact_imports._CHUNK
    assert peak < 40_000_000  # 50,000 rows of Python objects are more


async def test_a_file_over_the_limit_is_refused_whether_it_declares_its_length_or_not(
    rest: Rest,
) -> None:
    limit = rest.services.settings.import_max_bytes
    declared = {**_CSV, "Content-Length": str(limit + 1)}
    found = problem(
        await rest.admin.post("/contacts/import", content="email\n", headers=declared), 413
    )
    assert f"{limit:,}" in str(found["detail"])


async def test_an_upload_that_stops_or_breaks_off_says_so() -> None:
    async def stops() -> AsyncIterator[bytes]:
        yield b"email\n"
        await asyncio.Event().wait()

    async def breaks() -> AsyncIterator[bytes]:
        yield b"email\n"
        raise ClientDisconnect

    for chunks, said in ((stops(), "too slowly"), (breaks(), "broke off")):
        with pytest.raises(MalformedError, match=said):
            await asyncio.to_thread(Upload(chunks, patience=0.05).read)


async def test_an_export_is_neutral_for_spreadsheets_and_can_be_imported_again(rest: Rest) -> None:
    rows = [
        {
            "externalId": "=1+1",
            "email": "a@example.com",
            "firstName": "@SUM(A1)",
            "lastName": "-2",
            "=x": "\tt",
            "n": 5,
        },
        {
            "externalId": "2",
            "phone": "+4930123456",
            "firstName": 'O"Hara, "',
            "more": {"a": [1]},
            "cr": "\rx",
            "plus": "+1",
        },
    ]
    made = (await rest.admin.post("/contacts/bulk?segment=all", json=rows)).json()["data"]
    path = f"/segments/{made['segmentId']}/contacts.csv"
    problem(await rest.of["sender"].get(path), 403)
    answer = await rest.admin.get(path)
    assert (
        answer.headers["content-type"] == "text/csv; charset=utf-8"
        and "attachment" in answer.headers["content-disposition"]
    )
    cells = [cell for line in csv.reader(io.StringIO(answer.text)) for cell in line]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert {
        "'=1+1",
        "'@SUM(A1)",
        "'-2",
        "'\tt",
        "'\rx",
        "'+1",
        "'+4930123456",
        'O"Hara, "',
        '{"a":[1]}',
        "5",
    } <= set(cells)
    again = (await rest.admin.post("/contacts/import", content=answer.text, headers=_CSV)).json()[
        "data"
    ]
    assert (again["imported"], again["updated"], again["rejected"]) == (0, 2, 0)
    first, second = [
        (await rest.admin.get(f"/contacts?search={found}")).json()["data"][0]
        for found in ("a@example.com", "%2B4930123456")
    ]
    assert (first["externalId"], first["firstName"], first["lastName"]) == (
        "=1+1",
        "@SUM(A1)",
        "-2",
    )
    assert first["attributes"] == {"=x": "\tt", "n": "5"}
    assert second["attributes"] == {"cr": "\rx", "plus": "+1", "more": '{"a":[1]}'}
    assert (await rest.admin.get("/contacts?search=%2B4930")).json()["data"][0][
        "phone"
    ] == "+4930123456"


async def test_an_export_reads_page_by_page_and_everybody_once(rest: Rest) -> None:
    content = "externalId\n" + "".join(f"{number}\n" for number in range(4_001))
    segment = (
        await rest.admin.post("/contacts/import?segment=all", content=content, headers=_CSV)
    ).json()["data"]["segmentId"]
    lines = list(
        csv.reader(io.StringIO((await rest.admin.get(f"/segments/{segment}/contacts.csv")).text))
    )
    assert sorted(int(line[1]) for line in lines[1:]) == list(range(4_001))


async def test_an_export_that_has_begun_is_not_refused_for_other_reads(rest: Rest) -> None:
    rows = [{"externalId": f"{number}"} for number in range(2)]
    made = (await rest.admin.post("/contacts/bulk?segment=all", json=rows)).json()["data"]

    class OneRead(Slots):
        """The request itself is the only read that finds a slot."""

        reads = 0

        @asynccontextmanager
        async def slot(self, room: Room, tenant: str) -> AsyncIterator[None]:
            self.reads += room is READS
            if self.reads > 1:
                raise room.refusal()
            async with super().slot(room, tenant):
                yield

    rest.use(slots=OneRead())
    answer = await rest.admin.get(f"/segments/{made['segmentId']}/contacts.csv")
    assert answer.status_code == 200 and answer.text.count("\n") == 3
