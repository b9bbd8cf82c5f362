"""While PostgreSQL and Kafka do not fit nothing is taken, and whoever asks is told to come back.

That a process does so, and opens by itself once they fit again: tests/stacks/test_restore.py.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from api import closed
from api.app import create_app
from streams.settings import Settings
from tests.api.http.routes import operations

_ONE_CLICK = {"List-Unsubscribe": "One-Click"}  # RFC 8058, section 3.1
_PUBLIC = {"/livez": 200, "/t/o/x.gif": 200}


@pytest.fixture
async def caller() -> AsyncIterator[httpx.AsyncClient]:
    app = closed.create_app(_settings(), lambda _: "PostgreSQL went back", lambda: None)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://api"
    ) as client:
        yield client


def _settings() -> Settings:
    keys = (SecretStr("00" * 32),)
    return Settings(kafka="127.0.0.1:1", postgres="", nats="", message_keys=keys)


def _calls(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Every method and address of the application, and some that it does not have."""
    for it in operations(app):
        method = "GET" if it.method == "ANY" else it.method
        yield method, re.sub(r"{\w+}", "x", it.path)
    yield from (("GET", "/nothing"), ("OPTIONS", "/api/v1/campaigns"), ("GET", "/dashboard/app.js"))


async def test_every_address_answers_that_it_is_to_be_asked_again(
    caller: httpx.AsyncClient,
) -> None:
    calls = set(_calls(create_app(_settings())))
    assert {("POST", "/u/x"), ("POST", "/webhooks/x/x"), ("GET", "/api/v1/campaigns")} <= calls
    for method, path in sorted(calls):
        answer = await caller.request(method, path)
        assert answer.status_code == _PUBLIC.get(path, 503), (method, path)
        if answer.status_code == 503 and path != "/readyz":
            assert int(answer.headers["retry-after"]) >= 1, (method, path)
        assert answer.headers["x-content-type-options"] == "nosniff", (method, path)
        assert "went back" not in answer.text, "what is wrong is the operator's to know"


async def test_a_person_who_says_no_reads_that_it_is_not_kept_and_has_no_button(
    caller: httpx.AsyncClient,
) -> None:
    for answer in (
        await caller.get("/u/x"),
        await caller.post("/u/x"),
        await caller.post("/u/x", data=_ONE_CLICK),
    ):
        assert answer.status_code == 503 and answer.headers["retry-after"] == "60"
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["cache-control"] == "no-store"
        assert "try again" in answer.text and "no more" not in answer.text
        assert "<form" not in answer.text


async def test_a_program_reads_a_problem_document(caller: httpx.AsyncClient) -> None:
    answer = await caller.post("/api/v1/campaigns", json={})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:campaigns:problem:mismatch"
    assert (await caller.get("/readyz")).json() == {
        "ready": False,
        "parts": {"installation": False},
    }
