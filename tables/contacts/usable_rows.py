"""The usable part of a row that another system wrote: an optional field that cannot be used is left
out and warned about; only a row that identifies nobody is rejected.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
import phonenumbers

from streams.contracts.values.zones import zone_names
from tables.contacts.fields import (
    ADDRESSES,
    LARGEST_ATTRIBUTES,
    MOST_ATTRIBUTES,
    SPELLINGS,
    ContactRow,
    attributes_json,
    refuse_shortened,
)
from tables.contacts.headings import IDENTITIES
from tables.files.rows import Rejected, Warned

#: Values of one column, each with the file's name of where it stands; the first usable one counts.
Given = Sequence[tuple[str, str]]
#: The regions that have a telephone numbering plan, in ISO 3166-1 alpha-2.
COUNTRIES: frozenset[str] = frozenset(phonenumbers.SUPPORTED_REGIONS)
_MOST_VALUES = 10  # of one cell
_NOBODY = "row: needs one of id, externalId, email, phone and pushToken"
_POSIX = re.compile(r"\.[A-Za-z0-9-]+(?:@[a-z]+)?$|@[a-z]+$")  # en_US.UTF-8, de_DE@euro


def usable_row(
    line: int,
    fields: Mapping[str, Given],
    attributes: Mapping[str, Any],
    country: str | None = None,
) -> Iterator[ContactRow | Rejected | Warned]:
    """The warnings of a row, then the row; or one rejection. `fields` are by column of the table;
    `country` is the one whose national phone numbers are meant. No value is repeated.
    """
    found: dict[str, Any] = dict.fromkeys(SPELLINGS)
    warned = list[Warned]()
    foreign: tuple[str, str] | None = None
    for column, given in fields.items():
        for name, text in _single(column, given):
            if not text or text.isspace():
                continue
            try:
                found[column] = spelled(column, text, country) or None
                break
            except ValueError as error:
                if column == "id":
                    foreign = name, text
                else:
                    warned.append(Warned(line, name, str(error)))
    if foreign is not None:
        warned += _external(line, found, *foreign)
    if not any(found[column] for column in IDENTITIES):
        yield Rejected(line, _why_nobody(warned))
        return
    kept, faults = _attributes(line, attributes)
    yield from warned
    yield from faults
    yield ContactRow(line, **found, attributes=kept)


def _single(column: str, given: Given) -> Iterator[tuple[str, str]]:
    """The values one by one: Google Contacts writes several addresses into a cell as `a ::: b`."""
    for name, text in given:
        several = text.split(" ::: ", _MOST_VALUES - 1) if column in ADDRESSES else (text,)
        yield from ((name, one) for one in several)


def spelled(column: str, text: str, country: str | None) -> object:
    """The value of a column as a contact keeps it, of a text as other systems spell it. Raises
    ValueError with field and rule.
    """
    match column:
        case "phone":
            return _phone(text, country)
        case "time_zone":
            text = _zone(text)
        case "locale":
            text = _POSIX.sub("", text.strip())
    return SPELLINGS[column][1](text)


def _phone(text: str, country: str | None) -> object:
    spell = SPELLINGS["phone"][1]
    try:
        return spell(text)
    except ValueError:
        if country is None:
            raise
    refuse_shortened(text)
    return spell(_national(text, country))


def _national(text: str, country: str) -> str:
    """A number as people of the country write it, in E.164. Spreadsheets drop the plus of an
    international one, so where national numbers begin with a trunk prefix (0 in Germany), one
    without it that begins with the country's code is read with the plus first.
    """
    trunk = phonenumbers.ndd_prefix_for_region(country, True)
    readings = [text, f"+{text.strip()}"]
    if trunk and not text.strip().startswith(trunk):
        readings.reverse()
    found = list[phonenumbers.PhoneNumber]()
    for reading in readings:
        with contextlib.suppress(phonenumbers.NumberParseException):
            found.append(phonenumbers.parse(reading, country))
    code = phonenumbers.country_code_for_region(country)
    mine = [number for number in found if number.country_code == code]
    if not mine:
        raise ValueError(f"phone: not a number of {country}")
    number = next(filter(phonenumbers.is_valid_number, mine), mine[-1])
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _zone(text: str) -> str:
    """The name that HubSpot spells `america_slash_new_york`; every other text as it is."""
    if "_slash_" not in text:
        return text
    spelled = text.strip().lower().replace("_slash_", "/").replace("_hyphen_", "-")
    return _zones_by_lower().get(spelled, text)


@cache
def _zones_by_lower() -> Mapping[str, str]:
    return {name.lower(): name for name in zone_names()}


def _external(line: int, found: dict[str, Any], name: str, text: str) -> Iterator[Warned]:
    """An `id` that is not one of ours is the other system's, so it is the externalId."""
    try:
        spelled = SPELLINGS["external_id"][1](text)
    except ValueError as error:
        yield Warned(line, name, str(error))
        return
    if found["external_id"] is None:
        found["external_id"] = spelled
    elif found["external_id"] != spelled:
        yield Warned(line, name, "id: not a UUID, and the row has an externalId of its own")


def _why_nobody(warned: Sequence[Warned]) -> str:
    """The fault of the first field that would have identified the row."""
    outside = [SPELLINGS[column][0] for column in IDENTITIES]
    for one in warned:
        if one.reason.partition(":")[0] in outside:
            return one.reason
    return _NOBODY


def _attributes(line: int, given: Mapping[str, Any]) -> tuple[str, list[Warned]]:
    """The attributes as JSON, without those that cannot be kept: the surplus ones, and the largest
    until the rest fits.
    """
    if not given:
        return "{}", []
    try:
        return attributes_json(given), []
    except (ValueError, RecursionError):
        pass
    kept, warned, sizes = dict[str, Any](), list[Warned](), dict[str, int]()
    for name, value in given.items():
        try:
            sizes[name] = len(attributes_json({name: value}))
            kept[name] = value
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            reason = str(error) if isinstance(error, ValueError) else "attributes: not JSON"
            warned.append(Warned(line, name, reason))
    while sum(sizes.values()) > LARGEST_ATTRIBUTES:
        largest = max(sizes, key=sizes.__getitem__)
        del sizes[largest], kept[largest]
        limit = f"all together at most {LARGEST_ATTRIBUTES:,} bytes of JSON"
        warned.append(Warned(line, largest, f"attributes: {limit}, and this is the largest"))
    if (surplus := len(kept) - MOST_ATTRIBUTES) > 0:
        for name in list(kept)[MOST_ATTRIBUTES:]:
            del kept[name]
        reason = f"attributes: at most {MOST_ATTRIBUTES}; {surplus:,} left out"
        warned.append(Warned(line, None, reason))
    return attributes_json(kept), warned
