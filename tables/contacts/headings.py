"""The header of a file of contacts: which column is which field, which become attributes, and which
are ignored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from streams.contracts.values.one_line import composed
from streams.errors import FieldError, MalformedError, broken
from tables.contacts.fields import ADDRESSES, SPELLINGS, column_of
from tables.contacts.synonyms import field_of, folded_heading, is_consent
from tables.files.cells import plain

IDENTITIES = ("id", "external_id", *ADDRESSES)
_PREFIX = "attributes."
_NOWHERE = ("", "-")  # targets of a mapping that ignore a column
_LONGEST_SHOWN = 100  # characters of a heading in an answer
_NAMED = 5  # columns in a sentence
_NEEDED = "one of id, externalId, email, phone and pushToken"


@dataclass(frozen=True, slots=True)
class Use:
    """The use of a column: `field` is `email`, `attributes.plan` or None (ignored). The field
    `stands_in_for` takes its value from here where the field's own columns have none.
    """

    column: str
    field: str | None
    stands_in_for: str | None = None


@dataclass(slots=True)
class Headings:
    """`fields`: column of the table -> places in a row, the first usable value counts; `doubled`
    has the first places of those with several. `attributes`: name -> place. `uses` has an entry for
    each column of the file, in its order.
    """

    fields: dict[str, list[int]] = field(default_factory=dict)
    doubled: list[int] = field(default_factory=list)
    attributes: dict[str, int] = field(default_factory=dict)
    uses: list[Use] = field(default_factory=list)

    def notes(self) -> list[str]:
        """Sentences about what a reader of the file should know."""
        consents = [f'"{use.column}"' for use in self.uses if use.field and is_consent(use.column)]
        if not consents:
            return []
        named = ", ".join(consents[:_NAMED]) + (" and others" if len(consents) > _NAMED else "")
        return [
            f"Consent is not read from {named}: whoever said no must be suppressed "
            "(import of suppressions)."
        ]


def targets(mapping: Sequence[str]) -> dict[str, str]:
    """Folded heading -> field of `HEADING=FIELD` pairs, as given in a request. The field is `email`
    and so on, `attributes.NAME`, or nothing to ignore the column. Raises CampaignError.
    """
    found = dict[str, str]()
    for pair in mapping:
        heading, equals, target = (part.strip() for part in pair.rpartition("="))
        is_field = column_of(target) is not None and target not in _NOWHERE
        if not equals or not heading:
            raise broken(FieldError("map", "needs COLUMN=FIELD, such as Handy=phone"))
        if not (is_field or target in _NOWHERE or target.startswith(_PREFIX)):
            fields = ", ".join(name for name, _ in SPELLINGS.values())
            raise broken(FieldError("map", f"a field is {fields}, attributes.NAME, or empty"))
        found[folded_heading(heading)] = target
    return found


def headings(header: Sequence[str], mapping: Mapping[str, str]) -> Headings:
    """Raises MalformedError for a header that identifies nobody, CampaignError for a mapping of a
    column that the file does not have.
    """
    names = [plain(cell) for cell in header]
    folded = [folded_heading(name) for name in names]
    if missing := sorted(mapping.keys() - set(folded)):
        raise broken(FieldError("map", f"the file has no column {missing[0][:_LONGEST_SHOWN]}"))
    found = Headings()
    wanted = defaultdict[str, list[tuple[int, int]]](list)  # column -> (rank, place)
    for place, (name, fold) in enumerate(zip(names, folded, strict=True)):
        column, rank = _field(name, fold, mapping)
        if column is not None:
            wanted[column].append((rank, place))
    for column, places in wanted.items():
        found.fields[column] = [place for _, place in sorted(places)]
    found.doubled = [places[0] for places in found.fields.values() if len(places) > 1]
    if not found.fields.keys() & set(IDENTITIES):
        raise _nobody(names)
    main = {places[0]: column for column, places in found.fields.items()}
    others = {place: column for column, places in wanted.items() for _, place in places}
    for place, (name, fold) in enumerate(zip(names, folded, strict=True)):
        if place in main:
            use = Use(_shown(name), SPELLINGS[main[place]][0])
        elif (key := _attribute(name, fold, mapping)) is None:
            use = Use(_shown(name), None)
        else:
            key = _distinct(key, found.attributes)
            found.attributes[key] = place
            stands_in = SPELLINGS[others[place]][0] if place in others else None
            use = Use(_shown(name), _PREFIX + key[:_LONGEST_SHOWN], stands_in)
        found.uses.append(use)
    return found


def _field(name: str, fold: str, mapping: Mapping[str, str]) -> tuple[str | None, int]:
    """The column that a heading means, and its rank; a mapped one comes before all others."""
    if fold in mapping:
        target = mapping[fold]
        return (None if target in _NOWHERE else column_of(target)), -1
    return field_of(name) or (None, 0)


def _attribute(name: str, fold: str, mapping: Mapping[str, str]) -> str | None:
    """The name of the attribute that a column becomes; None = none."""
    if fold in mapping:
        target = mapping[fold]
        if target in _NOWHERE:
            return None
        name = target if target.startswith(_PREFIX) else name
    if name.startswith(_PREFIX):  # as it was exported
        return name.removeprefix(_PREFIX)
    return composed(name.strip().removeprefix(_PREFIX)) or None


def _distinct(key: str, taken: Mapping[str, int]) -> str:
    """The name, with a number behind it when an earlier column has it."""
    number, found = 1, key
    while found in taken:
        number += 1
        found = f"{key} {number}"
    return found


def _nobody(names: Sequence[str]) -> MalformedError:
    if any("@" in name for name in names):
        return MalformedError(
            "The file has no header: its first line holds an address. Put the names of the columns "
            f"above it; it needs {_NEEDED}."
        )
    return MalformedError(
        f"The header needs {_NEEDED}; a column with another name can be mapped to one of these."
    )


def _shown(name: str) -> str:
    return composed(name.strip())[:_LONGEST_SHOWN]
