"""Every private part of Faust, mode and aiokafka that the exactly-once modules lean on, checked at
start-up.

An upgrade that moves one of them stops the worker before it touches a partition, with a sentence
that says which. Then read the new version, run `tests/streams/exactly_once` and `tests/faults`, and
move the pins here and in pyproject.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version

import faust
import mode
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer import fetcher
from aiokafka.producer import sender
from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport import consumer, drivers
from faust.transport.drivers import aiokafka as driver

PINS = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}


@dataclass(frozen=True)
class Leaned:
    """One private part: its owner and name, the words that its source must contain, in this order,
    and the reason.
    """

    owner: type
    name: str
    needs: tuple[str, ...]
    why: str


LEANED_ON = (
    Leaned(
        Recovery,
        "_resume_streams",
        ("on_rebalance_complete.send()", "perform_seek()", "resume_flow()"),
        "restore, then seek, then flow",
    ),
    Leaned(
        Recovery,
        "_restart_recovery",
        ("if not self.tables", "_resume_streams"),
        "without Faust tables its own recovery is skipped",
    ),
    Leaned(
        Recovery,
        "_restart_recovery",
        ("except RebalanceAgain", "continue"),
        "a seek that a rebalance interrupts is made again after it",
    ),
    Leaned(
        Recovery,
        "_wait",
        ("wait_first(", "wait_result.stopped", "raise ServiceStopped()"),
        "extended: a wait that lasts too long ends the process, not the task",
    ),
    Leaned(
        faust.App,
        "_on_partitions_revoked",
        ("stop_flow", "self.on_partitions_revoked.send"),
        "transactions end before partitions move",
    ),
    Leaned(
        faust.App,
        "_stop_consumer",
        ("_stop_fetcher", "_consumer_wait_empty", "self.tables.stop()"),
        "a planned stop redoes nothing",
    ),
    Leaned(
        faust.App,
        "Table",
        ("self.tables.add(", "using_window"),
        "tables register with TransactionalTables",
    ),
    Leaned(
        faust.App,
        "_create_directories",
        ("datadir.mkdir",),
        "replaced: a worker keeps nothing on disk",
    ),
    Leaned(
        mode.Service,
        "crash",
        ("self.beacon.walk()", "child._crash(reason)"),
        "replaced: a worker ends when one of its services fails",
    ),
    Leaned(
        TableManager,
        "on_start",
        ("self.sleep(1.0)", "self._update_channels()", "self.recovery.start()"),
        "replaced: the same without the sleep",
    ),
    Leaned(TableManager, "on_stop", ("_fetcher.stop()",), "extended: closes the producers"),
    Leaned(
        faust.Table, "__setitem__", ("on_key_set", "data["), "a change is noted before it is made"
    ),
    Leaned(
        faust.Table, "__delitem__", ("on_key_del", "data["), "a change is noted before it is made"
    ),
    Leaned(
        consumer.Consumer,
        "getmany",
        ("_wait_next_records", "_to_message", "perform_seek"),
        "records are stamped as they are fetched",
    ),
    Leaned(
        consumer.Consumer,
        "_wait_next_records",
        ("self._getmany(",),
        "records are stamped as they are fetched",
    ),
    Leaned(
        consumer.Consumer,
        "_filter_tps_with_pending_acks",
        ("self._acked",),
        "reporting the position to the group",
    ),
    Leaned(
        consumer.Consumer,
        "_filter_committable_offsets",
        ("self._new_offset(tp)",),
        "reporting the position to the group",
    ),
    Leaned(
        consumer.Consumer,
        "_new_offset",
        ("self._acked[", "self._committed_offset[", "self._acked_index["),
        "replaced: reports the position",
    ),
    Leaned(
        consumer.Consumer,
        "_drain_messages",
        ("_add_gap", "set_read_offset"),
        "gap tracking is switched off",
    ),
    Leaned(driver.Consumer, "_new_consumer_thread", (), "the read_committed thread"),
    Leaned(driver.Consumer, "_to_message", ("ConsumerMessage(",), "carries the stamps"),
    Leaned(
        driver.AIOKafkaConsumerThread,
        "_create_worker_consumer",
        ("table_standby_replicas > 0", "isolation_level"),
        "assignor and isolation",
    ),
    Leaned(
        AIOKafkaConsumer,
        "start",
        ("isolation_level=self._isolation_level",),
        "isolation is read when it starts",
    ),
    Leaned(
        PartitionAssignor,
        "assign",
        ("self._assign(cluster, member_metadata)",),
        "extended: refuses to assign nothing",
    ),
    Leaned(
        AIOKafkaProducer,
        "create_batch",
        ("create_builder(",),
        "batches carry compression and the transactional flag",
    ),
    Leaned(
        sender.AddPartitionsToTxnHandler,
        "handle_response",
        ("return BACKOFF_OVERRIDE",),
        "the pause between transactions",
    ),
    Leaned(
        fetcher.Fetcher,
        "_proc_fetch_request",
        ("records = MemoryRecords(part_data[-1])", "records.has_next()", "records.size_in_bytes()"),
        "replaced: batches that aiokafka cannot read do not stop their reader",
    ),
    Leaned(
        fetcher.PartitionRecords,
        "_unpack_records",
        ("records.next_batch()", "validate_crc()", "for record in next_batch"),
        "batches that aiokafka cannot read do not stop their reader",
    ),
    Leaned(
        AIOKafkaConnection,
        "connect",
        ("create_connection(", "self._writer", "self._do_sasl_handshake()"),
        "extended: a broker that has fallen silent is noticed within seconds",
    ),
    Leaned(
        AIOKafkaConnection,
        "close",
        ("self._writer.close()", "return self._closed_fut"),
        "extended: TLS says no goodbye that nobody answers",
    ),
    Leaned(
        AIOKafkaConnection,
        "authenticator_oauth",
        ("OAuthAuthenticator(", "sasl_oauth_token_provider="),
        "a refused token is not taken for an accepted one",
    ),
)


def check_internals() -> None:
    """Raises RuntimeError that names every package and private part that is not as the exactly-once
    modules know it.
    """
    if problems := [*_moved_pins(), *_moved_parts()]:
        raise RuntimeError(
            "exactly-once agents do not know these versions:\n  " + "\n  ".join(problems)
        )


def _moved_pins() -> Iterator[str]:
    for package, pinned in PINS.items():
        if (found := version(package)) != pinned:
            yield f"{package} is {found}, tested with {pinned}"


def _moved_parts() -> Iterator[str]:
    for leaned in LEANED_ON:
        part = getattr(leaned.owner, leaned.name, None)
        source, at = (
            inspect.getsource(getattr(part, "fun", part)) if part else "",
            0,
        )  # a mode task keeps its function in `fun`
        for need in leaned.needs or ("def ",):
            if (at := source.find(need, at)) < 0:
                yield f"{leaned.owner.__qualname__}.{leaned.name} lacks {need!r} ({leaned.why})"
                break
    if "kafka" not in drivers.TRANSPORTS.aliases:
        yield "faust.transport.drivers.TRANSPORTS.aliases has moved"
