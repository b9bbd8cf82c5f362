"""The effects of a verified webhook: events on `pipeline.events.v1`, suppressions that hold from
the next chunk on.

Identity of an event: its message id and kind, which everything downstream counts once; of a reply:
the provider's id of it, bound to the message it answers when it is first seen; of a suppression:
channel and address. Order of effects: one SQL transaction (tokens and suppressions), then Kafka,
then the answer. A kill -9 before or between them leaves a request without an answer, which the
provider repeats, and the repeat changes nothing that is there already. The projection suppresses
from the same events once more, seconds later.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from api.http.dependencies import Services
from api.recipients.unheard import dead_letters, sound
from connectors.webhooks import mailgun
from connectors.webhooks.delivery import (
    InboundMessage,
    Read,
    Reported,
    Resumed,
    ReusedTokenError,
    SubscriptionRequest,
    Unheard,
    Wish,
)
from connectors.webhooks.providers import Verified
from streams import metrics
from streams.contracts.envelope import rfc3339
from streams.exactly_once.crash_points import crash_point
from streams.records.message_id import TESTS, InvalidMessageIdError, MessageIds, recipient
from streams.records.reported_events import (
    SAYING_NO,
    Incoming,
    IncomingType,
    encode_incoming,
    says_no,
)
from streams.settings import Settings
from tables.audience.recipients import recipient_id, unknown_rows
from tables.audience.replies import answered
from tables.channels import CHANNELS, is_user_id
from tables.database.connection import Session
from tables.directory import whatsapp_users
from tables.directory.opt_ins import (
    has_opted_in_since,
    mark,
    mark_one,
    opt_in,
    opt_in_recipient,
    standing,
)
from tables.directory.reported import suppress_recipients
from tables.directory.suppressions import put_suppression
from tables.tenants import webhook_secrets

_REPLIES_KNOWN = timedelta(days=7)  # providers repeat a webhook for up to three days
# How far the time of a wish may be from its arrival: providers repeat a webhook for days. One that
# is further away is that of an unset clock, and no order can be told from it.
_LATE, _EARLY = timedelta(days=8), timedelta(minutes=15)
_LONGEST_URL = (
    8_192  # a record that Kafka finds too large would end the producer that all tenants share
)
_log = logging.getLogger(__name__)


@dataclass
class _Taken:
    """The events of a webhook, the number of elements without effect, by reason, and those of them
    that say no.
    """

    events: list[Incoming] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    unheard: list[Unheard] = field(default_factory=list)

    def leave(self, why: str, count: int = 1) -> None:
        if count:
            self.left[why] = self.left.get(why, 0) + count


class Inbound:
    """Carries out what webhooks report."""

    def __init__(self, settings: Settings) -> None:
        self._ids = MessageIds.of(settings)
        # an older one fails by its time
        self._tokens_known = 2 * settings.webhook_tolerance + mailgun.RETRIED + timedelta(minutes=1)

    async def take(
        self, services: Services, tenant: str, provider: str, verified: Verified, read: Read
    ) -> None:
        """Everything usable is acknowledged when this returns; a repeat is harmless.

        Raises ReusedTokenError for a token that stood for something else before,
        DependencyDownError when not everything could be kept.
        """
        taken = _Taken(unheard=[*read.unheard])
        taken.leave("ignored", read.ignored)
        taken.leave("unusable", read.unusable)
        taken.events += [
            event for one in read.reported if (event := self._event(tenant, one, taken))
        ]
        suppressed = reasons_to_suppress(taken.events)
        if verified.token or read.said or read.asked or read.resumed or suppressed:
            async with services.database.transaction(services.settings.caller_patience) as session:
                await self._bind(session, tenant, provider, verified)
                if read.asked:
                    await _ask(session, tenant, provider, read.asked)
                await self._suppress(session, provider, suppressed, read.now, taken)
                for said in read.said:
                    await self._hear(session, tenant, provider, said, read.now, taken)
                for resumed in read.resumed:
                    await self._resume(session, tenant, provider, resumed, read.now, taken)
        crash_point("suppressed", "inbound")
        letters = dead_letters(tenant, provider, taken.unheard, read.now)
        await services.reports.send_all(taken.events, letters)
        sound(tenant, provider, taken.unheard)
        metrics.WEBHOOK_EVENTS.labels(provider, "accepted").inc(len(taken.events))
        for why, count in taken.left.items():
            metrics.WEBHOOK_EVENTS.labels(provider, why).inc(count)

    async def refuse(
        self, services: Services, tenant: str, provider: str, body: bytes, now: datetime
    ) -> None:
        """Keeps a verified body that cannot be read, when it may say no. Raises
        DependencyDownError.
        """
        if says_no(body):
            unheard = [Unheard("unreadable", body)]
            letters = dead_letters(tenant, provider, unheard, now)
            await services.reports.send_all((), letters)
            sound(tenant, provider, unheard)

    def _event(self, tenant: str, one: Reported, taken: _Taken) -> Incoming | None:
        message_id = self._own(tenant, one)
        if message_id is None:
            taken.leave("foreign-id")
            if one.type in SAYING_NO:
                taken.unheard.append(Unheard("foreign-id", one.source.encoded()))
            return None
        details = one.details
        if details is not None and len(details.url or "") > _LONGEST_URL:
            details = msgspec.structs.replace(details, url=None)
        return Incoming(one.type, message_id, tenant, one.timestamp, details)

    def _own(self, tenant: str, one: Reported) -> str | None:
        """The first id of the report that is one of the tenant's."""
        ids = (one.message_id, *one.others)
        return next((each for each in ids if self._ids.owner(each, (tenant,))), None)

    async def _bind(self, session: Session, tenant: str, provider: str, verified: Verified) -> None:
        if not verified.token:
            return
        meaning = await webhook_secrets.first_meaning(
            session, tenant, provider, verified.token, verified.meaning, keep=self._tokens_known
        )
        if meaning != verified.meaning:
            raise ReusedTokenError("The token has been used for another event.")

    async def _suppress(
        self,
        session: Session,
        provider: str,
        reasons: Mapping[UUID, str],
        now: datetime,
        taken: _Taken,
    ) -> None:
        if not reasons:
            return
        said = {
            row_of(event.message_id): _plausible(datetime.fromisoformat(event.timestamp), now)
            for event in taken.events
            if event.type == "unsubscribed"
        }
        await suppress_recipients(session, await standing(session, reasons, said))
        await mark(session, provider, said)
        no = {row_of(e.message_id): e for e in taken.events if e.type in SAYING_NO}
        missing = await unknown_rows(session, no)
        taken.unheard += [
            Unheard("no-recipient", encode_incoming(no[row]))
            for row in missing
            if recipient(no[row].message_id)[0] != TESTS
        ]

    async def _hear(
        self,
        session: Session,
        tenant: str,
        provider: str,
        said: InboundMessage,
        now: datetime,
        taken: _Taken,
    ) -> None:
        try:
            address = CHANNELS[said.channel].normalise(said.address)
        except (KeyError, ValueError):
            taken.leave("unusable")
            if said.wish is Wish.STOP:
                taken.unheard.append(Unheard("no-address", said.source.encoded()))
            return
        at = _plausible(said.at, now)
        if said.wish is not None:
            # a repeat changes nothing that was said in between, where the provider names no time
            first = await _first_meaning(session, tenant, provider, "wish", said, at.isoformat())
            at = datetime.fromisoformat(first)
        users = await _users(session, tenant, said, address)
        if said.wish is Wish.START:
            for each in sorted({address, *users.ids}):
                await opt_in(session, tenant, said.channel, each, provider, at, users.contacts)
            return
        is_stop = said.wish is Wish.STOP and not await has_opted_in_since(
            session, tenant, said.channel, address, at
        )
        if is_stop:
            for target in _targets(address, users):
                one, is_new = await put_suppression(
                    session, tenant, said.channel, **target, reason="unsubscribed"
                )
                await mark_one(session, one, provider, at, is_new)
            if address in users.ids and not users.contacts:
                taken.unheard.append(Unheard("no-contact", said.source.encoded()))
        found = await answered(session, tenant, said.channel, address, at)
        if found is not None and is_stop:
            await suppress_recipients(session, {found.row_id: "unsubscribed"})
            await mark(session, provider, {found.row_id: at})
        if found is None or not self._ids.may_sign(found.key_epoch):
            taken.leave("unmatched")
            return
        made = self._ids.make(found.number, found.ordinal, tenant, found.key_epoch)
        # a repeat that comes after the next campaign still answers this one
        message_id = await _first_meaning(session, tenant, provider, "said", said, made)
        taken.events += [Incoming(kind, message_id, tenant, rfc3339(at)) for kind in _kinds(said)]

    async def _resume(
        self,
        session: Session,
        tenant: str,
        provider: str,
        resumed: Resumed,
        now: datetime,
        taken: _Taken,
    ) -> None:
        try:
            self._ids.check(resumed.message_id, tenant)
        except InvalidMessageIdError:
            taken.leave("foreign-id")
            return
        row = row_of(resumed.message_id)
        await opt_in_recipient(session, row, provider, _plausible(resumed.at, now))


