"""Files of other systems over REST: mapping, country, warnings, the account of every row, lists of
suppressions, and what an export and an import make of any text.
"""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.campaigns.test_routes import problem
from tests.api.world import Rest

_CSV = {"Content-Type": "text/csv"}


async def imported(rest: Rest, content: str | bytes, **query: Any) -> dict[str, Any]:
    answer = await rest.of["editor"].post(
        "/contacts/import", content=content, headers=_CSV, params=query
    )
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


async def found(rest: Rest, search: str) -> dict[str, Any]:
    (one,) = (await rest.admin.get("/contacts", params={"search": search})).json()["data"]
    person: dict[str, Any] = one
    return person


async def test_nobody_is_lost_for_an_optional_field_and_every_row_is_accounted_for(
    rest: Rest,
) -> None:
    content = (
        "Email Address,First Name,Mobile,Time Zone,Accepts Email Marketing,Notes,Notes,\n"
        "a@x.example,Ana,+49 151 12345678,america_slash_new_york,yes,one,two,\n"
        "b@x.example,Ben,n/a,Berlin,no,,,\n"
        ",,,,,,,\n"
        "   \n"
        ",Nobody,,,,,,\n"
        "c@x.example\n"
        'd@x.example,"unfinished,,,,,,\n'
        "e@x.example,Eve,,,,,,\n"
    )
    done = await imported(rest, content, segment="all")
    counted = {name: done[name] for name in ("imported", "updated", "rejected", "blank", "warned")}
    assert counted == {"imported": 3, "updated": 0, "rejected": 3, "blank": 2, "warned": 2}
    assert [(one["line"], one["reason"].partition(":")[0]) for one in done["rejects"]] == [
        *((6, "row"), (8, "line"), (9, "line")),
    ]
    assert [(one["line"], one["column"]) for one in done["warnings"]] == [
        *((3, "Mobile"), (3, "Time Zone")),
    ]
    assert {one["column"]: one["field"] for one in done["columns"]} == {
        "Email Address": "email",
        "First Name": "firstName",
        "Mobile": "phone",
        "Time Zone": "timeZone",
        "Accepts Email Marketing": "attributes.Accepts Email Marketing",
        "Notes": "attributes.Notes 2",
        "": None,
    }
    assert len(done["notes"]) == 1 and "Accepts Email Marketing" in done["notes"][0]
    ana, ben = await found(rest, "a@x"), await found(rest, "b@x")
    assert (ana["phone"], ana["timeZone"]) == ("+4915112345678", "America/New_York")
    assert (ben["firstName"], ben["phone"], ben["timeZone"]) == ("Ben", None, None)


async def test_columns_are_mapped_and_national_numbers_have_a_country(rest: Rest) -> None:
    content = "Nr;E-Post;Telefon;Ref;Weg\n17;A@x.example;0151 12345678;B-7;x\n"
    mapping = ["Nr=externalId", "E-Post=email", "Ref=attributes.reference", "Weg="]
    done = await imported(rest, content, map=mapping, country="DE")
    assert done["imported"] == 1
    person = await found(rest, "a@x")
    assert (person["externalId"], person["phone"]) == ("17", "+4915112345678")
    assert person["attributes"] == {"reference": "B-7"}
    for query, named in (
        ({"map": "Nr"}, "map: needs COLUMN=FIELD"),
        ({"map": "Nr=number"}, "map: a field is"),
        ({"map": "Nummer=externalId"}, "map: the file has no column nummer"),
        ({"country": "XX"}, "country: not a country"),
        ({"country": "de"}, "country"),
    ):
        answer = await rest.admin.post(
            "/contacts/import", content=content, headers=_CSV, params=query
        )
        assert named in str(problem(answer, 422)["detail"])
    ndjson = {"Content-Type": "application/x-ndjson"}
    answer = await rest.admin.post(
        "/contacts/import", content="{}", headers=ndjson, params={"map": "a=email"}
    )
    assert "only a CSV has columns" in str(problem(answer, 422)["detail"])


async def test_another_system_s_ids_are_external_ids(rest: Rest) -> None:
    assert (await imported(rest, "id,email\n1,a@x.example\n2,b@x.example\n"))["imported"] == 2
    assert (await found(rest, "a@x"))["externalId"] == "1"
    assert (await imported(rest, "id,email\n1,new@x.example\n"))["updated"] == 1
    assert (await found(rest, "new@x"))["externalId"] == "1"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"PK\x03\x04xl/workbook.xml", "Excel workbook (XLSX)"),
        (b"<!doctype html><h1>502 Bad Gateway</h1>", "HTML"),
        (b"email:name\na@b.c:x\n", "separated by ':'"),
        (b"ana@x.example,Ana\nbob@x.example,Bob\n", "no header"),
        (b"E-Mail;Stra\xdfe\na@x.example;x\n", "windows-1252"),
        (b'[{"email": "a@x.example"}]', "JSON, not CSV"),
        (b"BEGIN:VCARD\r\n", "vCards"),
        ("email\n".encode("utf-32"), "UTF-32"),
    ],
)
async def test_a_file_that_is_no_csv_is_named(rest: Rest, content: bytes, named: str) -> None:
    answer = await rest.admin.post("/contacts/import", content=content, headers=_CSV)
    assert named in str(problem(answer, 400)["detail"])


