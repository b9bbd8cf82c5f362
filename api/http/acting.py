"""Each request begins by acting for no tenant (tables/tenancy): PostgreSQL shows it the rows of one
only once it is known which.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from tables.tenancy import acting


class ForNobodyYet:
    """`auth.caller` says for whom a request with a credential acts, and the routes without one say
    it themselves.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with acting.for_nobody():
            await self._app(scope, receive, send)
