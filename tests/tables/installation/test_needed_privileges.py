"""No privilege is granted for which the code of a process has no statement.

That the privileges suffice is shown by everything that runs under the roles: the tests of the API,
`test_roles.py` and tests/stacks/test_least_privilege.py. What this one cannot see, `privileges.py`
says: code that is reached and never called keeps a privilege alive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tables.installation import roles
from tests.tables.installation.privileges import used

_START: Mapping[str, str] = {"api": "api.server:main", "workers": "agents.worker:main"}
# (login, table, privilege) -> who needs it, where no statement of ours names the table.
_UNSEEN: Mapping[tuple[str, str, str], str] = {
    ("api", "former_addresses", "INSERT"): "the trigger of an address that changes or goes",
    ("workers", "former_addresses", "INSERT"): "the trigger of an address that changes or goes",
    ("workers", "suppressions", "UPDATE"): "the trigger of a suppression that is entered",
    ("workers", "audit_log", "DELETE"): "the rule of retention is made from the table's name",
    ("api", "sign_in_codes", "UPDATE"): "those above ten of a key are locked; the table is a word",
}


def _granted(login: str) -> set[tuple[str, str]]:
    return {
        (table, privilege)
        for table, access in roles.GRANTS.items()
        for privilege in re.findall(r"[A-Z]+", re.sub(r"\(.*?\)", "", getattr(access, login)))
    }


@pytest.mark.parametrize("login", _START)
def test_every_privilege_is_granted_for_a_statement(login: str) -> None:
    unseen = {(table, privilege) for who, table, privilege in _UNSEEN if who == login}
    assert _granted(login) - set(used([_START[login]])) == unseen


def test_statements_are_found_where_they_are_and_nowhere_else() -> None:
    api, workers = (used([start]) for start in _START.values())
    assert "tables.contacts.changes:erase_contact" in api["contacts", "DELETE"]
    assert "tables.commands.removal:PARTS" in workers["sender_domains", "DELETE"]
    assert "tables.tenants.webhook_secrets:put" in api["webhook_secrets", "UPDATE"]
    for key in (("audit_log", "UPDATE"), ("tenants", "DELETE"), ("campaigns", "DELETE")):
        assert key not in api, api[key]
    for key in (("api_keys", "INSERT"), ("webhook_secrets", "UPDATE"), ("audit_log", "UPDATE")):
        assert key not in workers, workers[key]
