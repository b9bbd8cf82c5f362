"""Makes the roles of `roles` for processes whose DSNs are known, with the passwords that these DSNs
have; by hand an administrator does it with `campaigns roles postgres`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

from tables.installation import roles
from tables.installation.administration import account_of, carry_out
from tables.tenancy import acting


class Login(NamedTuple):
    """A role that logs in, as `PREFIX-api`."""

    prefix: str
    name: str
    password: str

    @classmethod
    def of(cls, dsn: str) -> Self | None:
        """The role that a DSN names; None for one that is not of ours. Raises ValueError for a text
        that is no DSN.
        """
        user, password = account_of(dsn)
        prefix, _, name = user.rpartition("-")
        return cls(prefix, name, password) if prefix and name in roles.LOGINS else None


async def make(administrator: str, logins: Sequence[Login]) -> None:
    """Give every role of the logins' prefixes its rights, and the logins their passwords: all or
    nothing. A repeat changes nothing. Raises `PostgresError`.
    """
    passwords = {
        f"{login.prefix}-{login.name}": login.password for login in logins if login.password
    }
    await carry_out(administrator, _statements(logins), passwords)


def _statements(logins: Sequence[Login]) -> Iterator[str]:
    for prefix in {login.prefix for login in logins}:
        yield from roles.statements(prefix)
        # processes that never say for whom they act are older than this
        yield f"ALTER ROLE {roles.role(prefix, 'api')} SET {acting.SETTING} = '{acting.NOBODY}'"