@dataclass(frozen=True)
class _Users:
    """The ids of WhatsApp that the sender of a message has, and the contacts known to have them."""

    ids: tuple[str, ...] = ()
    contacts: tuple[UUID, ...] = ()


async def _users(session: Session, tenant: str, said: InboundMessage, address: str) -> _Users:
    """Looks them up when there are any, and remembers an id that comes beside a number."""
    user_id = said.user_id or (address if is_user_id(address) else "")
    if said.channel != "whatsapp" or not is_user_id(user_id):
        return _Users()
    if user_id != address:
        await whatsapp_users.link(session, tenant, user_id, address)
    contacts = await whatsapp_users.contacts_of(session, tenant, user_id)
    return _Users((user_id,), tuple(contacts))


def _targets(address: str, users: _Users) -> list[dict[str, Any]]:
    """The addresses and contacts that a wish to stop suppresses."""
    return [
        *({"address": each} for each in sorted({address, *users.ids})),
        *({"contact_id": each} for each in users.contacts),
    ]


def _kinds(said: InboundMessage) -> Iterator[IncomingType]:
    """The events that a message is, on the message that it answers."""
    if said.is_reply:
        yield "replied"
    if said.wish is Wish.STOP:
        yield "unsubscribed"


async def _first_meaning(
    session: Session, tenant: str, provider: str, what: str, said: InboundMessage, meaning: str
) -> str:
    """The meaning that this message had when it first came; this one, of a message without an
    identity.
    """
    if not said.identity:
        return meaning
    digest = hashlib.sha256(said.identity.encode("utf-8", "replace")).hexdigest()
    return await webhook_secrets.first_meaning(
        session, tenant, provider, f"{what}:{digest}", meaning, keep=_REPLIES_KNOWN
    )


def _plausible(at: datetime, now: datetime) -> datetime:
    return at if now - _LATE <= at <= now + _EARLY else now


def reasons_to_suppress(events: Sequence[Incoming]) -> dict[UUID, str]:
    """Rows of the ledger to suppress, and why: no more is wanted, or the address does not exist."""
    found: dict[UUID, str] = {}
    for event in events:
        match event.type:
            case "unsubscribed" | "complained":
                why = str(event.type)
            case "bounced" if event.data is not None and event.data.bounce_type == "hard":
                why = "hard-bounce"
            case _:
                continue
        row = row_of(event.message_id)
        if found.get(row) is None or why == "complained":  # it comes before every other reason
            found[row] = why
    return found


def row_of(message_id: str) -> UUID:
    """The row of the ledger that a verified message id belongs to."""
    return recipient_id(*recipient(message_id))


async def _ask(session: Session, tenant: str, provider: str, asked: SubscriptionRequest) -> None:
    _log.warning(
        "Amazon SNS asks to confirm a subscription: an admin has to",
        extra={"tenantId": tenant, "topicArn": asked.topic_arn},
    )
    await webhook_secrets.ask(session, tenant, provider, asked.topic_arn, asked.subscribe_url)
