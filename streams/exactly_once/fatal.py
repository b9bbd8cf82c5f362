"""The errors that end an exactly-once worker: a class per situation, whose docstring is the
sentence that the operator reads.

A worker that meets one of them ends at once and is restarted by its supervisor: the next owner of
its partitions resolves the open transaction and restores what was committed, so memory never needs
a rollback.
"""

from __future__ import annotations

import logging
import os
from typing import NoReturn

from streams.errors import CampaignError, Fate
from streams.kafka.access import AccessRefusedError
from streams.records.message_id import UnknownKeyError

EXIT_CODE = 70
_log = logging.getLogger(__name__)


class FatalError(CampaignError):
    """The worker ends and its supervisor restarts it."""

    fate, status, code, title = Fate.STOP, 500, "worker-ends", "The worker ends"


class LostInputError(FatalError):
    """Faust skipped or reordered input that had been fetched; after the restart it is read again
    from the committed position.
    """


class FencedError(FatalError):
    """Another worker has taken this partition over (or the transaction took too long); nothing of
    this one's batch was committed.
    """


class RetentionError(FatalError):
    """Kafka deleted input before it was read; after the restart reading begins at the oldest record
    that is left.
    """


class RecreatedTopicError(FatalError):
    """A source topic ends before the position up to which it was processed: it was deleted and
    created again.
    """


class UnevenTopicsError(FatalError):
    """The sources and the state topic of a role need the same number of partitions, that of
    CAMPAIGNS_PARTITIONS.
    """


class ForeignTopicError(FatalError):
    """The consumer of a role may only be assigned the sources of its exactly-once agents."""


class MissingMetadataError(FatalError):
    """The group leader did not know the source topics (a broker that has just started); Faust would
    assign nothing to anyone for ever.
    """


class DamagedStateError(FatalError):
    """The state topic is damaged on the broker's disk: restore it from a replica or a backup."""


class NewerStateError(FatalError):
    """The state was written by a newer version: start that version, this one would damage it."""


class ForeignStateError(FatalError):
    """A partition of a state topic does not belong to this installation: the message says which and
    what to do.
    """


class StuckRestoreError(FatalError):
    """Reading the state topic made no progress."""


class StuckRebalanceError(FatalError):
    """A rebalance has begun and does not end; after the restart the worker joins its group anew."""


class StandsStillError(FatalError):
    """The worker has work and has made no progress for a minute; after the restart it reads on."""


class RecordTooLargeError(FatalError):
    """A body sent a record that does not fit into one batch; bodies must bound their records."""


class RefusedError(FatalError):
    """A server refuses this process, or a file that a setting names cannot be used; the message
    says which and why.
    """


# Their message is all that an operator needs.
_SAY_ALL = (
    RefusedError,
    AccessRefusedError,
    UnknownKeyError,
    UnevenTopicsError,
    ForeignStateError,
)


def end_process(error: BaseException) -> NoReturn:
    """Log the reason and exit with code 70, without any clean-up that could let a half-done batch
    be acknowledged.
    """
    if isinstance(error, _SAY_ALL):
        _log.critical("worker ends: %s", error)
    else:
        sentence = (
            (type(error).__doc__ or "").partition("\n")[0]
            if isinstance(error, FatalError)
            else "unexpected error"
        )
        _log.critical("worker ends: %s (%s)", sentence, type(error).__name__, exc_info=error)
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(EXIT_CODE)