async def test_utf_16_and_ndjson_that_is_something_else(rest: Rest) -> None:
    content = "email\tfirstName\r\na@x.example\tJos\u00e9\r\n".encode("utf-16")
    assert (await imported(rest, content))["imported"] == 1
    assert (await found(rest, "a@x"))["firstName"] == "Jos\u00e9"
    ndjson = {"Content-Type": "application/x-ndjson"}
    for text, named in (('[{"email":"a@x.example"}]', "array"), ('{\n "a": 1\n}', "several lines")):
        answer = await rest.admin.post("/contacts/import", content=text, headers=ndjson)
        assert named in str(problem(answer, 400)["detail"])


async def test_names_are_found_in_either_spelling(rest: Rest) -> None:
    composed, decomposed = "Jos\u00e9", "Jose\u0301"
    for number, name in enumerate((composed, decomposed)):
        written = {"email": f"p{number}@x.example", "firstName": name, "lastName": name}
        assert (await rest.admin.post("/contacts", json=written)).status_code == 201
    for search in (composed, decomposed, "JOSE\u0301"):
        answer = await rest.admin.get("/contacts", params={"search": search})
        assert len(answer.json()["data"]) == 2
    assert (await rest.admin.post("/segments", json={"name": decomposed})).status_code == 201
    problem(await rest.admin.post("/segments", json={"name": composed}), 409)
    for search in (composed, decomposed):
        answer = await rest.admin.get("/segments", params={"search": search})
        assert [one["name"] for one in answer.json()["data"]] == [composed]
    done = await imported(rest, "email\na@x.example\n", segment=decomposed)
    assert done["segmentId"] == answer.json()["data"][0]["id"]


async def test_a_list_of_people_who_said_no_becomes_suppressions(rest: Rest) -> None:
    content = (
        "Email Address,First Name,UNSUB_TIME,UNSUB_REASON\n"
        "Bob@X.example,Bob,2026-01-28 08:55:12,NORMAL\n"
        "nope,Ann,2026-01-28 08:55:12,NORMAL\n\n"
    )

    async def suppressed(client: str, content: str, **query: str) -> Any:
        return await rest.of[client].post(
            "/suppressions/import", content=content, headers=_CSV, params=query
        )

    problem(await suppressed("viewer", content), 403)
    answer = await suppressed("editor", content)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == {
        "added": 1,
        "existing": 0,
        "rejected": 1,
        "rejects": [{"line": 3, "reason": "address: email: not a valid address"}],
        "blank": 1,
    }
    (one,) = (await rest.admin.get("/suppressions?address=bob@x.example")).json()["data"]
    assert (one["channel"], one["reason"]) == ("email", "unsubscribed")
    again = await suppressed("editor", content)
    assert (again.json()["data"]["added"], again.json()["data"]["existing"]) == (0, 1)
    numbers = "Handy\n0151 12345678\n"
    answer = await suppressed("editor", numbers, channel="whatsapp", country="DE", reason="asked")
    assert answer.json()["data"]["added"] == 1
    (one,) = (await rest.admin.get("/suppressions?channel=whatsapp")).json()["data"]
    assert (one["address"], one["reason"]) == ("+4915112345678", "asked")
    for query in ({"channel": "fax"}, {"reason": ""}, {"country": "ZZ"}):
        problem(await suppressed("editor", content, **query), 422)
    problem(await suppressed("editor", "name\nBob\n"), 400)
    ndjson = {"Content-Type": "application/x-ndjson"}
    problem(await rest.admin.post("/suppressions/import", content="{}", headers=ndjson), 415)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
FORMULAS = st.text("'=+-@\t\r\n ,;\"a5", max_size=6)
CELLS = (TEXTS | FORMULAS).filter(str.strip)
PEOPLE = st.lists(
    st.fixed_dictionaries(
        {"firstName": CELLS, "lastName": CELLS, "externalId": CELLS},
        optional={"attributes": st.dictionaries(TEXTS | FORMULAS, CELLS, max_size=3)},
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda person: str(person["externalId"]).strip(),
)


@given(people=PEOPLE)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
async def test_what_is_exported_is_imported_as_it_was(rest: Rest, people: list[Any]) -> None:
    """For every column and any text; attributes are texts here, for CSV knows no other values."""
    answer = await rest.admin.post("/contacts/bulk?segment=round", json=people)
    segment = answer.json()["data"]["segmentId"]
    path = f"/segments/{segment}"
    before = (await rest.admin.get(f"{path}/members")).json()["data"]
    exported = (await rest.admin.get(f"{path}/contacts.csv")).text
    assert not [
        cell
        for row in csv.reader(io.StringIO(exported, newline=""))
        for cell in row
        if cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    ]
    done = await imported(rest, exported.encode())
    assert (done["updated"], done["rejected"], done["warned"]) == (len(before), 0, 0)
    after = (await rest.admin.get(f"{path}/members")).json()["data"]
    assert [{**one, "updatedAt": 0} for one in after] == [{**one, "updatedAt": 0} for one in before]
    for one in before:
        assert (await rest.admin.delete(f"/contacts/{one['id']}")).status_code == 204
    assert (await imported(rest, exported.encode()))["imported"] == len(before)
    fields = ("externalId", "firstName", "lastName", "attributes")
    listed = [await found_by_id(rest, one["id"]) for one in before]
    assert [[one[name] for name in fields] for one in listed] == [
        [one[name] for name in fields] for one in before
    ]
    for one in before:
        await rest.admin.delete(f"/contacts/{one['id']}")


async def found_by_id(rest: Rest, contact_id: str) -> dict[str, Any]:
    person: dict[str, Any] = (await rest.admin.get(f"/contacts/{contact_id}")).json()["data"]
    return person
