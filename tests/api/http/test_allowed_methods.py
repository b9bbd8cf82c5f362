"""405 names every method of an address, and an address that is spelled out is never an id."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from api.http.allowed_methods import KnownMethods
from tests.api.http.small_app import asked, with_problems


async def _nothing() -> None:
    """Answers null."""


def addressed() -> FastAPI:
    """The same address in several routes, one spelled out beside one with a parameter."""
    app = with_problems()
    app.add_middleware(KnownMethods, routes=app.router.routes)
    for path, methods in (
        ("/things", ["GET"]),
        ("/things", ["POST"]),
        ("/things/{id}", ["GET", "DELETE"]),
        ("/things/import", ["POST"]),
        ("/things/{id}/parts/{part}", ["PUT"]),
        ("/things/{id}/parts/all", ["GET"]),
    ):
        app.add_api_route(path, _nothing, methods=methods)

    async def plain(request: Request) -> PlainTextResponse:
        return PlainTextResponse("plain")

    app.router.routes.append(Route("/plain", plain, methods=["GET"]))
    return app


APP = addressed()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/things", "GET, POST"),
        ("OPTIONS", "/things", "GET, POST"),
        ("HEAD", "/things", "GET, POST"),
        ("POST", "/things/7", "DELETE, GET"),
        ("DELETE", "/things/import", "POST"),
        ("GET", "/things/import", "POST"),
        ("PUT", "/things/7/parts/all", "GET"),
        ("GET", "/things/7/parts/1", "PUT"),
    ],
)
async def test_another_method_answers_405_with_those_that_the_address_knows(
    method: str, path: str, allowed: str
) -> None:
    answer = await asked(APP, method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    if method != "HEAD":
        assert answer.json()["type"] == "urn:campaigns:problem:method-not-allowed"
        assert answer.json()["detail"] == "This address does not know the method."


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/things", 200),
        ("POST", "/things", 200),
        ("DELETE", "/things/7", 200),
        ("POST", "/things/import", 200),
        ("PUT", "/things/7/parts/1", 200),
        ("GET", "/plain", 200),
        ("POST", "/plain", 405),  # as the framework answers for routes that are not the API's
        ("GET", "/things/", 307),  # as the framework answers, which knows the address without it
        ("GET", "/nothing", 404),
    ],
)
async def test_a_known_method_and_an_unknown_address_pass(
    method: str, path: str, status: int
) -> None:
    assert (await asked(APP, method, path)).status_code == status


async def test_routes_may_be_added_until_the_first_request() -> None:
    app = with_problems()
    app.add_middleware(KnownMethods, routes=app.router.routes)
    app.add_api_route("/late", _nothing, methods=["GET"])
    assert (await asked(app, "PUT", "/late")).headers["allow"] == "GET"
