"""How every process starts: its settings, its logging, and whether the servers let it in."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pydantic import ValidationError

from streams.exactly_once.fatal import EXIT_CODE
from streams.kafka.partition_counts import refused as refused_counts
from streams.kafka.refusals import refusal
from streams.process import logs
from streams.settings import Settings, from_environment, sentences

_WRONG_SETTINGS = 2  # exit code
_log = logging.getLogger(__name__)


def read_settings() -> Settings:
    """The settings of this process. Ends it with code 2, and a sentence on standard error for each
    setting, when they are missing or contradict each other.
    """
    try:
        return from_environment()
    except ValidationError as wrong:
        sys.stderr.writelines(f"{sentence}\n" for sentence in sentences(wrong))
        raise SystemExit(_WRONG_SETTINGS) from None


def start(role: str, *others: Callable[[Settings], str]) -> Settings:
    """The settings of this process, whose logging is configured now.

    Ends the process with code 70 and one sentence in the log when Kafka is there and refuses its
    password, token or certificate, or shows a certificate that is not trusted: clients would go on
    trying for ever; and also when topics have other partitions than the settings say. A Kafka that
    is away is waited for by whatever needs it. `others` ask other servers the same: each answers
    such a sentence, or "".
    """
    settings = read_settings()
    logs.configure(settings, role)
    # on a thread, since asyncio.run leaves the main thread without an event loop to start with
    with ThreadPoolExecutor(1) as thread:
        found = thread.submit(asyncio.run, refusal(settings)).result()
        refused = [found.sentence] if found is not None and found.is_certain else []
        if not refused and (
            uneven := thread.submit(asyncio.run, refused_counts(settings)).result()
        ):
            refused.append(uneven)
    refused += [sentence for ask in others if (sentence := ask(settings))]
    for sentence in refused:
        _log.critical("%s ends: %s", role, sentence)
    if refused:
        raise SystemExit(EXIT_CODE)
    if found is not None:
        _log.warning(found.sentence)
    if exposed := settings.exposed():
        _log.warning(exposed)
    return settings
