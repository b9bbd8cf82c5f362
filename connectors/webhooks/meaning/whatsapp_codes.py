"""Error codes of the WhatsApp Cloud API, each beside the words of its page.

developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes. None of them
says that a number does not exist: 131026 is also an old app, or terms not accepted. A code that is
not listed is a failure of ours or of Meta's, as all the others are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from connectors.webhooks.meaning.causes import Cause

CODES: Mapping[str, Cause] = MappingProxyType(
    {
        "131026": Cause.UNREACHABLE,  # undeliverable: no WhatsApp user, old app, terms not accepted
        "131050": Cause.OPTED_OUT,  # the user has stopped marketing messages of this business
        "130472": Cause.WITHHELD,  # the user's number is part of an experiment
        "131049": Cause.WITHHELD,  # not delivered, to keep engagement healthy
        "4": Cause.NOT_SENT,  # too many calls
        "80007": Cause.NOT_SENT,  # rate limit of the business account
        "130429": Cause.NOT_SENT,  # rate limit of the API
        "131048": Cause.NOT_SENT,  # spam rate limit: others have blocked or reported the sender
        "131056": Cause.NOT_SENT,  # too many messages from this sender to this person
        "368": Cause.NOT_SENT,  # blocked for violations of policy
        "131031": Cause.NOT_SENT,  # account locked
        "130497": Cause.NOT_SENT,  # account restricted from messaging users in this country
        "131047": Cause.NOT_SENT,  # more than 24 hours since the last reply, needs a template
        "131042": Cause.NOT_SENT,  # payment
        "131045": Cause.NOT_SENT,  # certificate of the sender
        "131000": Cause.NOT_SENT,  # something went wrong
        "131005": Cause.NOT_SENT,  # access denied
        "131008": Cause.NOT_SENT,  # required parameter missing
        "131009": Cause.NOT_SENT,  # parameter value not valid
        "131016": Cause.NOT_SENT,  # service unavailable
        "131021": Cause.NOT_SENT,  # recipient cannot be sender
        "131051": Cause.NOT_SENT,  # unsupported message type
        "131052": Cause.NOT_SENT,  # media download
        "131053": Cause.NOT_SENT,  # media upload
        "132000": Cause.NOT_SENT,  # number of template parameters
        "132001": Cause.NOT_SENT,  # template does not exist
        "132005": Cause.NOT_SENT,  # template text too long
        "132007": Cause.NOT_SENT,  # template violates character policy
        "132012": Cause.NOT_SENT,  # template parameter format
        "132015": Cause.NOT_SENT,  # template paused
        "132016": Cause.NOT_SENT,  # template disabled
    }
)
_GRAVEST = (Cause.OPTED_OUT, Cause.UNREACHABLE, Cause.WITHHELD, Cause.NOT_SENT)


def cause_of(codes: Iterable[str]) -> Cause:
    """Of a failed message with these codes: what the person wants comes first."""
    found = {CODES.get(code, Cause.NOT_SENT) for code in codes}
    return next((cause for cause in _GRAVEST if cause in found), Cause.NOT_SENT)
