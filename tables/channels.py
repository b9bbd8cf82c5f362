"""The four channels: where an address is and how it is spelled, what content and settings become of
a message, and what that costs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from tables.numbers import canonical, number_key
from tables.sms_segments import segments

_PLAIN_EMAIL = re.compile(
    r"[a-z0-9_]+(?:[.+-][a-z0-9_]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+([a-z]{2,24})", re.ASCII
)
_PLAIN_US_PHONE = re.compile(r"\+1[2-9][0-9]{9}", re.ASCII)
_RESERVED = frozenset(
    {"arpa", "invalid", "local", "localhost", "onion", "alt"}
)  # the library refuses these top-level domains
_LONGEST_NUMBER = 15  # digits (ITU-T E.164, section 6.2.1)
_USER_ID = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}", re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]{1,512}")
_SHORT = 63  # characters; up to here no part of an address can be too long (RFC 1035, RFC 5321)


def email(text: str) -> str:
    """The one spelling of an email address, lower case, the domain in ASCII where the local part
    allows it. Raises ValueError.

    No DNS. Plain addresses take 1 us; everything else goes through email-validator, which costs 25
    us and agrees with the short way.
    """
    lowered = text.strip().lower()
    if (
        len(lowered) <= _SHORT
        and (match := _PLAIN_EMAIL.fullmatch(lowered))
        and match[1] not in _RESERVED
    ):
        return lowered
    try:
        # test_environment: names under .test are for exactly this (RFC 6761)
        found = validate_email(
            text.strip(), check_deliverability=False, test_environment=True, strict=True
        )
    except EmailNotValidError as error:
        raise ValueError(
            "email: not a valid address"
        ) from error  # the library's sentence can quote the address
    return (found.ascii_email or found.normalized).lower()


def phone(text: str) -> str:
    """A phone number in E.164, in the spelling that its country uses today (`canonical`). Needs the
    country code; any number of a possible length passes. Raises ValueError.
    """
    if _PLAIN_US_PHONE.fullmatch(text):
        return text
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException as error:
        raise ValueError(
            "phone: not a number with a country code, such as +49 30 123456"
        ) from error
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    spelled = canonical(written)
    if len(spelled) > len("+") + _LONGEST_NUMBER:
        raise ValueError(f"phone: more than {_LONGEST_NUMBER} digits, the limit of E.164")
    if spelled != written:  # the library knows neither Mexico's old spelling nor Brazil's
        number = phonenumbers.parse(spelled, None)
    if not phonenumbers.is_possible_number(number):
        raise ValueError("phone: no number of that country has this length")
    return spelled


def is_user_id(address: str) -> bool:
    """Whether an address of WhatsApp is an id and no number."""
    return _USER_ID.fullmatch(address) is not None


def whatsapp(text: str) -> str:
    """A phone number, or the id of a user who hides it behind a username, as Meta spells it
    (developers.facebook.com/documentation/business-messaging/whatsapp/business-scoped-user-ids):
    country, full stop and up to 128 letters and digits, such as `US.13491208655302741918`. Raises
    ValueError.
    """
    return user_id if is_user_id(user_id := text.strip()) else phone(text)


def push_token(text: str) -> str:
    """A device token as it is: 1 to 512 printable ASCII characters. Raises ValueError."""
    if not _TOKEN.fullmatch(token := text.strip()):
        raise ValueError("pushToken: 1 to 512 printable ASCII characters without spaces")
    return token


@dataclass(frozen=True)
class Channel:
    """`column` of contacts holds the address, `normalise` spells it. `content`: field -> its
    longest length; `required` in that order.

    `sender`: member of a message's `from` -> the setting it comes from. `options`: the settings
    that travel in `options` as they are.
    """

    column: str
    normalise: Callable[[str], str]
    content: Mapping[str, int]
    required: tuple[str, ...]
    sender: Mapping[str, str]
    options: tuple[str, ...] = ()

    def compared(self, text: str) -> str:
        """The spelling in which two addresses are compared and suppressed. Raises ValueError."""
        address = self.normalise(text)
        return number_key(address) if self.column == "phone" else address

    def compared_in(self, contact: str) -> str:
        """The SQL expression of that spelling of a contact's address; `contact` is its alias."""
        column = f"{contact}.{self.column}"
        return f"number_key({column})" if self.column == "phone" else column

    def found_by(self, contact: str, address: str) -> str:
        """The SQL condition that a contact has the address of an SQL expression, in any spelling;
        an index finds it.
        """
        column = f"{contact}.{self.column}"
        if self.column == "phone":
            return f"{column} = ANY (number_spellings({address}))"
        return f"{column} = {address}"


# A message is one Kafka record and every recipient's copy is written out, so bodies are bounded far
# below the record limit.
_EMAIL = MappingProxyType({"subject": 500, "html": 200_000, "text": 200_000})
_SMS, _WHATSAPP = MappingProxyType({"text": 1600}), MappingProxyType({"text": 4096})
_PUSH = MappingProxyType({"title": 200, "body": 4000, "link": 2000})
_NAMED = MappingProxyType({"name": "fromName", "email": "fromEmail", "replyTo": "replyTo"})
_IDENTIFIED, _NOBODY = (
    MappingProxyType({"senderId": "senderId"}),
    MappingProxyType(dict[str, str]()),
)
CHANNELS: Mapping[str, Channel] = MappingProxyType(
    {
        "email": Channel("email", email, _EMAIL, ("subject",), _NAMED),
        "sms": Channel("phone", phone, _SMS, ("text",), _IDENTIFIED, ("maxSegments",)),
        "whatsapp": Channel(
            "phone", whatsapp, _WHATSAPP, ("text",), _IDENTIFIED, ("templateName", "language")
        ),
        "push": Channel(
            "push_token",
            push_token,
            _PUSH,
            ("title", "body"),
            _NOBODY,
            ("sound", "badge", "ttlSeconds", "collapseKey"),
        ),
    }
)
# Bytes. Gmail shows no more of an email than about that; APNs and FCM take no larger payload.
_CLIPPED, _LARGEST_PUSH = 102_000, 4_096


def hints(channel: str, content: Mapping[str, str]) -> dict[str, Any]:
    """The costs and risks of a rendered content. sms: encoding, units, segments, unitsLeft; others:
    their size and the limit they face.

    The size of a push message is that of its texts: provider and app add their own to it.
    """
    sizes = {part: len(text.encode("utf-8", "surrogatepass")) for part, text in content.items()}
    match channel:
        case "sms":
            found = segments(content.get("text", ""))
            return {
                "encoding": found.encoding,
                "units": found.units,
                "segments": found.parts,
                "unitsLeft": found.left,
            }
        case "whatsapp":
            return {"characters": len(content.get("text", "")), "limit": _WHATSAPP["text"]}
        case "push":
            return {"bytes": sum(sizes.values()), "limit": _LARGEST_PUSH}
        case _:
            return {"bytes": sizes.get("html", 0) or sizes.get("text", 0), "limit": _CLIPPED}
