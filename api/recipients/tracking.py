"""The pixel, the links and the unsubscribe page of a message, which recipients load. A token in the
path, which only the recipient's message holds, is the only key (streams/records/link_tokens.py).

Campaigns that started before there were tokens have sent links with their message ids, and for
these campaigns alone message ids are taken in place of tokens.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import OrderedDict
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.http.dependencies import Services, services_of
from api.limits.addresses import UNSUBSCRIBES, Attempts
from api.recipients import pages
from api.recipients.callers import Machines
from api.recipients.inbound import row_of
from api.recipients.known_campaigns import KnownCampaigns
from api.recipients.repeats import Repeats
from connectors.messages import content as templates
from connectors.templates.seals import LinkSeals
from streams import metrics
from streams.contracts.envelope import rfc3339
from streams.errors import DependencyDownError, NotFoundError, RateLimitedError
from streams.exactly_once.crash_points import crash_point
from streams.records.link_tokens import LinkTokens, Purpose
from streams.records.message_id import (
    TESTS,
    InvalidMessageIdError,
    MessageIds,
    Recipient,
    UnknownKeyError,
    campaign_number,
    is_test,
)
from streams.records.reported_events import Details, Incoming, IncomingType
from streams.settings import Settings
from tables.campaigns.numbers import NumberedCampaign
from tables.directory.opt_ins import keep_recipients
from tables.directory.reported import suppress_recipients
from tables.tenancy.acting import act_for

_MESSAGE_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_LINK = re.compile(r"[0-9]{1,6}")
_CACHED = 2_000  # campaigns; their links only
_log = logging.getLogger(__name__)


class Tracking:
    """The routes that recipients call; keeps the numbers and links of the campaigns they name."""

    def __init__(self, settings: Settings) -> None:
        self._public_url = settings.public_url
        self._ids, self._machines = MessageIds.of(settings), Machines(settings)
        self._seals, self._tokens = LinkSeals.of(settings), LinkTokens.of(settings)
        self._campaigns, self._repeats = KnownCampaigns(), Repeats(settings.machine_window)
        self._unsubscribes = Attempts(UNSUBSCRIBES)
        self._links: OrderedDict[int, tuple[str, ...]] = OrderedDict()
        self._loading: dict[int, asyncio.Task[tuple[str, ...]]] = {}

    def routes(self) -> tuple[Route, ...]:
        """Plain routes: mail readers and browsers call them, not callers of the API, so they are
        not in its document. GET brings HEAD.
        """
        return (
            Route("/t/o/{token}.gif", self.opened),
            Route("/t/c/{token}/{link}", self.clicked),
            Route("/t/d/{message_id}/{seal}", self.followed),
            Route("/u/{token}", self.unsubscribe, methods=["GET", "POST"]),
        )

    async def opened(self, request: Request) -> Response:
        """The pixel, whatever the token; only a GET with a good one counts."""
        services = await services_of(request)
        if request.method == "GET":
            try:
                message_id, campaign = await self._message(services, request, Purpose.TRACKING)
                details = Details(is_machine=True) if self._is_machine(request) else None
                await self._report(services, "opened", message_id, campaign, details)
            except NotFoundError:
                metrics.TRACKING_REFUSED.inc()
            except DependencyDownError as error:
                _lost("opened", error)
        return pages.pixel()

    async def clicked(self, request: Request) -> Response:
        """302 to the link's destination; only a GET counts. 404 for a wrong token or link, 503
        while the destination cannot be read.
        """
        services = await services_of(request)
        try:
            message_id, campaign = await self._message(services, request, Purpose.TRACKING)
            url = await self._destination(services, campaign, request.path_params["link"])
        except NotFoundError:
            metrics.TRACKING_REFUSED.inc()
            return pages.unknown()
        except DependencyDownError as error:
            return _try_again(error)
        if request.method == "GET":
            details = Details(url=url, is_machine=self._is_machine(request))
            try:
                await self._report(services, "clicked", message_id, campaign, details)
            except DependencyDownError as error:
                _lost("clicked", error)
        return pages.redirect(url)

    async def followed(self, request: Request) -> Response:
        """302 to the destination that was rendered for this recipient; only a GET counts. 404
        without the seal that it was sent with, so the page leads nowhere else.

        The destination needs no look-up: it is found when a dependency is down, the recipient
        erased or the contact changed.
        """
        services, message_id = await services_of(request), request.path_params["message_id"]
        url = request.query_params.get("u", "")
        is_id = _MESSAGE_ID.fullmatch(message_id) is not None
        if not is_id or not self._seals.fits(request.path_params["seal"], message_id, url):
            metrics.TRACKING_REFUSED.inc()
            return pages.unknown()
        if request.method == "GET":
            try:
                campaign = await self._sender(services, message_id)
                details = Details(url=url, is_machine=self._is_machine(request))
                await self._report(services, "clicked", message_id, campaign, details)
            except NotFoundError:
                metrics.TRACKING_REFUSED.inc()
                return pages.unknown()
            except DependencyDownError as error:
                _lost("clicked", error)
        return pages.redirect(url)

    async def unsubscribe(self, request: Request) -> Response:
        """GET asks, POST acts: a person's button or a mail reader's one click (RFC 8058), whose
        body adds nothing to the token.

        200 means that it holds from the next chunk on and that the event is in Kafka; a repeat is
        the same. 404 for a wrong token, 503 when it could not be kept. Test messages belong to no
        recipient, so they unsubscribe none.
        """
        services = await services_of(request)
        try:
            if self._is_test(request.path_params["token"]):
                return pages.only_a_test()
            message_id, campaign = await self._message(services, request, Purpose.UNSUBSCRIBE)
            if request.method != "POST":
                return pages.question()
            self._unsubscribes.check(message_id)
            await _unsubscribe(services, message_id, campaign)
            self._unsubscribes.count(
                message_id
            )  # a person who met a 503 may try as often as need be
        except RateLimitedError as error:
            return pages.too_often(error.retry_after)
        except NotFoundError:
            metrics.TRACKING_REFUSED.inc()
            return pages.unknown()
        except DependencyDownError as error:
            return _try_again(error)
        return pages.unsubscribed()

    def _is_test(self, token: str) -> bool:
        """Whether this is a test message's token or, in one that was sent before there were tokens,
        its id, which need not be checked. Raises NotFoundError.
        """
        if _MESSAGE_ID.fullmatch(token):
            return is_test(token)
        return self._read(token, Purpose.UNSUBSCRIBE).number == TESTS

    async def _message(
        self, services: Services, request: Request, purpose: Purpose
    ) -> tuple[str, NumberedCampaign]:
        """The id of the message whose token is in the path, and its campaign. Raises NotFoundError
        for any other token, without a query, and DependencyDownError.
        """
        token = request.path_params["token"]
        if _MESSAGE_ID.fullmatch(token):
            campaign = await self._sender(services, token)
            if campaign.has_link_tokens:
                raise NotFoundError("The links of this campaign have tokens.")
            return token, campaign
        number, ordinal = self._read(token, purpose)
        campaign = await self._numbered(services, number)
        try:
            made = self._ids.make(number, ordinal, campaign.tenant_id, campaign.key_epoch)
        except UnknownKeyError as error:
            raise NotFoundError("The campaign's key was taken off the list.") from error
        return made, campaign

    def _read(self, token: str, purpose: Purpose) -> Recipient:
        try:
            return self._tokens.read(token, purpose)
        except InvalidMessageIdError as error:
            raise NotFoundError("There is no such message.") from error

    async def _sender(self, services: Services, message_id: str) -> NumberedCampaign:
        """The campaign of a message that we made. Raises NotFoundError for any other id,
        DependencyDownError.
        """
        campaign = await self._numbered(services, campaign_number(message_id))
        try:
            self._ids.check(message_id, campaign.tenant_id)
        except InvalidMessageIdError as error:
            raise NotFoundError("There is no such message.") from error
        return campaign

    async def _numbered(self, services: Services, number: int) -> NumberedCampaign:
        """The campaign, for whose tenant the request acts from here on. Raises NotFoundError,
        DependencyDownError.
        """
        if (campaign := await self._campaigns.get(services, number)) is None:
            raise NotFoundError("There is no such campaign.")
        act_for(campaign.tenant_id)
        return campaign

    async def _destination(self, services: Services, campaign: NumberedCampaign, link: str) -> str:
        """The destination of the campaign's link of this number: only what its templates contain.
        Raises NotFoundError, DependencyDownError.
        """
        links = self._links.get(campaign.number)
        if links is None:  # once, however many follow their links in the meantime
            if (loading := self._loading.get(campaign.number)) is None:
                loading = asyncio.create_task(self._load(services, campaign))
                # retrieved here, too, for one whose callers have all gone
                loading.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
                self._loading[campaign.number] = loading
            links = await asyncio.shield(loading)
        if not _LINK.fullmatch(link) or int(link) >= len(links):
            raise NotFoundError("The campaign has no such link.")
        return links[int(link)]

    async def _load(self, services: Services, campaign: NumberedCampaign) -> tuple[str, ...]:
        patience = services.settings.caller_patience
        try:
            async with services.database.transaction(patience) as session:
                content = await templates.load(
                    session, campaign.tenant_id, campaign.number, self._public_url
                )
        finally:
            del self._loading[campaign.number]
        links = self._links[campaign.number] = () if content is None else content.links
        if len(self._links) > _CACHED:
            self._links.popitem(last=False)
        return links

    async def _report(
        self,
        services: Services,
        kind: IncomingType,
        message_id: str,
        campaign: NumberedCampaign,
        details: Details | None,
    ) -> None:
        """`_report` of an event that says something new. Raises DependencyDownError."""
        url, is_machine = (details.url, details.is_machine) if details else (None, False)
        # of an address that may be long its hash
        event = (message_id, kind, hash(url), is_machine)
        if not self._repeats.is_news(event):
            metrics.TRACKING_REPEATS.inc()
            return
        try:
            await _report(services, kind, message_id, campaign, details)
        except BaseException:
            self._repeats.forget(event)
            raise

    def _is_machine(self, request: Request) -> bool:
        peer = request.client.host if request.client else None
        return self._machines.is_machine(request.headers, peer)


async def _unsubscribe(services: Services, message_id: str, campaign: NumberedCampaign) -> None:
    """Nothing more goes there from the next chunk on, and the event is in Kafka. The suppression
    comes first: it is what matters, and a repeat changes nothing. Raises DependencyDownError.
    """
    async with services.database.transaction(services.settings.caller_patience) as session:
        row = row_of(message_id)
        await suppress_recipients(session, {row: "unsubscribed"})
        await keep_recipients(session, [row], datetime.now(UTC))
    crash_point("suppressed", "tracking")
    await _report(services, "unsubscribed", message_id, campaign)


async def _report(
    services: Services,
    kind: IncomingType,
    message_id: str,
    campaign: NumberedCampaign,
    details: Details | None = None,
) -> None:
    """Returns when the event is in Kafka. Raises DependencyDownError."""
    now = rfc3339(datetime.now(UTC))
    await services.reports.send(Incoming(kind, message_id, campaign.tenant_id, now, details))


def _lost(kind: IncomingType, error: DependencyDownError) -> None:
    """A mail reader does not try again, so the loss is counted; the reader gets its answer all the
    same.
    """
    metrics.TRACKING_LOST.inc()
    _log.warning(
        "an event is lost, because a dependency is down", extra={"event": kind, "error": str(error)}
    )


def _try_again(error: DependencyDownError) -> Response:
    _log.warning(
        "a recipient has to try again, because a dependency is down", extra={"error": str(error)}
    )
    return pages.try_again()
