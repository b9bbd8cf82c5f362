"""Bodies are JSON in the strict sense, and what is not says why."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, FastAPI
from hypothesis import given
from hypothesis import strategies as st

from api.http.json_bodies import JsonRoute
from tests.api.http.small_app import asked, with_problems

JSON = {"content-type": "application/json"}


def echoing() -> FastAPI:
    """Answers the body that it was sent."""
    router = APIRouter(route_class=JsonRoute)

    @router.post("/")
    async def echo(body: Annotated[Any, Body()] = None) -> Any:
        return {"body": body}

    @router.post("/nothing")
    async def nothing() -> Any:
        return {}

    app = with_problems()
    app.include_router(router)
    return app


APP = echoing()
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=4), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@given(values)
async def test_every_value_of_json_arrives_as_it_was_sent(value: object) -> None:
    answer = await asked(APP, "POST", "/", json.dumps(value).encode(), JSON)
    assert (answer.status_code, answer.json()) == (200, {"body": value})


@given(st.binary(min_size=1, max_size=30))
async def test_no_bytes_are_a_bug(content: bytes) -> None:
    answer = await asked(APP, "POST", "/", content, JSON)
    assert answer.status_code in (200, 400)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"a": 1', "input data was truncated"),
        (b"\xff", "invalid character"),
        (b'"\xff"', "it is not utf-8"),
        (b"NaN", "invalid character"),
        (b'{"a": Infinity}', "invalid character"),
        (b'{"a": 1e999}', "number out of range"),
        (b'"\\ud800abcdef"', "unexpected end of escaped utf-16 surrogate pair"),
        (b'{"a": 1, "a": 2}', "a name occurs twice in an object"),
        (b'{"a": 1, "\\u0061": 2}', "a name occurs twice in an object"),
        (b'[{"b": {"a": 1, "a": 1}}]', "a name occurs twice in an object"),
        (b"{} {}", "trailing characters"),
    ],
)
async def test_what_is_no_json_is_told_why(content: bytes, why: str) -> None:
    answer = await asked(APP, "POST", "/", content, JSON)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:campaigns:problem:malformed")
    assert answer.json()["detail"].lower().startswith(f"the body is not json: {why}")


async def test_a_body_that_is_nested_without_end_is_refused() -> None:
    answer = await asked(APP, "POST", "/", b"[" * 50_000 + b"]" * 50_000, JSON)
    assert answer.json()["detail"] == "The body is not JSON: it is nested too deep."


@pytest.mark.parametrize(("members", "status"), [(10_000, 200), (10_001, 400)])
async def test_an_object_has_at_most_ten_thousand_members(members: int, status: int) -> None:
    content = json.dumps({str(number): 0 for number in range(members)}).encode()
    answer = await asked(APP, "POST", "/", content, JSON)
    assert answer.status_code == status
    assert status == 200 or "more than 10,000 members" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("kind", "is_json"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        (" Application/JSON ;x", True),
        ("application/merge-patch+json", True),
        ("text/json", False),
        ("image/svg+json", False),
        ("application/jsonl", False),
        ("application/xml", False),
        ("", False),
    ],
)
async def test_the_content_type_says_that_it_is_json(kind: str, is_json: bool) -> None:
    answer = await asked(APP, "POST", "/", b"{}", {"content-type": kind})
    assert answer.status_code == (200 if is_json else 415)
    if not is_json:
        assert answer.json()["type"] == "urn:campaigns:problem:unsupported-content-type"
        assert answer.json()["detail"] == "Send the body as Content-Type: application/json."


async def test_no_body_needs_no_content_type() -> None:
    assert (await asked(APP, "POST", "/")).json() == {"body": None}


async def test_a_route_that_takes_no_body_does_not_read_one() -> None:
    answer = await asked(APP, "POST", "/nothing", b"{", {"content-type": "text/plain"})
    assert answer.status_code == 200
