"""The JetStream stream `CAMPAIGNS`: created when it is missing, checked when it is there, and
identified by its time of creation.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from connectors.nats.connection import JetStreamConnection, NatsDownError
from streams.settings import Settings

DUPLICATE_WINDOW = timedelta(
    minutes=10
)  # a bridge that is back within it repeats nothing; the server remembers every id for so long
RETENTION = timedelta(
    days=7
)  # as long as Kafka keeps the source, from which the stream can be rebuilt
_NOT_FOUND = 404
_log = logging.getLogger(__name__)


def stream_name(settings: Settings) -> str:
    return f"{settings.topic_prefix}CAMPAIGNS"


def subjects(settings: Settings) -> str:
    return f"{settings.topic_prefix}campaign.>"


async def ensure_stream(connection: JetStreamConnection, settings: Settings) -> str:
    """Creates or corrects the stream and answers its identity: a stream that was wiped and made
    again has another one.

    Subjects and a duplicate window under ten minutes are corrected; a stream in memory is only
    reported, because JetStream cannot move it. Raises NatsDownError when JetStream does not answer
    or refuses.
    """
    name = stream_name(settings)
    info = await connection.request(f"$JS.API.STREAM.INFO.{name}", None)
    if info.get("error", {}).get("code") == _NOT_FOUND:
        info = await connection.request(f"$JS.API.STREAM.CREATE.{name}", _wanted(settings))
        _log.info("created the stream %s", name)
    _raise_refusal(info)
    config: dict[str, Any] = info["config"]
    if config["storage"] != "file":
        _log.error(
            "the stream %s is kept in memory: a restart of NATS loses it; make it again with file storage",
            name,
        )
    if (corrected := config | _corrections(config, settings)) != config:
        _raise_refusal(await connection.request(f"$JS.API.STREAM.UPDATE.{name}", corrected))
        _log.warning("corrected the subjects and the duplicate window of the stream %s", name)
    return str(info["created"])


def _wanted(settings: Settings) -> dict[str, Any]:
    return {
        "name": stream_name(settings),
        "subjects": [subjects(settings)],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_age": _nanoseconds(RETENTION),
        "duplicate_window": _nanoseconds(DUPLICATE_WINDOW),
        "num_replicas": settings.replication_factor,
    }


def _corrections(config: dict[str, Any], settings: Settings) -> dict[str, Any]:
    ours, present = subjects(settings), config.get("subjects") or []
    others = [
        subject for subject in present if not subject.startswith(ours.removesuffix(">"))
    ]  # JetStream refuses subjects that overlap
    return {
        "subjects": present if ours in present else [*others, ours],
        "duplicate_window": max(config.get("duplicate_window", 0), _nanoseconds(DUPLICATE_WINDOW)),
    }


def _nanoseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1e9)


def _raise_refusal(answer: dict[str, Any]) -> None:
    if error := answer.get("error"):
        raise NatsDownError(f"JetStream refuses: {error.get('description')}")
