"""The headers of every answer: each route that there is, each kind of refusal and of page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import SecretStr
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from api.app import create_app
from api.http.browsers.headers import AnswerHeaders
from api.http.limits import MAX_BODY
from streams.errors import DependencyDownError
from streams.settings import Settings
from tests.api.http.routes import Operation, operations
from tests.api.http.small_app import asked
from tests.api.http.test_authorization import things
from tests.api.world import Rest

EVERYWHERE = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
TENANTS = {
    **EVERYWHERE,
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": (
        "default-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
}
# of addresses that show nothing of a tenant: what is different there
_OTHERWISE: Mapping[str, Mapping[str, str]] = {
    "/t/o/": {"cross-origin-resource-policy": "cross-origin"},
    "/t/c/": {"cross-origin-resource-policy": "cross-origin"},
    "/t/d/": {"cross-origin-resource-policy": "cross-origin"},
    "/u/": {"cross-origin-opener-policy": "same-origin"},
    "/dashboard": {"cache-control": "no-cache"},
    "/docs/": {"cache-control": "no-cache"},
}
_HTTPS_ONLY = "strict-transport-security"


def expected(path: str) -> dict[str, str]:
    for prefix, headers in _OTHERWISE.items():
        if path.startswith(prefix):
            policy = {"content-security-policy": TENANTS["content-security-policy"]}
            is_file = headers.get("cache-control") == "no-cache"
            own = {name: text for name, text in TENANTS.items() if name not in policy}
            return {**own, **headers, **(policy if is_file else {})}
    if path in ("/", "/docs"):
        own = {name: text for name, text in TENANTS.items() if name != "content-security-policy"}
        return {**own, "cross-origin-opener-policy": "same-origin"}
    return TENANTS


def check(answer: httpx.Response, path: str, what: object) -> None:
    for name, text in expected(path).items():
        assert answer.headers.get_list(name) == [text], (what, name)
    assert _HTTPS_ONLY not in answer.headers, what


_PUBLIC_PATHS = {
    "/docs/swagger": "/docs/swagger/swagger-ui.css",
    "/dashboard": "/dashboard/app.js",
}


async def calls(
    rest: Rest, operation: Operation, ids: Mapping[str, str]
) -> AsyncIterator[httpx.Response]:
    """What a route answers to an admin, to a caller without a key and to nonsense."""
    parameters = {
        **{name: str(uuid4()) for name in operation.parameters},
        "provider": "sendgrid",
        "tenant_id": "acme",
        **ids,
    }
    if operation.method == "ANY":
        path = _PUBLIC_PATHS[operation.path]
        for one in (path, f"{operation.path}/nothing", f"{path}?x=1"):
            yield await rest.nobody.get(f"http://api{one}")
        return
    for caller in (rest.admin, rest.nobody):
        answer = await operation.call(caller, parameters)
        if not operation.is_endless or answer.status_code != 200:  # a stream has its own test
            yield answer
    nonsense = dict.fromkeys(parameters, "%00")
    yield await operation.call(rest.nobody, {**nonsense, "tenant_id": "%00"})


async def test_every_answer_of_every_route_has_the_headers_of_its_kind(rest: Rest) -> None:
    found, ids = set[int](), await things(rest.admin)
    for operation in operations(rest.app):
        async for answer in calls(rest, operation, ids):
            found.add(answer.status_code)
            check(answer, answer.request.url.path, (str(operation), answer.status_code))
    assert {200, 201, 204, 401, 404, 422} <= found


def refusals() -> Iterator[tuple[str, str, int, dict[str, object]]]:
    """(method, path, status, more of the request)"""
    yield "GET", "/nowhere", 404, {}
    yield "PUT", "/api/v1/campaigns", 405, {}
    yield "POST", "/t/o/x.gif", 405, {}
    yield "DELETE", f"/u/{uuid4()}", 405, {}
    yield "POST", "/session", 413, {"content": b" " * (MAX_BODY + 1)}
    json = {"Content-Type": "application/json", "X-Requested-With": "dashboard"}
    yield "POST", "/session", 413, {"content": _endless(), "headers": json}
    yield "GET", "/api/v1/campaigns?" + "x" * 9_000, 414, {}
    yield "GET", "/u/" + "x" * 9_000, 414, {}
    yield "POST", "/session", 415, {"content": b"x", "headers": {"Content-Type": "text/plain"}}
    yield "GET", "/readyz", 503, {}
    yield "GET", f"/u/{uuid4()}", 404, {}
    yield "GET", f"/t/c/{uuid4()}/0", 404, {}
    yield "GET", f"/t/d/{uuid4()}/0?u=https%3A%2F%2Fevil.example", 404, {}
    yield "GET", f"/t/o/{uuid4()}.gif", 200, {}
    yield "GET", "/dashboard/../../etc/passwd", 404, {}
    yield "GET", "/docs/swagger/nothing.js", 404, {}


async def _endless() -> AsyncIterator[bytes]:
    for _ in range(MAX_BODY // 65_536 + 2):
        yield b"x" * 65_536


async def test_every_refusal_has_the_headers_whoever_makes_it(rest: Rest) -> None:
    for method, path, status, more in refusals():
        answer = await rest.nobody.request(method, f"http://api{path}", **more)  # type: ignore[arg-type]
        assert answer.status_code == status, (method, path[:80], answer.text[:200])
        check(answer, answer.request.url.path, (method, path[:80]))


@pytest.mark.parametrize("is_https", [False, True])
async def test_only_over_https_browsers_are_told_to_stay_there(
    database: str, is_https: bool
) -> None:
    url = "https://campaigns.example" if is_https else "http://127.0.0.1:8080"
    app = create_app(nowhere(database, public_url=url))
    for path in ("/", "/livez", "/nowhere", "/t/o/x.gif", "/dashboard/app.js", "/docs"):
        if path == "/t/o/x.gif":
            continue  # needs what the lifespan opens; its table is the same
        answer = await asked(app, "GET", path)
        assert (_HTTPS_ONLY in answer.headers) is is_https, path
    if is_https:
        assert answer.headers[_HTTPS_ONLY] == "max-age=31536000"


def nowhere(database: str = "", **more: str) -> Settings:
    keys = (SecretStr("00" * 32),)
    servers = {"kafka": "127.0.0.1:1", "nats": "nats://127.0.0.1:1", "postgres": database}
    return Settings.model_validate({**servers, "message_keys": keys, **more})


async def test_a_bug_and_a_dependency_that_is_down_answer_with_the_headers_too() -> None:
    app = create_app(nowhere())

    @app.get("/api/v1/bug", tags=["planted"])
    async def bug() -> Response:
        raise ZeroDivisionError

    @app.get("/api/v1/down", tags=["planted"])
    async def down() -> Response:
        raise DependencyDownError("Kafka does not answer.")

    for path, status in (("/api/v1/bug", 500), ("/api/v1/down", 503)):
        answer = await asked(app, "GET", path)
        assert answer.status_code == status
        check(answer, path, path)


async def test_an_event_stream_is_not_stored_and_not_cut_into_pieces() -> None:
    """The framework says no-cache, which lets a cache keep it."""
    app = FastAPI()

    @app.get("/api/v1/events", response_class=EventSourceResponse)
    async def events(request: Request) -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent(raw_data="x", event="campaigns")

    answer = await asked(AnswerHeaders(app, is_https=False), "GET", "/api/v1/events")
    assert answer.text.startswith("event: campaigns")
    check(answer, "/api/v1/events", "a stream")


async def test_a_file_that_has_not_changed_is_not_sent_again(rest: Rest) -> None:
    for path in ("/dashboard/app.js", "/docs/swagger/swagger-ui.css", "/docs/start.js"):
        first = await rest.nobody.get(f"http://api{path}")
        again = {"If-None-Match": first.headers["etag"]}
        second = await rest.nobody.get(f"http://api{path}", headers=again)
        assert second.status_code in (304, 200), path
        check(second, path, path)
        assert second.status_code == 304 or path == "/docs/start.js"


@pytest.mark.parametrize("path", ["/t/o/x.gif", "/dashboard/x", "/", "/docs", "/u/x"])
async def test_what_a_public_route_says_itself_stays(path: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        own = {"Cache-Control": "public, max-age=60", "Content-Security-Policy": "sandbox"}
        await PlainTextResponse("x", headers=own)(scope, receive, send)

    answer = await asked(AnswerHeaders(app, is_https=False), "GET", path)
    assert answer.headers.get_list("cache-control") == ["public, max-age=60"]
    assert answer.headers.get_list("content-security-policy") == ["sandbox"]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_what_is_no_request_passes_as_it_is() -> None:
    passed = list[str]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append(scope["type"])

    async def nothing(*_: object) -> None:
        raise AssertionError

    await AnswerHeaders(app, is_https=True)({"type": "lifespan"}, nothing, nothing)  # type: ignore[arg-type]
    assert passed == ["lifespan"]
