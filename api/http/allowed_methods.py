"""Which methods an address knows: 405 lists all of them, and an address that is spelled out is
never taken for an id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.problems import METHOD_NOT_ALLOWED, problem


@dataclass(frozen=True)
class Address:
    """A path with parameters and every method of its routes."""

    pattern: re.Pattern[str]
    parameters: int
    methods: frozenset[str]


class KnownMethods:
    """Answers 405 before a route is looked for. The framework would name the methods of one route
    only, and `DELETE /contacts/import` would delete the contact `import`.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        """`routes` may grow until the first request."""
        self._app, self._routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = self._known(scope["path"]) if scope["type"] == "http" else None
        if known is None or scope["method"] in known:
            return await self._app(scope, receive, send)
        headers = {"Allow": ", ".join(sorted(known))}
        answer = problem(
            Request(scope), 405, METHOD_NOT_ALLOWED, code="method-not-allowed", headers=headers
        )
        return await answer(scope, receive, send)

    def _known(self, path: str) -> frozenset[str] | None:
        found = [address for address in self._addresses if address.pattern.match(path)]
        return min(found, key=lambda address: address.parameters).methods if found else None

    @cached_property
    def _addresses(self) -> list[Address]:
        methods = dict[str, set[str]]()
        patterns = dict[str, re.Pattern[str]]()
        for path, pattern, one in _routes(self._routes):
            methods.setdefault(path, set()).update(one)
            patterns[path] = pattern
        return [
            Address(patterns[path], path.count("{"), frozenset(found))
            for path, found in methods.items()
        ]


def _routes(routes: Sequence[BaseRoute]) -> Iterator[tuple[str, re.Pattern[str], set[str]]]:
    """Those of the API. The plain routes of webhooks overlap on purpose: one provider's GET, every
    provider's POST.
    """
    for context in iter_route_contexts(routes):
        if isinstance(context.original_route, APIRoute) and context.path and context.methods:
            yield context.path, context.path_regex, context.methods
