"""A test's database with the product's roles, under a prefix of its own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tables.installation import roles
from tests.postgres import connect as connect_client


@dataclass(frozen=True)
class Roles:
    """`dsn` is the administrator's."""

    dsn: str
    prefix: str

    def of(self, login: str) -> str:
        """The DSN of a role. The test's server asks nobody for a password."""
        scheme, _, rest = self.dsn.partition("://")
        return f"{scheme}://{self.prefix}-{login}@{rest.rpartition('@')[2]}"

    async def apply(self) -> None:
        admin = await connect_client(self.dsn)
        for statement in roles.statements(self.prefix):
            await admin.execute(statement)
        await admin.close()

    async def drop(self) -> None:
        """The roles belong to the server, not to the database."""
        admin = await connect_client(self.dsn)
        names = [roles.role(self.prefix, name) for name in (*roles.LOGINS, "ledger")]
        for who in names:
            await admin.execute(f"REASSIGN OWNED BY {who} TO CURRENT_USER")
            await admin.execute(f"DROP OWNED BY {who}")
        for who in names:
            await admin.execute(f"DROP ROLE {who}")
        await admin.close()


@asynccontextmanager
async def with_roles(dsn: str) -> AsyncIterator[Roles]:
    """The roles are dropped afterwards."""
    made = Roles(dsn, f"t{secrets.token_hex(4)}")
    await made.apply()
    try:
        yield made
    finally:
        await made.drop()
