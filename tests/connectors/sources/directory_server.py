"""A company's own segment, contact and template service on a real port, which can be slow, broken
or away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.local.engines.engine import free_port
from tests.eventually import eventually


@dataclass
class DirectoryServer:
    """`calls` are the requests that came; each takes one of `answers` (a status, or seconds to wait
    before a right answer) as long as there are some. `members` by segment, in pages of `page`.
    """

    port: int = field(default_factory=free_port)
    page: int = 2
    segments: dict[str, str] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    contacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: list[int | float | bytes] = field(default_factory=list)
    calls: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def segment(self, request: Request) -> Response:
        name = self.segments.get(segment_id := request.path_params["id"])
        return await self._answer(
            request, None if name is None else {"id": segment_id, "name": name}
        )

    async def contacts_of(self, request: Request) -> Response:
        members, start = (
            self.members.get(request.path_params["id"]),
            int(request.query_params.get("cursor", "0")),
        )
        if members is None:
            return await self._answer(request, None)
        stop = start + self.page
        return await self._answer(
            request,
            {
                "contactIds": members[start:stop],
                "nextCursor": str(stop) if stop < len(members) else None,
            },
        )

    async def batch(self, request: Request) -> Response:
        body = await request.json()
        return await self._answer(
            request,
            {"contacts": [self.contacts[each] for each in body["ids"] if each in self.contacts]},
        )

    async def template(self, request: Request) -> Response:
        return await self._answer(request, self.templates.get(request.path_params["id"]))

    async def _answer(self, request: Request, right: dict[str, Any] | None) -> Response:
        self.calls.append(
            (request.method, request.url.path, request.headers.get("authorization", ""))
        )
        match self.answers.pop(0) if self.answers else None:
            case int(status):
                return Response(status_code=status)
            case float(seconds):
                await asyncio.sleep(seconds)
            case bytes(content):
                return Response(content)
        return JSONResponse(right) if right is not None else Response(status_code=404)

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        """It can be started again on the same port."""
        routes = [
            Route("/v1/segments/{id}", self.segment),
            Route("/v1/segments/{id}/contacts", self.contacts_of),
            Route("/v1/contacts/batch", self.batch, methods=["POST"]),
            Route("/v1/templates/{id}", self.template),
        ]
        server = uvicorn.Server(
            uvicorn.Config(
                Starlette(routes=routes), port=self.port, log_config=None, lifespan="off"
            )
        )
        server.config.load()
        serving = asyncio.create_task(server.serve())
        await eventually(lambda: server.started)
        try:
            yield
        finally:
            server.should_exit = True
            await serving
