"""Twilio's error codes for SMS and WhatsApp, each beside the words of its page.

www.twilio.com/docs/api/errors; those of WhatsApp compared with
www.twilio.com/docs/whatsapp/api/error-code-mapping. A code that is not listed says no more than the
status beside it: `undelivered`, a carrier or app has not delivered it; `failed`, it was never sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from connectors.webhooks.meaning.causes import Cause

CODES: Mapping[str, Cause] = MappingProxyType(
    {
        "21211": Cause.NO_SUCH_ADDRESS,  # invalid 'To' phone number
        "21214": Cause.UNREACHABLE,  # 'To' phone number cannot be reached
        "21217": Cause.NO_SUCH_ADDRESS,  # phone number does not appear to be valid
        "21612": Cause.UNREACHABLE,  # the 'To' number is not currently reachable via SMS
        "21614": Cause.NO_SUCH_ADDRESS,  # 'To' number is not a valid mobile number
        "21635": Cause.NO_SUCH_ADDRESS,  # 'To' number cannot be a landline
        "30003": Cause.UNREACHABLE,  # unreachable handset: switched off, no service
        "30004": Cause.UNREACHABLE,  # message blocked: by the carrier, no signal, no SMS
        "30005": Cause.NO_SUCH_ADDRESS,  # unknown destination handset
        "30006": Cause.NO_SUCH_ADDRESS,  # landline or unreachable carrier
        "30017": Cause.UNREACHABLE,  # carrier network congestion
        "30410": Cause.UNREACHABLE,  # provider timeout
        "63003": Cause.NO_SUCH_ADDRESS,  # channel could not find 'To': inactive or invalid
        "63024": Cause.UNREACHABLE,  # invalid message recipient: WhatsApp 1026, as Meta's 131026
        "63036": Cause.UNREACHABLE,  # cannot be reached by RBM at this time: switched off
        "30007": Cause.REFUSED,  # filtered as spam by Twilio or a carrier
        "30011": Cause.REFUSED,  # MMS not supported by the receiving number
        "30019": Cause.REFUSED,  # content size exceeds the carrier's limit
        "63026": Cause.REFUSED,  # content flagged as spam
        "63032": Cause.WITHHELD,  # WhatsApp limitation: the number is part of an experiment
        "63049": Cause.WITHHELD,  # Meta chose not to deliver this marketing message
        "21610": Cause.OPTED_OUT,  # the recipient has replied STOP
        "63014": Cause.OPTED_OUT,  # blocked by user action: blocked the sender, or opted out
        "63033": Cause.OPTED_OUT,  # recipient has blocked your number
        "21408": Cause.NOT_SENT,  # region not enabled in the account
        "21606": Cause.NOT_SENT,  # 'From' not capable for this destination
        "21608": Cause.NOT_SENT,  # trial account, 'To' not verified
        "21611": Cause.NOT_SENT,  # 'From' has too many queued messages
        "21617": Cause.NOT_SENT,  # body exceeds 1,600 characters
        "21618": Cause.NOT_SENT,  # the message body cannot be sent
        "30001": Cause.NOT_SENT,  # queue overflow
        "30002": Cause.NOT_SENT,  # account suspended
        "30009": Cause.NOT_SENT,  # missing segment
        "30010": Cause.NOT_SENT,  # price exceeds max price
        "30012": Cause.NOT_SENT,  # TTL too small
        "30013": Cause.NOT_SENT,  # TTL too big
        "30014": Cause.NOT_SENT,  # 'To' attributes invalid
        "30015": Cause.NOT_SENT,  # channel type not supported
        "30016": Cause.NOT_SENT,  # 'To' and 'From' channel types incompatible
        "30018": Cause.NOT_SENT,  # sender id needs registration
        "30020": Cause.NOT_SENT,  # internal failure with scheduling
        "30021": Cause.NOT_SENT,  # internal failure of the messaging service
        "30022": Cause.NOT_SENT,  # 10DLC rate limit
        "30023": Cause.NOT_SENT,  # 10DLC daily cap
        "30024": Cause.NOT_SENT,  # numeric sender id not provisioned
        "30027": Cause.NOT_SENT,  # T-Mobile daily limit
        "30032": Cause.NOT_SENT,  # toll-free number not verified
        "30033": Cause.NOT_SENT,  # 10DLC campaign suspended
        "30034": Cause.NOT_SENT,  # 10DLC number not registered
        "30035": Cause.NOT_SENT,  # 10DLC number still being configured
        "63001": Cause.NOT_SENT,  # channel could not authenticate
        "63002": Cause.NOT_SENT,  # channel could not find 'From'
        "63005": Cause.NOT_SENT,  # channel did not accept the content
        "63006": Cause.NOT_SENT,  # content could not be formatted
        "63007": Cause.NOT_SENT,  # no channel with this 'From'
        "63008": Cause.NOT_SENT,  # channel misconfigured
        "63009": Cause.NOT_SENT,  # channel provider's internal error
        "63010": Cause.NOT_SENT,  # Twilio's internal error
        "63011": Cause.NOT_SENT,  # invalid request
        "63012": Cause.NOT_SENT,  # channel provider's internal error
        "63013": Cause.NOT_SENT,  # channel policy violation
        "63015": Cause.NOT_SENT,  # sandbox, number has not joined
        "63016": Cause.NOT_SENT,  # outside the window, needs a template
        "63017": Cause.NOT_SENT,  # rate limit
        "63018": Cause.NOT_SENT,  # rate limit of the channel
        "63019": Cause.NOT_SENT,  # media failed to download
        "63020": Cause.NOT_SENT,  # business manager account
        "63021": Cause.NOT_SENT,  # invalid content
        "63022": Cause.NOT_SENT,  # invalid certificate of the sender
        "63027": Cause.NOT_SENT,  # template does not exist in this language
        "63028": Cause.NOT_SENT,  # number of parameters
        "63029": Cause.UNREACHABLE,  # the receiver failed to download the template
        "63030": Cause.NOT_SENT,  # unsupported parameter
        "63031": Cause.NOT_SENT,  # same 'From' and 'To'
        "63034": Cause.NOT_SENT,  # media too large
        "63035": Cause.NOT_SENT,  # RBM agent not launched
        "63037": Cause.NOT_SENT,  # media upload
        "63038": Cause.NOT_SENT,  # account's daily limit
        "63040": Cause.NOT_SENT,  # template rejected
        "63041": Cause.NOT_SENT,  # template paused
        "63042": Cause.NOT_SENT,  # template disabled
        "63051": Cause.NOT_SENT,  # WhatsApp business account locked
    }
)


def cause_of(code: str, status: str) -> Cause:
    """Of a message that is `undelivered` or `failed`."""
    otherwise = Cause.UNREACHABLE if status == "undelivered" else Cause.NOT_SENT
    return CODES.get(code, otherwise)
