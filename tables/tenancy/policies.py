"""Row-level security: which rows of a table the API's role can see and write.

The policies restrict that one role, to the tenant for which the session acts; for every other role
they change nothing. They are there for a statement that forgets its tenant. Every statement names
the tenant itself, which is what indexes serve.

A policy is a barrier: conditions with functions that are not LEAKPROOF, such as lower(), LIKE or
the equality of enumerations, are looked at after it, and no index serves them. (PostgreSQL skips
over the channel in the middle of an index.) Where a statement needs such an index, it reads
`contacts_in_sight` or `suppressions_in_sight` (migration 0023), views with the same condition and
without the barrier. https://www.postgresql.org/docs/18/rules-privileges.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

# NULLIF … IS NOT NULL is the same condition, but is estimated to keep 99.5 % of the rows: the
# statement has named the tenant before, and what an equality removes must not be removed twice.
_OWN = "nullif((SELECT acting_tenant()) IN ({column}, '*'), false) IS NOT NULL"
_BY_TENANT = _OWN.format(column="tenant_id")

#: Table -> the condition of the rows that can be seen and written.
OWN_ROWS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        (
            "answers",
            "audit_log",
            "campaigns",
            "contacts",
            "doubts",
            "former_addresses",
            "opt_ins",
            "routes",
            "segment_members",
            "segments",
            "sender_domains",
            "suppressions",
            "templates",
            "test_sends",
            "webhook_secrets",
            "webhook_subscriptions",
            "webhook_tokens",
            "whatsapp_users",
        ),
        _BY_TENANT,
    )
    | {
        # the policy of campaigns holds within a policy, too
        table: f"EXISTS (SELECT FROM campaigns c WHERE c.id = {table}.campaign_id)"
        for table in (
            "ab_test_decisions",
            "campaign_contents",
            "campaign_entries",
            "campaign_stats",
            "campaign_variants",
        )
    }
)
#: Table -> the condition of more rows that can be seen and deleted.
SWEPT: Mapping[str, str] = MappingProxyType(
    {"webhook_tokens": "expires_at < now()"}  # whoever brings a new one removes some, of any tenant
)
#: Table -> the condition of the rows that can be written. All of them can be read: keys and tenants
#: say who calls, before it is known for which tenant. The ledger is counted by campaign and status,
#: and the equality of enumerations is not LEAKPROOF: behind a barrier each count would read all of
#: the campaign's rows from the table, and not a few from the index.
READ_BY_ALL: Mapping[str, str] = MappingProxyType(
    {
        "api_keys": _BY_TENANT,
        "campaign_recipients": _BY_TENANT,
        "tenants": _OWN.format(column="id"),
    }
)
#: Table that the API may use -> why it has no policy.
NONE: Mapping[str, str] = MappingProxyType(
    {
        "browser_sessions": "found by a secret alone, before the tenant is known; says no tenant",
        "installation": "one row, of all processes",
        "job_runs": "a row a job",
        "mirrored_members": "ids under a random one, which only their writer knows",
        "outbox": "only written, and emptied by the relay within milliseconds",
        "sign_in_codes": "found by a secret alone, before the tenant is known; says no tenant",
    }
)
#: Views of the rows that can be seen, without the barrier.
VIEWS = ("contacts_in_sight", "suppressions_in_sight")
#: What other tenants' rows decide, by functions that run as the owner and tell no more than that.
FUNCTIONS = ("is_of_another_tenant(uuid, text)", "next_address_versions(uuid)")


def statements(role: str) -> Iterator[str]:
    """SQL that keeps the role to one tenant; it may be repeated."""
    for table in (*OWN_ROWS, *READ_BY_ALL):
        yield f"DROP POLICY IF EXISTS every_row ON {table}"
        yield f"CREATE POLICY every_row ON {table} USING (true)"
        for name, restriction in _restrictions(table):
            policy = f'"{role} {name}" ON {table}'
            yield f"DROP POLICY IF EXISTS {policy}"
            command, _, conditions = restriction.partition(" ")
            yield f'CREATE POLICY {policy} AS RESTRICTIVE FOR {command} TO "{role}" {conditions}'
        yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"


def _restrictions(table: str) -> Iterator[tuple[str, str]]:
    """The names of a table's policies, and each one's command and conditions."""
    if (own := OWN_ROWS.get(table)) is not None:
        seen = f"({own}) OR {SWEPT[table]}" if table in SWEPT else own
        yield "own", f"ALL USING ({seen}) WITH CHECK ({own})"
    else:
        own = READ_BY_ALL[table]
        yield "makes", f"INSERT WITH CHECK ({own})"
        yield "changes", f"UPDATE USING ({own})"
        yield "removes", f"DELETE USING ({own})"
