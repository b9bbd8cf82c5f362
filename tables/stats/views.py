"""Views: a reader's copy of a compacted topic in memory, with the newest value per key, followed
live and without a consumer group.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.exactly_once.fatal import NewerStateError
from streams.exactly_once.tables import decode_entry
from streams.kafka import clients
from streams.process.background import StayConnected
from streams.records.stats import ShardStats, decode_stats
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.stats.totals import CampaignStats, merged
from tables.throttle.faust_tables import SENDING
from tables.throttle.quota import DAILY, HOURLY
from tables.throttle.state import CampaignSending, TenantSending, decode_tenant
from tables.throttle.usage import QuotaWindows

_NOTHING = TenantSending()  # of a tenant that sends nothing
_log = logging.getLogger(__name__)


class CompactedView(StayConnected):
    """Reads a compacted topic from its beginning and follows it: `async with StatsView(settings) as
    view: await view.ready.wait()`.

    It sees committed records only, usually within 0.1 s. While the broker is away, at the start or
    later, the view tries again, and values read before stay readable. `ready` is set once
    everything that was committed at the start has been read. A record that cannot be decoded is
    logged and left out: one bad value must not stop the view.
    """

    def __init__(self, settings: Settings, topic: Name) -> None:
        self._topic, self.ready = Topics(settings).name(topic), asyncio.Event()
        super().__init__(f"view of {self._topic}", settings)

    @abstractmethod
    def put(self, key: bytes, value: bytes | None) -> None:
        """The newest value of a key; None when it was deleted. Raises ValueError for a value that
        cannot be decoded.
        """

    async def stay(self) -> None:
        consumer = clients.consumer(
            self.settings,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            # also when compaction or a recreated topic has moved the beginning
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
            max_partition_fetch_bytes=4 << 20,
        )
        async with consumer:
            self.connected()
            await self._follow(consumer)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        sources = [
            TopicPartition(self._topic, partition) for partition in range(self.settings.partitions)
        ]
        consumer.assign(sources)
        ends = await consumer.end_offsets(sources)
        while True:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    self._put(record.key or b"", record.value)
            if not self.ready.is_set() and all(
                [await consumer.position(source) >= ends[source] for source in sources]
            ):
                self.ready.set()

    def _put(self, key: bytes, value: bytes | None) -> None:
        try:
            self.put(key, value)
        except (ValueError, NewerStateError) as error:
            _log.error("a record of %s cannot be read: %s", self._topic, type(error).__name__)


class StatsView(CompactedView):
    """The live stats of every campaign, by campaign number. The counts of a campaign never go back,
    machine counts excepted.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, Name.STATS)
        self._shards: defaultdict[int, dict[int, ShardStats]] = defaultdict(dict)
        self._merged: dict[int, CampaignStats] = {}

    def put(self, key: bytes, value: bytes | None) -> None:
        """Keeps the higher version. Raises ValueError (msgspec.DecodeError) for a value that is not
        ShardStats.
        """
        if value is None:
            number, _, shard = key.partition(b":")
            if self._shards[int(number)].pop(int(shard), None) is not None:
                self._merged.pop(int(number), None)
            return
        stats = decode_stats(value)
        shards = self._shards[stats.number]
        if (known := shards.get(stats.shard)) is None or known.version < stats.version:
            shards[stats.shard] = stats
            self._merged.pop(stats.number, None)

    def campaign(self, *numbers: int) -> CampaignStats:
        """The stats of a campaign, or the sum of several; zeros for a campaign without facts. About
        1 us when nothing is new.
        """
        if len(numbers) == 1:
            return self._campaign(numbers[0])
        return merged(
            shard for number in numbers for shard in self._shards.get(number, {}).values()
        )

    def numbers(self) -> list[int]:
        """The campaigns with facts, in order."""
        return sorted(number for number, shards in self._shards.items() if shards)

    def knows(self, number: int) -> bool:
        """Whether there are facts of the campaign."""
        return bool(self._shards.get(number))

    def shards(self, number: int) -> list[int]:
        """Which of the campaign's shards have facts."""
        return sorted(self._shards.get(number, {}))

    def version(self, *numbers: int) -> int:
        """`campaign(*numbers).version` without adding anything else up."""
        return sum(
            shard.version for number in numbers for shard in self._shards.get(number, {}).values()
        )

    def _campaign(self, number: int) -> CampaignStats:
        found = self._merged.get(number)
        if found is None:
            if not (shards := self._shards.get(number)):
                return CampaignStats()
            found = self._merged[number] = merged(shards.values())
        return found


class SendingView(CompactedView):
    """The state of every campaign that is being sent, by campaign number: cursors, messages in
    flight, the reason for waiting and its end. `quota` holds each tenant's messages of the last
    hour and day.

    A campaign that is finished, cancelled or not started is not there. These are the throttle's own
    tables, read from its state topic.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, Name.CONTROL_STATE)
        self.quota = QuotaWindows()
        self._tenants: dict[str, TenantSending] = {}
        self._campaigns: dict[int, CampaignSending] = {}

    def put(self, key: bytes, value: bytes | None) -> None:
        """Rows of other tables of the control worker are left alone. Raises ValueError for a value
        that is not TenantSending.
        """
        table, row = decode_entry(key)
        if table == SENDING:
            self._put_tenant(row, None if value is None else decode_tenant(value))
        elif table in (HOURLY.table, DAILY.table):
            self.quota.put(table, row, value)

    def _put_tenant(self, tenant_id: str, fresh: TenantSending | None) -> None:
        for number in self._tenants.pop(tenant_id, _NOTHING).campaigns:
            self._campaigns.pop(number, None)
        if fresh is not None:
            self._tenants[tenant_id] = fresh
            self._campaigns.update(
                (number, campaign)
                for number, campaign in fresh.campaigns.items()
                if campaign.is_open
            )

    def campaign(self, number: int) -> CampaignSending | None:
        """None when the throttle does not know it (any more)."""
        return self._campaigns.get(number)

    def tenant(self, tenant_id: str) -> TenantSending:
        """An empty one for a tenant that sends nothing."""
        return self._tenants.get(tenant_id, _NOTHING)

    def numbers(self) -> list[int]:
        """The campaigns that are being sent."""
        return list(self._campaigns)

    def every(self) -> Iterator[tuple[str, int, CampaignSending]]:
        """The tenant, the number and the state of each campaign that is being sent."""
        for tenant_id, tenant in self._tenants.items():
            for number, campaign in tenant.campaigns.items():
                if campaign.is_open:
                    yield tenant_id, number, campaign


@asynccontextmanager
async def complete_views(settings: Settings) -> AsyncIterator[tuple[StatsView, SendingView]]:
    """Both views, once they have read everything that there is. Waits for a Kafka that is away."""
    async with StatsView(settings) as stats, SendingView(settings) as sending:
        await stats.ready.wait()
        await sending.ready.wait()
        yield stats, sending
