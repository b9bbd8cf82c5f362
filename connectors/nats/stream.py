"""The JetStream stream `CAMPAIGNS`: created when it is missing, checked when it is there, and
identified by its time of creation.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from nats.errors import Error
from nats.js import JetStreamManager
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError

from connectors.nats.failures import NatsDownError
from connectors.nats.jetstream import JetStreamConnection
from streams.settings import Settings

# A bridge that is back within it repeats nothing; the server remembers every id for so long.
DUPLICATE_WINDOW = timedelta(minutes=10)
# As long as Kafka keeps the source, from which the stream can be rebuilt.
RETENTION = timedelta(days=7)
_log = logging.getLogger(__name__)


def stream_name(settings: Settings) -> str:
    return f"{settings.topic_prefix}CAMPAIGNS"


def subjects(settings: Settings) -> str:
    return f"{settings.topic_prefix}campaign.>"


async def ensure_stream(connection: JetStreamConnection, settings: Settings) -> datetime:
    """Create or correct the stream and answer its identity: a stream that was wiped and made again
    has another time of creation.

    Subjects and a duplicate window under ten minutes are corrected; a stream in memory is only
    reported, because JetStream cannot move it. Raises NatsDownError when JetStream does not answer
    or refuses, NatsRefusedError when the user lacks the permission.
    """
    try:
        return await _ensured(connection.streams, settings)
    except APIError as error:
        raise NatsDownError(f"JetStream refuses: {error.description}") from error
    except Error as error:
        raise connection.unanswered(f"JetStream does not answer: {error}") from error


async def _ensured(streams: JetStreamManager, settings: Settings) -> datetime:
    name = stream_name(settings)
    try:
        info = await streams.stream_info(name)
    except NotFoundError:
        info = await streams.add_stream(_wanted(settings))
        _log.info("created the stream %s", name)
    if info.config.storage != StorageType.FILE:
        _log.error(
            "the stream %s is kept in memory: a restart of NATS loses it; "
            "make it again with file storage",
            name,
        )
    if corrections := _corrections(info.config, settings):
        await streams.update_stream(info.config, **corrections)
        _log.warning("corrected the subjects and the duplicate window of the stream %s", name)
    return _created(info)


def _created(info: StreamInfo) -> datetime:
    if info.created is None:
        raise NatsDownError("JetStream does not say when the stream was created.")
    return info.created


def _wanted(settings: Settings) -> StreamConfig:
    return StreamConfig(
        name=stream_name(settings),
        subjects=[subjects(settings)],
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        max_age=RETENTION.total_seconds(),
        duplicate_window=DUPLICATE_WINDOW.total_seconds(),
        num_replicas=settings.nats_copies,
    )


def _corrections(config: StreamConfig, settings: Settings) -> dict[str, Any]:
    """The values that have to change, by field."""
    corrections = dict[str, Any]()
    ours, present = subjects(settings), config.subjects or []
    if ours not in present:  # JetStream refuses subjects that overlap
        others = [each for each in present if not each.startswith(ours.removesuffix(">"))]
        corrections["subjects"] = [*others, ours]
    if config.duplicate_window < DUPLICATE_WINDOW.total_seconds():
        corrections["duplicate_window"] = DUPLICATE_WINDOW.total_seconds()
    return corrections
