"""The mark: what Kafka knows of the PostgreSQL that it belongs to, the newest record of
`campaigns.installation.v1`.

Every partition of the state topics holds the installation's identity, too (`STATE_KEY`), so that
one which was lost or made again is noticed when it is read.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from streams.contracts.envelope import Record

KEY = b"installation"
STATE_KEY = b'installation\0""'  # a row of a table of its own; its value is the identity


class Mark(Record, frozen=True):
    """The last round of the outbox that Kafka has, written in the transaction of its records.

    `number` is the highest campaign number that PostgreSQL had given away by then, `at` the time of
    PostgreSQL at which the round was announced there.
    """

    installation: str
    round: int
    number: int
    at: Annotated[datetime, msgspec.Meta(tz=True)]


decode_mark = msgspec.json.Decoder(Mark).decode
