"""The common ground of all tables: how Python types become column types, and how constraints are
named.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, get_args
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
    Enum,
    LargeBinary,
    MetaData,
    SmallInteger,
    Uuid,
    inspect,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeEngine
from typing_extensions import TypeAliasType

from streams.contracts.fields import Channel

BigInt = TypeAliasType("BigInt", int)
SmallInt = TypeAliasType("SmallInt", int)


#: In the `info` of a column that holds what was found out about the others, and may be found again.
FOUND_OUT = "found out"


def enumeration(name: str, members: type[StrEnum]) -> Enum:
    """PostgreSQL's type `name`, whose values are those of the members, in their order."""
    return Enum(members, name=name, values_callable=lambda kind: [each.value for each in kind])


class Base(DeclarativeBase):
    """A row of a table, as a value: two are equal when all of their columns are. Names of
    constraints are those that PostgreSQL gives by itself.
    """

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
        }
    )
    type_annotation_map: dict[Any, TypeEngine[Any]] = {  # noqa: RUF012  # SQLAlchemy reads it here
        BigInt: BigInteger(),
        SmallInt: SmallInteger(),
        bytes: LargeBinary(),
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
        dict[str, int]: JSONB(none_as_null=True),
        list[UUID]: ARRAY(Uuid()),
        Channel: Enum(*get_args(Channel), name="campaign_channel"),
    }

    def stated(self) -> dict[str, Any]:
        """The values by column, without those that were found out about the others."""
        columns = inspect(type(self)).columns
        return {
            column.key: getattr(self, column.key)
            for column in columns
            if not column.info.get(FOUND_OUT)
        }

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._columns() == other._columns()

    def __hash__(self) -> int:
        return hash((type(self), inspect(self).identity))

    def _columns(self) -> list[object]:
        return [getattr(self, column.key) for column in inspect(type(self)).column_attrs]
