"""The conditions of a request: checked where there is a version, refused where there is none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.http.preconditions.entity_tags import TagList, row_tag, tag_list
from streams.errors import PreconditionFailedError, stale
from tables.models import Base

IF_MATCH, IF_NONE_MATCH = "If-Match", "If-None-Match"
_READS = ("GET", "HEAD")
_TAG = r'(W/)?"[!#-~]{0,100}"'
_LISTED = {"pattern": rf"^(\*|{_TAG}(, {_TAG})*)$"}
_STILL = "tags, one of which must be the current ETag, else 412; * = whatever it is"
_NOT_YET = "* = only if it is not there yet, else 412"
_KNOWN = "ETags that the caller has: 304 when one of them is the current one"


class Conditions:
    """The conditions of one request, and the ETag of its answer.

    A writing route calls `check` before it changes a row, in the transaction of the change, and
    `tag` with the row afterwards. A reading route calls `show`.
    """

    def __init__(self, request: Request, response: Response, *, is_whole: bool = False) -> None:
        """`is_whole`: the route's answer holds nothing that changes without the tag, so a caller
        who has it may be told 304. Raises MalformedError for a header that cannot be read.
        """
        self._response, self._is_whole = response, is_whole
        self.if_match = _named(request, IF_MATCH)
        self.if_none_match = _named(request, IF_NONE_MATCH)

    async def check(self, locked: Callable[[], Awaitable[Base | None]]) -> None:
        """Compare with the row that `locked` reads and keeps others from changing until the
        transaction ends; None when there is none. Reads nothing without a condition.

        Raises PreconditionFailedError.
        """
        if self.if_match is not None or self.if_none_match is not None:
            row = await locked()
            current = None if row is None else row_tag(row)
            self._check_match(current)
            if self.if_none_match is not None and self.if_none_match.holds_weakly(current):
                raise stale(current, f"{IF_NONE_MATCH} names {self.if_none_match}.")

    def versions(self) -> frozenset[int] | None:
        """The versions of a campaign that `If-Match` allows; None for any. The command compares
        them. Raises PreconditionFailedError for a condition that it does not know.
        """
        if self.if_none_match is not None:
            raise PreconditionFailedError(
                f"A campaign that is changed has an ETag, so {IF_NONE_MATCH} cannot hold;"
                f" {IF_MATCH} is what protects a change."
            )
        if self.if_match is None or self.if_match.is_any:
            return None
        return self.if_match.versions

    def tag(self, row: Base) -> None:
        """Put the ETag of a row that has been written into the answer."""
        self._response.headers["ETag"] = row_tag(row)

    def show(self, current: str) -> None:
        """Put the ETag of what is read into the answer. Raises PreconditionFailedError and
        NotModifiedError.
        """
        self._check_match(current)
        known = self.if_none_match
        if self._is_whole and known is not None and known.holds_weakly(current):
            raise NotModifiedError(current)
        self._response.headers["ETag"] = current

    def _check_match(self, current: str | None) -> None:
        if self.if_match is not None and not self.if_match.holds(current):
            raise stale(current, f"{IF_MATCH} names {self.if_match}.")


class NotModifiedError(Exception):
    """The caller has what it asks for: 304 without a body."""

    def __init__(self, current: str) -> None:
        super().__init__(current)
        self.current = current


def _named(request: Request, name: str) -> TagList | None:
    return tag_list(name, request.headers.getlist(name))


IfMatch = Annotated[
    str | None, Header(alias=IF_MATCH, description=_STILL, json_schema_extra=_LISTED)
]
IfNoneMatch = Annotated[
    str | None, Header(alias=IF_NONE_MATCH, description=_KNOWN, json_schema_extra=_LISTED)
]
IfNotThere = Annotated[
    str | None, Header(alias=IF_NONE_MATCH, description=_NOT_YET, json_schema_extra=_LISTED)
]


# The headers are parameters for the documentation only: a header may have several lines, of which
# the framework would see one.
async def _made(request: Request, response: Response) -> Conditions:
    return Conditions(request, response)


async def _edited(request: Request, response: Response, _match: IfMatch = None) -> Conditions:
    return Conditions(request, response)


async def _put(
    request: Request,
    response: Response,
    _match: IfMatch = None,
    _none_match: IfNotThere = None,
) -> Conditions:
    return Conditions(request, response)


async def _shown(request: Request, response: Response) -> Conditions:
    return Conditions(request, response)


async def _shown_whole(
    request: Request, response: Response, _none_match: IfNoneMatch = None
) -> Conditions:
    return Conditions(request, response, is_whole=True)


#: Of a route that makes something: there is nothing to compare with, so conditions are refused.
ToMake = Annotated[Conditions, Depends(_made)]
#: Of a route that changes or removes what is there.
ToEdit = Annotated[Conditions, Depends(_edited)]
#: Of a route that makes or replaces.
ToPut = Annotated[Conditions, Depends(_put)]
#: Of a route that shows something with figures beside it, which change without its tag.
ToShow = Annotated[Conditions, Depends(_shown)]
#: Of a route whose whole answer has the tag.
ToShowWhole = Annotated[Conditions, Depends(_shown_whole)]

_CHECKED = frozenset([_edited, _put, _shown, _shown_whole])
_TAGGED = _CHECKED | {_made}


async def unconditional(request: Request) -> None:
    """A dependency of all routes. Raises PreconditionFailedError for a condition that the route
    does not check: ignored, it would let an edit through that the caller wanted to be refused.
    """
    names = [IF_MATCH] if request.method in _READS else [IF_MATCH, IF_NONE_MATCH]
    for name in names:
        if name in request.headers and not checks_conditions(request.scope["route"]):
            raise PreconditionFailedError(
                f"There is no version to compare {name} with at this address;"
                f" send the request without {name}."
            )


def checks_conditions(route: APIRoute) -> bool:
    """Whether the route compares the conditions of a request with an ETag."""
    return not _CHECKED.isdisjoint(_calls(route.dependant))


def is_tagged(route: APIRoute) -> bool:
    """Whether the answers of the route have an ETag."""
    return not _TAGGED.isdisjoint(_calls(route.dependant))


def _calls(dependant: Dependant) -> Iterator[object]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)


def install(app: FastAPI) -> None:
    """Registers the answer to a caller that has what it asks for."""

    @app.exception_handler(NotModifiedError)
    async def _not_modified(_request: Request, error: NotModifiedError) -> Response:
        return Response(status_code=304, headers={"ETag": error.current})
