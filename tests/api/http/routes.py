"""Every route of the application, found by walking it, with the role that it asks for; and how to
call one as its documentation says.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from api.http.auth import AtLeast
from tables.tenants.api_keys import ROLES

# What anybody may call, without a key: nothing here shows anything of a tenant. Message ids,
# signatures and the sign-in prove themselves.
PUBLIC = {
    ("GET", "/"),
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/docs/start.js"),
    ("ANY", "/docs/swagger"),
    ("ANY", "/dashboard"),
    ("POST", "/session"),
    ("DELETE", "/session"),
    ("GET", "/t/o/{token}.gif"),
    ("GET", "/t/c/{token}/{link}"),
    ("GET", "/t/d/{message_id}/{seal}"),
    ("GET", "/u/{token}"),
    ("POST", "/u/{token}"),
    ("GET", "/webhooks/whatsapp/{tenant_id}"),
    ("POST", "/webhooks/{provider}/{tenant_id}"),
}


@dataclass(frozen=True)
class Operation:
    """`role` is the lowest that may call it, None when the route declares none. `described` is its
    part of the OpenAPI document.
    """

    method: str
    path: str
    role: str | None
    described: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)

    @property
    def headers(self) -> list[str]:
        """Those that it documents."""
        return [
            one["name"] for one in self.described.get("parameters", ()) if one["in"] == "header"
        ]

    @property
    def content_type(self) -> str:
        """Of the body, empty when there is none."""
        return next(iter(self.described.get("requestBody", {}).get("content", {})), "")

    @property
    def is_endless(self) -> bool:
        return any(
            "text/event-stream" in answer.get("content", {})
            for answer in self.described.get("responses", {}).values()
        )

    def allows(self, role: str) -> bool:
        return self.role is not None and ROLES.index(role) >= ROLES.index(self.role)

    async def call(
        self,
        client: httpx.AsyncClient,
        parameters: Mapping[str, str],
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """With the documented example as the body unless one is given. An event stream that opens
        answers an empty 200.
        """
        url = "http://api" + re.sub(r"{(\w+)}", lambda name: parameters[name[1]], self.path)
        if self.is_endless:
            return await _opened(client, self.method, url, headers)
        needed = {
            one["name"]: "asked by phone"
            for one in self.described.get("parameters", ())
            if one["in"] == "query" and one.get("required")
        }
        content = self._content(body)
        content["headers"] = {**content.get("headers", {}), **(headers or {})}
        return await client.request(self.method, url, params=needed or None, **content)

    def _content(self, body: object) -> dict[str, Any]:
        if not self.content_type:
            return {}
        described = self.described["requestBody"]["content"][self.content_type]
        shown = described.get("example") if body is None else body
        assert shown is not None or not self.described["requestBody"].get("required"), (
            f"{self}: no example of its body"
        )
        if "json" in self.content_type and "ndjson" not in self.content_type:
            return {"json": shown} if shown is not None else {}
        return {"content": shown or "", "headers": {"Content-Type": self.content_type}}


async def _opened(
    client: httpx.AsyncClient, method: str, url: str, headers: Mapping[str, str] | None
) -> httpx.Response:
    """The answer, or an empty 200 as soon as a stream has begun."""
    transport, begun = client._transport, asyncio.Event()
    assert isinstance(transport, httpx.ASGITransport)

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def told(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                begun.set()
            await send(message)

        await transport.app(scope, receive, told)

    watching = httpx.ASGITransport(watched)
    async with httpx.AsyncClient(transport=watching, headers=client.headers) as same:
        asked = asyncio.create_task(same.request(method, url, headers=headers))
        waiting = asyncio.create_task(begun.wait())
        done, _ = await asyncio.wait({asked, waiting}, return_when=asyncio.FIRST_COMPLETED)
        for task in (asked, waiting):
            task.cancel()
        await asyncio.gather(asked, waiting, return_exceptions=True)
        return asked.result() if asked in done else httpx.Response(200)


def operations(app: FastAPI) -> Iterator[Operation]:
    """Every method of every route, mounts included (as `ANY`)."""
    described = app.openapi()["paths"]
    for context in iter_route_contexts(app.routes):
        path, dependant = context.path or "", getattr(context, "dependant", None)
        for method in sorted(set(context.methods or {"ANY"}) - {"HEAD"}):
            roles = list(_roles(dependant)) if dependant else []
            role = max(roles, key=ROLES.index) if roles else None
            yield Operation(method, path, role, described.get(path, {}).get(method.lower(), {}))


def _roles(dependant: Dependant) -> Iterator[str]:
    if isinstance(dependant.call, AtLeast):
        yield dependant.call.role
    for inner in dependant.dependencies:
        yield from _roles(inner)


def guarded(app: FastAPI) -> list[Operation]:
    """Those that ask for a role."""
    return [
        operation
        for operation in operations(app)
        if (operation.method, operation.path) not in PUBLIC
    ]
