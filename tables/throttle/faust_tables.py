"""The Faust tables of the throttle beside the quota's: `sending` (tenants), `clock` (time), `ended`
(campaigns that are over).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tables.throttle.clock import Clock, decode_clock, encode_clock
from tables.throttle.state import TenantSending, decode_tenant, encode_tenant

SENDING = "sending"
_DAY = timedelta(days=1)
_CLOCK = "now"


class SendingTables:
    """The rows of the source partition of the running transaction; only in the body of an agent.

    Decoded tenants are kept beside the rows. One is used only while its row is still the same
    object, so it cannot be stale.
    """

    def __init__(self, app: Any) -> None:
        options = {"key_type": str, "partitions": app.conf.topic_partitions}
        self._tenants = app.Table(SENDING, value_type=bytes, **options)
        self._clock = app.Table("clock", value_type=bytes, **options)
        # One-day windows, of which the present and the last count: a campaign is remembered long
        # after any repeat of its start, and then forgotten by expiry.
        self._ended = app.Table("ended", value_type=int, default=int, **options).tumbling(
            _DAY, expires=3 * _DAY
        )
        self._decoded: dict[int, dict[str, tuple[bytes, TenantSending]]] = {}

    def tenants(self, partition: int) -> Mapping[str, TenantSending]:
        """Every tenant that is sending; costs 0.1 us each, 5 us if its row was restored or changed
        by another instance.
        """
        known = self._decoded.get(partition, {})
        fresh = {}
        for tenant_id, row in self._tenants.data.items():
            pair = known.get(tenant_id)
            if pair is None or pair[0] is not row:
                pair = row, decode_tenant(row)
            fresh[tenant_id] = pair
        self._decoded[partition] = fresh
        return {tenant_id: tenant for tenant_id, (_, tenant) in fresh.items()}

    def put(self, partition: int, tenant_id: str, tenant: TenantSending | None) -> None:
        """Write the row of a tenant, or remove it."""
        if tenant is not None:
            row = encode_tenant(tenant)
            self._tenants[tenant_id] = row
            self._decoded[partition][tenant_id] = row, tenant
        elif tenant_id in self._tenants:
            del self._tenants[tenant_id]

    @property
    def clock(self) -> Clock:
        return decode_clock(self._clock[_CLOCK]) if _CLOCK in self._clock else Clock()

    @clock.setter
    def clock(self, clock: Clock) -> None:
        self._clock[_CLOCK] = encode_clock(clock)

    def has_ended(self, number: int, clock: Clock) -> bool:
        """Whether the campaign was finished or cancelled within the last day: any further record of
        it is too late.
        """
        return any(
            self._ended.relative_to(at.timestamp())[str(number)].value()
            for at in (clock.now, clock.now - _DAY)
        )

    def end(self, number: int, clock: Clock) -> None:
        """Remember for a day or two that the campaign is over."""
        self._ended.relative_to(clock.now.timestamp())[str(number)] = 1


def sent_of(app: Any, tenant_id: str, number: int) -> int:
    """Messages of a campaign that have been sent, as far as the partitions of this worker know; 0
    for a worker without the throttle.
    """
    table = app.tables.transactional.get(SENDING)
    row = None if table is None else table.data.get(tenant_id)
    campaign = None if row is None else decode_tenant(row).campaigns.get(number)
    return campaign.sent if campaign else 0
