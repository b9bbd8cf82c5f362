"""Faust's Kafka transport for exactly-once agents: it reads committed records only, begins at the
transactional position, and stamps each record so that a skip is noticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka.errors import IllegalStateError, NoOffsetForPartitionError, OffsetOutOfRangeError
from faust import auth
from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables.recovery import RebalanceAgain
from faust.transport import drivers
from faust.transport.drivers import aiokafka as driver

from streams.exactly_once.fatal import MissingMetadataError, RetentionError

SCHEME = "kafka-eos"  # App(broker="kafka-eos://host:9092")


def credentials(access: Mapping[str, Any]) -> auth.Credentials | None:
    """Faust's own words for aiokafka's arguments, which it makes of them again for its consumer and
    its producer.
    """
    context, mechanism = access.get("ssl_context"), access.get("sasl_mechanism")
    if mechanism == "OAUTHBEARER":
        tokens = access["sasl_oauth_token_provider"]
        return auth.OAuthCredentials(oauth_cb=tokens, ssl_context=context)
    if mechanism is not None:
        return auth.SASLCredentials(
            mechanism=mechanism,
            username=access["sasl_plain_username"],
            password=access["sasl_plain_password"],
            ssl_context=context,
        )
    return auth.SSLCredentials(context) if context is not None else None


class ReadCommittedThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # faust is untyped
    """Faust reads uncommitted records unless its own exactly-once setting is on."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        return consumer


class TransactionalConsumer(driver.Consumer):  # type: ignore[misc]  # faust is untyped
    """Reads committed records, starts at the position in the state topic, and tells the consumer
    group only that position.

    Every record is stamped where it is fetched, before anything can lose it: with its predecessor's
    offset, so that the agent notices a skip or a reordering, and with the number of the seek it
    follows, so that leftovers from before a rebalance are recognised.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.epoch = 0  # grows with every seek and revocation
        # topic and partition -> offset of the last record since the last seek
        self.fetched: dict[Any, int] = {}
        super().__init__(*args, **options)

    def _new_consumer_thread(self) -> ReadCommittedThread:
        return ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
        try:
            records = await super()._getmany(active_partitions, timeout)
        except NoOffsetForPartitionError:
            return {}  # a new assignment, before perform_seek has said where to start
        except OffsetOutOfRangeError as error:
            # a jump to the oldest or newest record would be silent loss; the restore after the
            # restart reports and resumes
            self.app.exactly_once.end(RetentionError(str(error)))
            raise
        for tp, batch in (records or {}).items():
            for record in batch:
                record.epoch, record.previous = self.epoch, self.fetched.get(tp, -1)
                self.fetched[tp] = record.offset
        return records

    def _to_message(self, tp: Any, record: Any) -> Any:
        message = super()._to_message(tp, record)
        message.previous, message.epoch = record.previous, record.epoch
        return message

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Nothing: transaction markers look like gaps to Faust, and it puts the current record into
        the gap.
        """

    def _new_offset(self, tp: Any) -> int | None:
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        position: int = self.app.exactly_once.committed_positions([tp]).get(tp, -1)
        return position if position > (self._committed_offset[tp] or 0) else None

    async def perform_seek(self) -> None:
        """Raises RebalanceAgain when the partitions are taken away meanwhile. aiokafka cancels what
        was asked about them, and to Faust that looks as if its own task were cancelled: it would
        end the task that every later rebalance needs, without a word.
        """
        try:
            await super().perform_seek()
            if starts := self.app.exactly_once.starting_positions(self.assignment()):
                await self.seek_wait(starts)
        except IllegalStateError as error:
            raise RebalanceAgain from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise RebalanceAgain from error
        for tp in starts:
            self._acked[tp]  # a defaultdict: lets the next commit report the position
        self.forget_fetched()

    def forget_fetched(self) -> None:
        """Everything fetched so far is stale: it will be fetched again."""
        self.fetched.clear()
        self.epoch += 1

    async def lag(self, committed: Mapping[Any, int]) -> int:
        """Records, markers included, between the given positions and the ends of their partitions;
        0 only when all is processed.

        A fetch that has passed the last marker counts as processed once everything it returned is
        committed.
        """
        if not committed:
            return 0
        ends = await self.highwaters(*committed)
        fetches = await asyncio.gather(*(self.position(tp) for tp in committed))
        lag = 0
        for (tp, position), fetch in zip(committed.items(), fetches, strict=True):
            unprocessed = max(0, self.fetched.get(tp, -1) + 1 - position)
            lag += max(0, ends[tp] - (fetch or 0)) + unprocessed
        return lag


class TransactionalAssignor(PartitionAssignor):  # type: ignore[misc]  # faust is untyped
    """Right after a broker restart the group leader can lack the sources; Faust would then assign
    nothing to anyone, for ever.
    """

    def assign(self, cluster: Any, member_metadata: Any) -> Any:
        if missing := [
            topic
            for topic in self.app.exactly_once.sources
            if not cluster.partitions_for_topic(topic)
        ]:
            self.app.exactly_once.end(MissingMetadataError(f"no metadata of {missing}"))
        return super().assign(cluster, member_metadata)


class Transport(driver.Transport):  # type: ignore[misc]  # faust is untyped
    """The transport behind `kafka-eos://`."""

    Consumer = TransactionalConsumer


drivers.TRANSPORTS.aliases[SCHEME] = f"{__name__}:Transport"
