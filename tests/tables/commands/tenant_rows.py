"""A row of a tenant in every table that the models describe, made from the models, so that a new
table is filled without a line here; and all rows that hold anything of a tenant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ARRAY, Column, DateTime, Enum, LargeBinary, Table, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import Boolean, Integer, String

from tables.models import Base
from tests.postgres import Client

#: Tables that hold nothing of one tenant.
OF_NOBODY = {
    "installation": "the settings of all processes",
    "job_runs": "a row a job",
    "projections": "positions in Kafka",
}
#: Tables of a tenant whose rows stay, or go by themselves.
KEPT = {
    "audit_log": "who did what is what a deletion must not remove",
    "outbox": "a row is there until the relay has sent it, milliseconds",
    "mirrored_members": "a reading is removed when it ends; its rows are ids, without a tenant",
}
#: Tables whose rows the database removes with the key that they belong to, at most 60 a key.
WITH_THEIR_KEY = {"browser_sessions", "sign_in_codes"}
# What a constraint or a type asks for.
_VALUES: Mapping[str, Any] = {
    "channel": "email",
    "role": "viewer",
    "scope": "rest",
    "decision": "ask",
    "provider": "mailgun",
    "weight": 50,
    "messages": 1,
    "hourly_limit": 100,
    "timezone": "UTC",
}


@dataclass
class Marked:
    """A tenant and the ids that its rows have; any of them in a row shows whose it is."""

    tenant: str
    ids: dict[str, UUID] = field(
        default_factory=lambda: {
            name: uuid4() for name in ("contact", "campaign", "segment", "template")
        }
    )
    number: int = 0

    @property
    def marks(self) -> list[str]:
        return [self.tenant, *(str(one) for one in self.ids.values())]


async def fill(client: Client, marked: Marked) -> None:
    """Insert a row into every table; the tenant is there with a campaign, a contact and so on."""
    for table in Base.metadata.sorted_tables:
        if table.name in OF_NOBODY:
            continue
        await insert(client, table, marked)
        if table.name == "campaigns":
            marked.number = await client.fetchval(
                "SELECT number FROM campaigns WHERE id = $1", marked.ids["campaign"]
            )
            await client.execute("SELECT ensure_recipient_partitions($1)", marked.number)


async def insert(client: Client, table: Table, marked: Marked) -> None:
    """Insert a row of the tenant into the table."""
    values = _row(table, marked)
    names = ", ".join(f'"{name}"' for name in values)
    places = ", ".join(_place(table.columns[name], place) for place, name in enumerate(values, 1))
    statement = f"INSERT INTO {table.name} ({names}) VALUES ({places})"
    await client.execute(statement, *values.values())


def _place(column: Column[Any], place: int) -> str:
    if column.name == "id" and column.table.name == "campaign_recipients":
        return f"recipient_id(${place}, 0)"
    return f"${place}"


def _row(table: Table, marked: Marked) -> dict[str, Any]:
    return {
        column.name: _value(table, column, marked)
        for column in table.columns
        if column.identity is None and _is_wanted(table, column)
    }


def _is_wanted(table: Table, column: Column[Any]) -> bool:
    """Columns that must be given, and those that make a row findable."""
    if (table.name, column.name) == ("suppressions", "address"):
        return True
    if column.name == "id" and table.name in ("campaigns", "templates", "segments"):
        return True
    return not column.nullable and column.server_default is None


def _value(table: Table, column: Column[Any], marked: Marked) -> Any:
    name, kind = column.name, column.type
    if table.name == "tenants" and name == "id":
        return marked.tenant
    if table.name == "campaign_recipients" and name == "id":
        return marked.number
    owner = {"contacts": "contact", "campaigns": "campaign", "segments": "segment"}
    owner["templates"] = "template"
    if name == "id" and table.name in owner:
        return marked.ids[owner[table.name]]
    if name.removesuffix("_id") in marked.ids:
        return marked.ids[name.removesuffix("_id")]
    if name == "key_id" or (table.name, name) == ("api_keys", "id"):
        return marked.ids["contact"].hex[:16]
    if name == "tenant_id":
        return marked.tenant
    if table.name in ("outbox", "outbox_refused") and name == "key":
        return str(marked.ids["campaign"])
    if name in _VALUES:
        return _VALUES[name]
    if isinstance(kind, Uuid):
        return uuid4()
    if isinstance(kind, Enum):
        return kind.enums[0]
    if isinstance(kind, DateTime):
        return datetime.now(UTC) + timedelta(days=1)  # what expires has not
    if isinstance(kind, LargeBinary):
        return marked.tenant.encode()
    if isinstance(kind, JSONB):
        return {}
    if isinstance(kind, ARRAY):
        return []
    if isinstance(kind, Boolean):
        return True
    if isinstance(kind, Integer):
        return int(marked.ids["campaign"].hex[:6], 16)
    assert isinstance(kind, String), f"no value for {table.name}.{name}: {kind}"
    return f"{name} {marked.tenant}"[: kind.length]


async def rows_with(client: Client, marked: Marked) -> dict[str, list[str]]:
    """Table -> the rows, as text, that hold any of the marks; in binary columns, too."""
    found: dict[str, list[str]] = {}
    marks = [*marked.marks, *(mark.encode().hex() for mark in marked.marks)]
    for name in Base.metadata.tables:
        texts = [row[0] for row in await client.fetch(f"SELECT t::text FROM {name} t")]
        if mine := sorted(text for text in texts if any(mark in text for mark in marks)):
            found[name] = mine
    return found
