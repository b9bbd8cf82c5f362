"""Why a message did not reach a person, and what follows: one table for all providers, so that the
same cause has the same consequence at each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Literal

from streams.records.reported_events import IncomingType


class Cause(Enum):
    """Whose matter a failure is."""

    NO_SUCH_ADDRESS = "the address does not exist, or never can receive this kind of message"
    UNREACHABLE = "the address exists, and could not be reached this time"
    REFUSED = "the receiving side refused this message: its content, its size, our reputation"
    WITHHELD = "the provider kept it back for reasons of its own: an experiment, a cap per person"
    NOT_SENT = "the provider could not send it: account, quota, template, settings, its own fault"
    ALREADY_SUPPRESSED = "the provider's own list has the address, from what it reported before"
    OPTED_OUT = "the person has told the provider or the app to stop messages of this sender"
    COMPLAINED = "the person has called it spam"
    UNSUBSCRIBED = "the person has unsubscribed with the provider"
    NEWS_OF_NOBODY = "a report about the message that says nothing of the person's will"


@dataclass(frozen=True, slots=True)
class Consequence:
    """An event of ours."""

    type: IncomingType
    bounce_type: Literal["hard", "soft"] | None = None
    has_reason: bool = True


_FAILED = Consequence("failed")
_UNSUBSCRIBED = Consequence("unsubscribed", has_reason=False)
# A hard bounce suppresses the address, soft ones when several follow each other, a failure never:
# it is no fault of the address. A person's no suppresses person and address.
CONSEQUENCES: Mapping[Cause, tuple[Consequence, ...]] = MappingProxyType(
    {
        Cause.NO_SUCH_ADDRESS: (Consequence("bounced", "hard"),),
        Cause.UNREACHABLE: (Consequence("bounced", "soft"),),
        Cause.REFUSED: (Consequence("bounced", "soft"),),
        Cause.WITHHELD: (_FAILED,),
        Cause.NOT_SENT: (_FAILED,),
        Cause.ALREADY_SUPPRESSED: (_FAILED,),
        Cause.OPTED_OUT: (_UNSUBSCRIBED, _FAILED),
        Cause.COMPLAINED: (Consequence("complained", has_reason=False),),
        Cause.UNSUBSCRIBED: (_UNSUBSCRIBED,),
        Cause.NEWS_OF_NOBODY: (),
    }
)
