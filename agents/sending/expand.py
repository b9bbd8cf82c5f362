"""Expand: a started campaign becomes its recipients, staged once and written page by page, each
page announced to the throttle.

`Stage` makes the audience and writes its first page, `Page` writes another and sends the next one
to itself, so that sending starts with the first page and a large audience does not stand in front
of a small one. Order of effects in a body:

1. SQL transaction: the stage table, its rows in the order of their ordinals
2. SQL transaction: the campaign's `total_recipients`, and `campaign.started` in the outbox
3. SQL transaction: the rows of one page in the ledger; with the last page the stage goes
4. Kafka transaction: `PlanOpened` (with the first page), `RowsReady`, the next `Page`, and the
   position after the input

A kill -9 within 1, 2 or 3 rolls that step back. After any of them the next owner reads the same
input again and finds what is there: the stage by its name, the total in the campaign's row (the
event is not written twice), the page by its first row, or the stage gone after the last page. So
rows are always committed before they are announced, and announcing twice changes nothing
(`RowsReady`: the highest stop wins; `PlanOpened`: the throttle knows the campaign, or remembers
that it has ended). A repeated `Stage` makes a second chain of pages, which finds every page
written. A campaign cancelled meanwhile gets no more pages; a paused one does, so that resuming is
instant. PostgreSQL down: each step waits in place. A segment service that is down
(connectors/sources) sends the `Stage` to the end of the partition instead, so that other campaigns
go on; members it has mirrored by then are read again. One that is slow is read beside the body: the
`Stage` goes to the end until it has answered, and a worker that is killed meanwhile asks anew.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import assert_never
from uuid import UUID

import msgspec

from connectors.sources.service import SourceDownError
from connectors.sources.sources import Sources
from streams.contracts.ab_tests import sample
from streams.contracts.envelope import encode
from streams.contracts.fields import Status
from streams.exactly_once.agents import Body
from streams.exactly_once.crash_points import crash_point
from streams.exactly_once.transactions import Transaction
from streams.process.app import App
from streams.records.expansions import Page, Stage, decode_expansion
from streams.records.message_id import MAX_NUMBER, MAX_ORDINAL
from streams.records.sending import PlanOpened, RowsReady, Span
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.audience import staging as audience
from tables.audience.staging import Audience
from tables.campaigns.ab_tests import test_of
from tables.campaigns.changes import Change
from tables.database.connection import Database
from tables.database.failures import PostgresError

_AGAIN = 0.5  # seconds until an audience asks again for a directory service that is down or slow
_AT_ONCE = 0.1  # seconds for a directory service: others wait for as long
_log = logging.getLogger(__name__)


def parse(value: bytes | None) -> Stage | Page:
    """The record. Raises ValueError (msgspec's errors are ones) for a value that no version of this
    agent has written.
    """
    record: Stage | Page = decode_expansion(value or b"")
    UUID(record.campaign_id)
    if not 1 <= record.number <= MAX_NUMBER:
        raise ValueError("number: out of range")
    if isinstance(record, Page) and not 0 <= record.start < record.total <= MAX_ORDINAL + 1:
        raise ValueError("start: not within the audience")
    return record


def plan(audience: Audience) -> PlanOpened:
    """The plan of a whole audience, under the limits of campaign and tenant, with the status and
    the winner of the row as `announce` has read it. Recipients outside the sample of an A/B test
    are held back.
    """
    campaign, total = audience.campaign, audience.total
    test = test_of(campaign)
    cut = total if test is None else sample(test, total).cut
    return PlanOpened(
        tenant_id=campaign.tenant_id,
        campaign_id=str(campaign.id),
        number=campaign.number,
        channel=campaign.channel,
        total=total,
        spans=tuple(
            span
            for span in (Span(start=0, stop=cut), Span(start=cut, stop=total, is_held=True))
            if span.start < span.stop
        ),
        limits=campaign.limits,
        tenant_limits=audience.tenant_limits,
        is_paused=campaign.status is Status.PAUSED,
        winner=campaign.winner_variant_id,
        version=campaign.version,
        is_built_in=campaign.is_built_in,
    )


def following(page: Page, stop: int) -> Page | None:
    """The page after the one that ended at `stop`, None after the last."""
    return None if stop >= page.total else msgspec.structs.replace(page, start=stop)


class Expander:
    """The agent `expand` and its connections. A malformed record becomes a dead letter in the same
    transaction.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._topics = settings, Topics(settings)
        self._database = Database(
            settings, "campaigns-expand", statement_timeout=timedelta(minutes=10)
        )
        self._sources = Sources(settings)
        self._readings: dict[int, asyncio.Future[None]] = {}  # by campaign number

    async def body(self, transaction: Transaction) -> None:
        """See the module's docstring for the order of effects."""
        for event in transaction.events:
            try:
                record = parse(event.value)
            except ValueError as error:
                transaction.dead_letter(event, str(error), "malformed")
                continue
            match record:
                case Stage():
                    await self._stage(transaction, record)
                case Page():
                    await self._page(transaction, record)
                case _:
                    assert_never(record)

    async def _stage(self, transaction: Transaction, wanted: Stage) -> None:
        try:
            if not await self._is_synchronised(wanted):
                self._again(transaction, wanted)
                return
        except SourceDownError as error:
            _log.warning(
                "an audience waits for a directory service",
                extra={"campaignId": wanted.campaign_id, "error": error.detail},
            )
            await self._note_directory(wanted, is_down=True)
            self._again(transaction, wanted)
            return
        except PostgresError as error:  # as in `_staged`
            await self._fail(wanted, error)
            return
        if self._sources.are_used:
            await self._note_directory(wanted, is_down=False)
        if (found := await self._staged(wanted)) is None:
            return
        self._to_throttle(transaction, plan(found))
        if found.total:
            page = Page(
                tenant_id=wanted.tenant_id,
                campaign_id=wanted.campaign_id,
                number=wanted.number,
                total=found.total,
                start=0,
            )
            await self._page(transaction, page)
        await self._database.until_up(audience.drop_dead_stages)

    async def _is_synchronised(self, wanted: Stage) -> bool:
        """Whether the mirrored segments have the members of this moment. They are read beside the
        body, however long that takes. Raises what reading them raises.
        """
        if not self._sources.are_used:
            return True
        if (reading := self._readings.get(wanted.number)) is None:
            reading = self._readings[wanted.number] = asyncio.ensure_future(
                self._sources.synchronise(self._database.until_up, wanted.tenant_id, wanted.number)
            )
        if not (await asyncio.wait([reading], timeout=_AT_ONCE))[0]:
            return False
        del self._readings[wanted.number]
        reading.result()
        return True

    def _again(self, transaction: Transaction, wanted: Stage) -> None:
        """Put the campaign behind those that wait for nothing."""
        transaction.rest = _AGAIN
        again = self._topics.name(Name.EXPANSIONS)
        transaction.send(again, transaction.partition, wanted.campaign_id.encode(), encode(wanted))

    async def _note_directory(self, wanted: Stage, *, is_down: bool) -> None:
        await self._database.until_up(
            lambda session: audience.note_directory(session, wanted, is_down=is_down)
        )

    async def _staged(self, wanted: Stage) -> Audience | None:
        """The audience, staged and announced. None: nothing is to be sent, and the campaign's row
        has the reason.
        """
        run, outcome = self._database.until_up, None
        try:
            total = await run(lambda session: audience.stage(session, wanted))
            crash_point("staged", "expand")
            if total is not None:
                outcome = await run(
                    lambda session: audience.announce(
                        session, self._settings, wanted, total, datetime.now(UTC)
                    )
                )
                crash_point("announced", "expand")
        # not an outage: trying again would meet it for ever, and hold up every other campaign
        except PostgresError as error:
            await self._fail(wanted, error)
            return None
        if isinstance(outcome, Change):
            outcome.log()
            return None
        return outcome

    async def _page(self, transaction: Transaction, page: Page) -> None:
        stop = min(page.start + self._settings.page_size, page.total)
        try:
            is_written = await self._database.until_up(
                lambda session: audience.write_page(session, page, stop)
            )
        except PostgresError as error:  # as in `_staged`; pages announced before stay sent
            campaign_id = page.campaign_id
            wanted = Stage(
                tenant_id=page.tenant_id,
                campaign_id=campaign_id,
                number=page.number,
                correlation_id=campaign_id,
            )
            await self._fail(wanted, error)
            return
        if not is_written:
            _log.info(
                "the campaign is over, the rest of its audience is not written",
                extra={"campaignId": page.campaign_id},
            )
            return
        crash_point("page-written", "expand")
        self._to_throttle(
            transaction, RowsReady(tenant_id=page.tenant_id, number=page.number, stop=stop)
        )
        if (after := following(page, stop)) is not None:
            expansions = self._topics.name(Name.EXPANSIONS)
            transaction.send(
                expansions, transaction.partition, after.campaign_id.encode(), encode(after)
            )

    async def _fail(self, wanted: Stage, error: PostgresError) -> None:
        """End the campaign, with the reason in its row."""
        # the condition and its code, such as "QueryCanceledError 57014"
        reason = f"expansion-failed: {type(error).__name__}Error {error.sqlstate}"
        # without its text, which may quote a row and with it an address
        _log.error(
            "an audience cannot be made, the campaign is cancelled",
            extra={"campaignId": wanted.campaign_id, "error": reason},
        )
        if change := await self._database.until_up(
            lambda session: audience.fail(session, wanted, reason, datetime.now(UTC))
        ):
            change.log()

    def _to_throttle(self, transaction: Transaction, record: PlanOpened | RowsReady) -> None:
        tenant = record.tenant_id
        transaction.send(
            self._topics.name(Name.SENDING),
            self._topics.partition(tenant),
            tenant.encode(),
            encode(record),
        )


def expand(app: App, settings: Settings) -> Body:
    """The body of the agent on `campaigns.expansions.v1`; one event a transaction, because each
    takes up to seconds.
    """
    return Expander(settings).body
