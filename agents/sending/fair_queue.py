"""Start-time fair queueing: the room for messages is handed out in turns among tenants, and among
the campaigns of each. Pure.

Every flow has a tag, its virtual finishing time, which a grant of n messages moves by n. The
smallest max(tag, virtual time) goes next, and virtual time is the start of the last grant, so a
flow gets neither credit nor blame for having been idle (Goyal, Vin, Cheng, "Start-time Fair
Queuing", 1996). Of two flows that can always send, neither is ever two chunks ahead of the other.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from datetime import datetime

from msgspec.structs import replace

from streams.records.sending import CHUNK, Grant, Limits, Span
from tables.throttle.delivering import KEPT, SILENT
from tables.throttle.quota import UNLIMITED, Allowance, quota_key, tightest
from tables.throttle.state import CampaignSending, TenantSending, Waiting

# quota key, limits, messages outstanding -> the allowance at present
Allowances = Callable[[str, Limits, int], Allowance]


class Filling:
    """One tenant while grants are handed out: `offer` is its next grant, `accept` takes it.

    Its quota is read at its first turn: of a thousand tenants that the cap holds up, most have
    none.
    """

    def __init__(
        self, tenant_id: str, tenant: TenantSending, now: datetime, cap: int, allowances: Allowances
    ) -> None:
        self.tenant_id, self.virtual, self.tag = tenant_id, tenant.virtual, tenant.tag
        self._tenant, self._now, self._cap, self._allowances = tenant, now, cap, allowances
        self._campaigns = dict(tenant.campaigns)
        self.had_turn = False

    def _take_turn(self) -> None:
        self.had_turn = True
        self._room = self._allowance(None)
        ready = (
            number
            for number, campaign in self._campaigns.items()
            if _next_span(campaign, self._now) is not None
        )
        self._rooms = {number: self._allowance(number) for number in ready}
        turns = [
            (max(self._campaigns[number].tag, self.virtual), number)
            for number, room in self._rooms.items()
            if room.room and self._way(number)
        ]
        # Little room is cut into equal pieces: else one campaign would take an hour's quota and the
        # next one the next hour's.
        fair = CHUNK if self._room.room == UNLIMITED else -(-self._room.room // max(1, len(turns)))
        self._piece = min(CHUNK, self._cap, max(1, fair))
        self._turns = turns if self._room.room else []
        heapq.heapify(self._turns)

    def _way(self, number: int) -> int:
        """How many messages of the campaign its way out takes now."""
        campaign = self._campaigns[number]
        if campaign.delivering is None:
            return UNLIMITED
        return campaign.delivering.room(campaign.granted - campaign.skipped)

    def _allowance(self, number: int | None) -> Allowance:
        if number is None:
            outstanding = sum(campaign.in_flight for campaign in self._campaigns.values())
            return self._allowances(self.tenant_id, self._tenant.limits, outstanding)
        campaign = self._campaigns[number]
        return self._allowances(
            quota_key(self.tenant_id, number), campaign.limits or Limits(), campaign.in_flight
        )

    def offer(self) -> Grant | None:
        """The next grant of this tenant, within one chunk; None if it can or may send nothing
        more.
        """
        if not self.had_turn:
            self._take_turn()
        while self._turns and self._room.room:
            number = self._turns[0][1]
            campaign, room = self._campaigns[number], self._rooms[number].room
            at = _next_span(campaign, self._now)
            if at is not None and room and (way := self._way(number)):
                span = campaign.spans[at]
                start, most = span.start, min(self._piece, room, self._room.room, way)
                stop = min(start + most, (start // CHUNK + 1) * CHUNK, span.stop, campaign.ready)
                return Grant(
                    self.tenant_id, campaign.campaign_id, number, start, stop, span.variant_id
                )
            heapq.heappop(self._turns)
        return None

    def accept(self, grant: Grant) -> None:
        """Take the grant that was offered."""
        start, number = heapq.heappop(self._turns)
        granted, campaign = grant.stop - grant.start, self._campaigns[number]
        self.virtual = start
        self._campaigns[number] = replace(
            campaign,
            spans=_without(campaign.spans, grant),
            granted=campaign.granted + granted,
            tag=start + granted,
        )
        self._room, self._rooms[number] = (
            self._room.minus(granted),
            self._rooms[number].minus(granted),
        )
        heapq.heappush(self._turns, (start + granted, number))

    def result(self) -> tuple[TenantSending, dict[int, Allowance]]:
        """The tenant afterwards, with the reasons why its campaigns wait; and by number the
        allowance of each campaign that lacks quota.
        """
        if not self.had_turn:
            self._take_turn()
        if not self._room.room:
            # again, because the grants that were just accepted move `until`
            self._room = self._allowance(None)
        limited: dict[int, Allowance] = {}
        wakes, is_hungry = list(self._tenant.forgets()), False
        for number, campaign in self._campaigns.items():
            waiting = self._waiting(number, campaign, limited)
            if waiting != campaign.waiting:
                self._campaigns[number] = replace(campaign, waiting=waiting)
            if waiting is not None and waiting.until is not None:
                wakes.append(waiting.until)
            if (way := campaign.delivering) is not None and way.heard_at is not None:
                looks = (way.heard_at + time for time in (SILENT, KEPT))
                wakes += (at for at in looks if at > self._now)
            if not campaign.is_paused:
                is_ready = _next_span(campaign, self._now) is not None
                is_hungry |= waiting is None and is_ready and self._way(number) > 0
                wakes += filter(None, [_opens(campaign, self._now)])
        wake, campaigns = min(wakes, default=None), self._campaigns
        after = replace(
            self._tenant,
            campaigns=campaigns,
            wake=wake,
            is_hungry=is_hungry,
            tag=self.tag,
            virtual=self.virtual,
        )
        return after, limited

    def _waiting(
        self, number: int, campaign: CampaignSending, limited: dict[int, Allowance]
    ) -> Waiting | None:
        if campaign.is_paused:
            return Waiting("paused")
        if _next_span(campaign, self._now) is not None:
            room = self._rooms[number]
            both = tightest(self._room, room if room.room else self._allowance(number))
            if both.room:
                return None if self._way(number) else _way_waits(campaign, self._now)
            limited[number] = both
            return Waiting("quota", both.until)
        if campaign.in_flight > 0 or not campaign.spans:
            return None
        if any(not span.is_held and not _is_early(span, self._now) for span in campaign.spans):
            return Waiting("audience")
        return (
            Waiting("not-before", until)
            if (until := _opens(campaign, self._now))
            else Waiting("ab-test")
        )


def fill(
    fillings: Iterable[Filling], in_flight: int, cap: int, virtual: int
) -> tuple[list[Grant], int]:
    """The grants, until no tenant can send or the next one would put more than `cap` messages in
    flight; and the new virtual time.
    """
    grants: list[Grant] = []
    turns = [(max(filling.tag, virtual), filling.tenant_id, filling) for filling in fillings]
    heapq.heapify(turns)
    while turns:
        start, tenant_id, filling = turns[0]
        if (grant := filling.offer()) is None:
            heapq.heappop(turns)
            continue
        granted = grant.stop - grant.start
        if in_flight and in_flight + granted > cap:
            break  # the feedback about messages in flight will make room
        filling.accept(grant)
        grants.append(grant)
        in_flight, virtual, filling.tag = in_flight + granted, start, start + granted
        heapq.heapreplace(turns, (filling.tag, tenant_id, filling))
    return grants, virtual


def _way_waits(campaign: CampaignSending, now: datetime) -> Waiting | None:
    """The reason, if nothing moves: a campaign that goes as fast as its route does not wait."""
    way = campaign.delivering
    if way is None or not way.is_held_up(now):
        return None
    return Waiting(way.reason, way.until) if way.reason else Waiting("route-limit")


def _is_early(span: Span, now: datetime) -> bool:
    return span.not_before is not None and span.not_before > now


def _next_span(campaign: CampaignSending, now: datetime) -> int | None:
    if not campaign.is_paused:
        for position, span in enumerate(campaign.spans):
            if not span.is_held and span.start < campaign.ready and not _is_early(span, now):
                return position
    return None


def _opens(campaign: CampaignSending, now: datetime) -> datetime | None:
    """When the next span opens that is now too early."""
    return min(
        (
            span.not_before
            for span in campaign.spans
            if not span.is_held and span.not_before and span.not_before > now
        ),
        default=None,
    )


def _without(spans: tuple[Span, ...], grant: Grant) -> tuple[Span, ...]:
    at = next(position for position, span in enumerate(spans) if span.start == grant.start)
    rest = () if spans[at].stop == grant.stop else (replace(spans[at], start=grant.stop),)
    return spans[:at] + rest + spans[at + 1 :]
