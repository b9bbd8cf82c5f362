"""A contact as a file, the API or another service gives it: the fields, the spelling of each, and
the reasons why a row is unusable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from streams.contracts.values.one_line import composed
from streams.contracts.values.zones import zone_names
from tables.channels import email, phone, push_token
from tables.numbers import number_key

#: The columns of addresses, in the order in which they identify a contact.
ADDRESSES = ("email", "phone", "push_token")
MOST_ATTRIBUTES = 200
LARGEST_ATTRIBUTES = 16_384  # bytes of JSON; they travel with every chunk that is rendered
_SHORTENED = re.compile(r"[+']?[0-9]+(?:[.,][0-9]*)?[eE][+-]?[0-9]+", re.ASCII)
_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # in JSON, not the same letters behind a backslash
_encode = msgspec.json.Encoder(order="deterministic").encode


class ContactRow(NamedTuple):
    """One usable row, in the order of the staging table; None = not given, which leaves an existing
    contact's field as it is.
    """

    line: int
    id: UUID | None
    external_id: str | None
    email: str | None
    phone: str | None
    push_token: str | None
    first_name: str | None
    last_name: str | None
    time_zone: str | None
    locale: str | None
    attributes: str  # JSON object

    @property
    def address(self) -> tuple[str, str] | None:
        """The address that identifies a row without id and externalId: the first it has of email,
        phone and push token.
        """
        if self.email is not None:
            return "email", self.email
        if self.phone is not None:
            return "phone", number_key(self.phone)
        return ("push_token", self.push_token) if self.push_token is not None else None


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise ValueError("id: not a UUID") from error


def _text(name: str, longest: int) -> Callable[[str], str]:
    def checked(text: str) -> str:
        if len(text := text.strip()) > longest:
            raise ValueError(f"{name}: at most {longest} characters")
        if "\0" in text:
            raise ValueError(f"{name}: PostgreSQL stores no NUL characters")
        return text

    return checked


def _name(name: str) -> Callable[[str], str]:
    """Names of people are kept composed (NFC), so that a search finds both spellings."""
    checked = _text(name, 255)
    return lambda text: checked(composed(text))


def refuse_shortened(text: str) -> None:
    """Raises ValueError for a number as spreadsheets show it in a narrow column, 4.91511E+11: its
    last digits are lost.
    """
    if _SHORTENED.fullmatch(text.strip()):
        raise ValueError("phone: a spreadsheet has shortened it; format the column as text")


def _phone(text: str) -> str:
    if "E" in text or "e" in text:
        refuse_shortened(text)
    return phone(text)


def _time_zone(text: str) -> str:
    if (name := text.strip()) not in zone_names():
        raise ValueError("timeZone: not a name of the time zone database, such as Europe/Berlin")
    return name


def _locale(text: str) -> str:
    if len(text := text.strip()) > 35 or not _LOCALE.fullmatch(text):
        raise ValueError("locale: not a language tag such as en or pt-BR (BCP 47)")
    return text


# column of the table -> (name outside, how it is spelled)
SPELLINGS: Mapping[str, tuple[str, Callable[[str], Any]]] = MappingProxyType(
    {
        "id": ("id", _uuid),
        "external_id": ("externalId", _text("externalId", 255)),
        "email": ("email", email),
        "phone": ("phone", _phone),
        "push_token": ("pushToken", push_token),
        "first_name": ("firstName", _name("firstName")),
        "last_name": ("lastName", _name("lastName")),
        "time_zone": ("timeZone", _time_zone),
        "locale": ("locale", _locale),
    }
)
COLUMNS: Mapping[str, str] = MappingProxyType(
    {name.lower(): column for column, (name, _) in SPELLINGS.items()}
)


def column_of(name: str) -> str | None:
    """The column that a heading means, whatever its case and separators (`First Name`,
    `first_name`); None = an attribute.
    """
    return COLUMNS.get(name.lower().replace("_", "").replace("-", "").replace(" ", ""))


def contact_row(line: int, fields: Mapping[str, str], attributes: Mapping[str, Any]) -> ContactRow:
    """A row of values by column; empty ones count as not given. Raises ValueError with field and
    rule, never with a value.
    """
    found: dict[str, Any] = dict.fromkeys(SPELLINGS)
    for column, text in fields.items():
        if text:
            found[column] = SPELLINGS[column][1](text) or None
    if not (
        found["id"]
        or found["external_id"]
        or found["email"]
        or found["phone"]
        or found["push_token"]
    ):
        raise ValueError("row: needs one of id, externalId, email, phone and pushToken")
    return ContactRow(line, **found, attributes=attributes_json(attributes) if attributes else "{}")


def attributes_json(attributes: Mapping[str, Any]) -> str:
    """Raises ValueError when they are too many or too large."""
    if len(attributes) > MOST_ATTRIBUTES:
        raise ValueError(f"attributes: at most {MOST_ATTRIBUTES}")
    encoded = _encode(attributes)
    if len(encoded) > LARGEST_ATTRIBUTES:
        raise ValueError(f"attributes: at most {LARGEST_ATTRIBUTES:,} bytes of JSON")
    if _NUL.search(encoded):
        raise ValueError("attributes: PostgreSQL stores no NUL characters")
    return encoded.decode()
