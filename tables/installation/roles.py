"""PostgreSQL's roles, as the statements that make them: one for the API, one for all workers, one
that owns the schema and migrates it, and what each may do with each table.

`PREFIX-migrations` owns everything but the ledger of recipients, which belongs to `PREFIX-ledger`:
the workers are members of that, because only an owner may detach and drop an old block. The API
makes blocks through functions that run as the owner. Nothing else is granted to anybody. The
statements may be repeated, and have to be after every migration: a new table is granted to nobody,
and a replaced function has lost its owner's rights. Policies keep the API to the rows of the tenant
for which it acts (tables/tenancy). https://www.postgresql.org/docs/18/ddl-priv.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tables.models import Base
from tables.tenancy import policies

#: Who may log in; `ledger` may not.
LOGINS = ("api", "workers", "migrations")
_LEDGER = "campaign_recipients"
_OTHER_TABLES = ("alembic_version",)
_MAKE_BLOCKS = ("ensure_recipient_partitions(bigint)", "ensure_recipient_block(bigint)")


@dataclass(frozen=True)
class Access:
    """The rights of the API and of the workers on a table. A column list narrows an UPDATE; locking
    a row needs UPDATE of some column, too.
    """

    api: str
    workers: str


_READ, _WRITE = "SELECT", "SELECT, INSERT, UPDATE, DELETE"
#: Table -> what is granted. A test asks that every table of the models is here; others, that the
#: API and the workers can do their work with it, and that their code has a statement for each.
GRANTS: Mapping[str, Access] = MappingProxyType(
    {
        # Whoever runs the installation makes tenants; a suspension is not lifted over REST. The
        # workers lock them, and change nothing of them: that takes the right to some column.
        "tenants": Access(
            "SELECT, UPDATE (hourly_limit, daily_limit)", "SELECT, UPDATE (created_at), DELETE"
        ),
        "api_keys": Access("SELECT, INSERT, UPDATE", "SELECT, DELETE"),
        "sign_in_codes": Access(_WRITE, "SELECT, DELETE"),
        "browser_sessions": Access(_WRITE, "SELECT, DELETE"),
        # Of the deletions a trigger allows those of rows that are a year old.
        "audit_log": Access("SELECT, INSERT", "SELECT, INSERT, DELETE"),
        "webhook_secrets": Access(_WRITE, "SELECT, DELETE"),
        "webhook_subscriptions": Access(_WRITE, "SELECT, DELETE"),
        "webhook_tokens": Access(_WRITE, "SELECT, DELETE"),
        # The workers ask whether a sender is verified, and remove a tenant with its domains.
        "sender_domains": Access(_WRITE, "SELECT, DELETE"),
        # The workers deliver by routes, remove a tenant with its own, and set none up.
        "routes": Access(_WRITE, "SELECT, DELETE"),
        "route_usage": Access("", _WRITE),
        "doubts": Access("SELECT, UPDATE (resolution, resolved_at)", _WRITE),
        "contacts": Access(_WRITE, _WRITE),
        "former_addresses": Access("SELECT, INSERT", "SELECT, INSERT, DELETE"),
        "whatsapp_users": Access("SELECT, INSERT", "SELECT, DELETE"),
        "segments": Access(_WRITE, _WRITE),
        "segment_members": Access("SELECT, INSERT, DELETE", "SELECT, INSERT, DELETE"),
        "mirrored_members": Access("SELECT, INSERT, DELETE", "SELECT, INSERT, DELETE"),
        "suppressions": Access(_WRITE, _WRITE),
        "opt_ins": Access("SELECT, INSERT, UPDATE", "SELECT, DELETE"),
        "templates": Access("SELECT, INSERT, UPDATE", _WRITE),
        "campaigns": Access("SELECT, INSERT, UPDATE", _WRITE),
        "campaign_variants": Access(_WRITE, _WRITE),
        "campaign_contents": Access("SELECT, INSERT", "SELECT, INSERT, DELETE"),
        "campaign_entries": Access("SELECT, INSERT, UPDATE", _WRITE),
        "campaign_stats": Access("SELECT", _WRITE),
        "ab_test_decisions": Access("SELECT, INSERT", "SELECT, INSERT, DELETE"),
        "complaint_pauses": Access("", _WRITE),
        # The API adds recipients of triggered campaigns, and erases what a reason says of a person.
        _LEDGER: Access("SELECT, INSERT, UPDATE (failure_reason)", _WRITE),
        "projections": Access("", "SELECT, INSERT, UPDATE"),
        "test_sends": Access("SELECT, INSERT, DELETE", "SELECT, DELETE"),
        "outbox": Access("SELECT, INSERT", "SELECT, INSERT, UPDATE, DELETE"),
        "outbox_refused": Access("", "SELECT, INSERT, DELETE"),
        "answers": Access("SELECT, INSERT, UPDATE", _WRITE),
        # The relay counts its rounds.
        "installation": Access(
            _READ, "SELECT, UPDATE (announced, announced_at, acknowledged, mismatch)"
        ),
        "job_runs": Access(_READ, "SELECT, INSERT, UPDATE"),
        "alembic_version": Access("", ""),
    }
)


def role(prefix: str, name: str) -> str:
    """The name of a role, quoted: `prefix` has no quotation marks."""
    return f'"{prefix}-{name}"'


def statements(prefix: str = "campaigns") -> Iterator[str]:
    """SQL for the installation's own database, carried out by a superuser or by whoever owns the
    schema and may make roles. Tables of the schema `public`.
    """
    owner, ledger = role(prefix, "migrations"), role(prefix, "ledger")
    workers = role(prefix, "workers")
    yield from _made(prefix)
    yield "REVOKE ALL ON SCHEMA public FROM PUBLIC"
    yield f"GRANT USAGE ON SCHEMA public TO {role(prefix, 'api')}, {workers}"
    # the stages of audiences, and blocks of the ledger, are tables that the workers make
    yield f"GRANT USAGE, CREATE ON SCHEMA public TO {workers}, {owner}, {ledger}"
    yield from _owned(owner, ledger, workers)
    for table in GRANTS:
        yield f"REVOKE ALL ON {table} FROM PUBLIC"
        for login in ("api", "workers"):
            yield f"REVOKE ALL ON {table} FROM {role(prefix, login)}"
            if granted := getattr(GRANTS[table], login):
                yield f"GRANT {granted} ON {table} TO {role(prefix, login)}"
    # the number of the newest campaign: blocks of the ledger are made ahead of it, and it is
    # compared with what Kafka knows
    yield f"GRANT SELECT ON SEQUENCE campaigns_number_seq TO {workers}, {role(prefix, 'api')}"
    yield f"GRANT REFERENCES, SELECT ON campaigns TO {ledger}"
    for function in _MAKE_BLOCKS:
        yield f"ALTER FUNCTION {function} OWNER TO {ledger}"
    for function in (*_MAKE_BLOCKS, *policies.FUNCTIONS):
        yield f"ALTER FUNCTION {function} SECURITY DEFINER SET search_path = public, pg_temp"
    for view in policies.VIEWS:
        yield f"REVOKE ALL ON {view} FROM PUBLIC"
        yield f"GRANT SELECT ON {view} TO {role(prefix, 'api')}, {workers}"
    yield from policies.statements(f"{prefix}-api")


def _made(prefix: str) -> Iterator[str]:
    for name, may in (*((login, "LOGIN") for login in LOGINS), ("ledger", "NOLOGIN")):
        yield (
            f"DO $$ BEGIN CREATE ROLE {role(prefix, name)} {may};"
            " EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
    ledger = role(prefix, "ledger")
    yield f"GRANT {ledger} TO {role(prefix, 'workers')}, {role(prefix, 'migrations')}"


def _owned(owner: str, ledger: str, workers: str) -> Iterator[str]:
    for table in (*Base.metadata.tables, *_OTHER_TABLES):
        yield f"ALTER TABLE {table} OWNER TO {ledger if table == _LEDGER else owner}"
    for view in policies.VIEWS:
        yield f"ALTER VIEW {view} OWNER TO {owner}"
    yield _each(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = 'public'::regnamespace"
        " AND relname ~ '^campaign_recipients_[0-9]{1,12}$'",
        f"ALTER TABLE %s OWNER TO {ledger}",
    )
    yield _each(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = 'public'::regnamespace AND relname ~ '^stage_[0-9]{1,15}$'",
        f"ALTER TABLE %s OWNER TO {workers}",
    )
    yield _each(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
        f"ALTER ROUTINE %s OWNER TO {owner}",
    )
    yield _each(
        "SELECT oid::regtype::text FROM pg_type WHERE typtype = 'e'"
        " AND typnamespace = 'public'::regnamespace",
        f"ALTER TYPE %s OWNER TO {owner}",
    )


def _each(found: str, change: str) -> str:
    """A block that carries out the change for everything that is found."""
    return (
        f"DO $$ DECLARE name text; BEGIN FOR name IN {found} LOOP"
        f" EXECUTE format('{change}', name); END LOOP; END $$"
    )
